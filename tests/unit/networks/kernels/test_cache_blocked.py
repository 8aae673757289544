from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import jsma, pgd
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.kernels.cache_blocked import CacheBlocked, cache_blocked

CHANNELS, SIDE, CLASSES = 3, 12, 4
COUNT = 37  # samples: two whole blocks and one that is not


def images(count: int = COUNT, channels: int = CHANNELS) -> Tensor:
    """A third of it black, so that the largest of a window is often one of equals."""
    generator = torch.Generator().manual_seed(2)
    shown = torch.rand(count, channels, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return shown * (torch.rand(count, 1, 1, SIDE, generator=generator) < 0.7)


def ended(*layers: nn.Module) -> nn.Sequential:
    """The layers and a linear one to the classes, in evaluation mode, with statistics other than the initial ones."""
    torch.manual_seed(3)
    model = nn.Sequential(*layers, nn.Flatten()).double()
    with torch.no_grad():
        model.train()(images())  # batch normalisation has seen something
        features = model(images(2)).shape[1]
    return nn.Sequential(*model, nn.Linear(features, CLASSES).double()).eval()


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "rectified before pooling": lambda: ended(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 5, 3)),
    "rectified after pooling": lambda: ended(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True)),
    "padding, strides, groups": lambda: ended(
        *(nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2, bias=False), nn.ReLU())
    ),
    "padding by name": lambda: ended(nn.Conv2d(3, 6, 3, padding="same"), nn.ReLU(inplace=True)),
    "reflected": lambda: ended(nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
    "dilated": lambda: ended(nn.Conv2d(3, 6, 3, dilation=2), nn.ReLU()),
    "overlapping windows": lambda: ended(nn.Conv2d(3, 6, 2), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)),
    "what is over is left": lambda: ended(nn.Conv2d(3, 6, 2), nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d((2, 1))),
    "many channels first": lambda: ended(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 7, 3), nn.ReLU(), nn.ReLU()),
    "rectified first, in place": lambda: ended(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)),
    "dense": lambda: ended(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 20), nn.ReLU(), nn.Dropout(), nn.ReLU()),
    "without a bias": lambda: ended(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 20, bias=False), nn.ReLU()),
    "smooth": lambda: ended(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AvgPool2d(2), nn.GELU(), nn.Identity(), nn.SiLU()),
    "smooth, in place": lambda: ended(nn.Conv2d(3, 6, 3), nn.ELU(inplace=True), nn.Softplus(), nn.Sigmoid()),
    "rectified in place after another's": lambda: ended(nn.Conv2d(3, 6, 3), nn.GELU(), nn.ReLU(inplace=True)),
    "normalised": lambda: ended(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.GroupNorm(2, 6)),
    "shaped": lambda: ended(nn.Flatten(), nn.Unflatten(1, (CHANNELS, SIDE, SIDE)), nn.Conv2d(3, 4, 3), nn.ReLU()),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_the_gradients_of_two_ways_back_are_those_of_the_sequence(
    name: str, layout: torch.memory_format
) -> None:
    plain = NETWORKS[name]()
    weights = copy.deepcopy(plain.state_dict())
    found = []
    for model in (plain, cache_blocked(plain, for_images_alone=True)):
        shown = images().to(memory_format=layout).requires_grad_()
        # rectified in place, the first layer would overwrite a leaf
        logits = model(shown if isinstance(model, CacheBlocked) else shown.clone())
        one, other = logits[:, 0].sum(), logits.square().sum()
        ways = [torch.autograd.grad(value, shown, retain_graph=True)[0] for value in (one, other, one)]
        with torch.no_grad():
            found.append((logits, *ways, model(shown.detach().clone())))
        torch.testing.assert_close(shown.detach(), images())
    assert isinstance(model, CacheBlocked)
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    assert all(torch.equal(value, weights[key]) for key, value in plain.state_dict().items())
    assert all(parameter.grad is None for parameter in plain.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["papernot_mnist", "papernot_cifar10"])
def test_the_papers_networks_on_a_cpu_are_blocked(name: str, channels: int) -> None:
    plain = build(name, 10, (channels, 28, 28), seed=1).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(2)
    shown = torch.rand(20, channels, 28, 28, generator=generator).requires_grad_()
    made = compute.on(torch.device("cpu"), copy.deepcopy(plain))
    assert isinstance(made, CacheBlocked)
    found = []
    for model in (plain, made):
        logits = model(shown)
        found.append((logits, torch.autograd.grad(logits.sum(), shown)[0]))
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_layers_and_weights_are_the_same_under_the_same_names() -> None:
    plain = NETWORKS["normalised"]()
    made = cache_blocked(plain)
    assert isinstance(made, CacheBlocked)
    assert [(name, id(module)) for name, module in made.named_children()] == [
        (name, id(module)) for name, module in plain.named_children()
    ]
    assert list(made.state_dict()) == list(plain.state_dict())
    assert not made.training
    assert cache_blocked(plain.train()).training


def _hooked() -> nn.Module:
    model = NETWORKS["dense"]()
    model[1].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(_hooked(), id="somebody watches"),
        pytest.param(build("torchvision:resnet18", CLASSES, (3, 32, 32)).eval(), id="no sequence"),
        pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 4), nn.Softmax(1)), id="unknown layer"),
        pytest.param(nn.Sequential(nn.Sequential(nn.Flatten()), nn.Linear(CHANNELS * SIDE**2, 4)), id="nested"),
    ],
)
def test_what_it_does_not_know_it_leaves(model: nn.Module) -> None:
    assert cache_blocked(model, for_images_alone=True) is model


@pytest.mark.parametrize("training", [True, False])
def test_the_weights_get_their_gradients_where_they_want_them(training: bool) -> None:
    plain = NETWORKS["rectified after pooling"]().train(training)
    found = [
        torch.autograd.grad(model(images()).square().sum(), list(plain.parameters()))
        for model in (plain, cache_blocked(plain))
    ]
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


class Wrapped(nn.Module):
    """What is no sequence is not blocked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, shown: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.network(shown)  # type: ignore[no-any-return]


@pytest.mark.parametrize("attack", [jsma, pgd])
def test_attacks_find_the_same_on_a_sequence_and_leave_it_as_it_was(
    monkeypatch: pytest.MonkeyPatch, attack: Callable[..., object]
) -> None:
    plain = NETWORKS["rectified before pooling"]()
    blocked: list[int] = []
    forward = CacheBlocked.forward
    monkeypatch.setattr(
        CacheBlocked, "forward", lambda self, shown: (blocked.append(self._can_block(shown)), forward(self, shown))[1]
    )
    settings = {"max_features": 20, "output": "logits"} if attack is jsma else {"epsilon": 0.2}
    classes = torch.arange(9) % CLASSES
    found = [attack(model, images(9), classes, **settings) for model in (Wrapped(plain).eval(), plain)]
    torch.testing.assert_close(found[1].adversarial, found[0].adversarial)
    assert found[1].success.equal(found[0].success)
    assert blocked
    assert all(blocked)
    assert type(plain) is nn.Sequential
    assert all(p.requires_grad and p.grad is None for p in plain.parameters())
