from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.work import SHAPES, plain_network
from defensive_distillation.attacks import AttackResult, jsma, pgd
from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.kernels.convolution import InputConvolution
from defensive_distillation.networks.kernels.for_images import for_images

CHANNELS, SIDE, CLASSES = 3, 12, 4
COUNT = 7


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
    made = for_images(plain)
    assert made is not plain
    found = []
    for model in (plain, made):
        shown = images().to(memory_format=layout).requires_grad_()
        logits = model(shown.clone())  # as attacks ask: rectified in place, the first layer would overwrite a leaf
        one, other = logits[:, 0].sum(), logits.square().sum()
        ways = [torch.autograd.grad(value, shown, retain_graph=True)[0] for value in (one, other, one)]
        with torch.no_grad():
            found.append((logits, *ways, model(shown.detach().clone())))
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    assert all(torch.equal(value, weights[key]) for key, value in plain.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in plain.parameters())


@pytest.mark.parametrize("name", ["papernot_mnist", "papernot_cifar10"])
def test_the_layers_of_table_1_become_ours(name: str) -> None:
    plain = plain_network(name)
    made = for_images(plain)
    kinds = [type(layer) for layer in made.children()]
    half = [InputConvolution, nn.ReLU, InputConvolution, nn.MaxPool2d, nn.ReLU]
    assert kinds == [*half, *half, nn.Flatten, *[nn.Linear, nn.ReLU, nn.Dropout] * 2, nn.Linear]
    assert all(layer.inplace for layer in made.children() if isinstance(layer, nn.ReLU))
    assert all(layer.weight.stride(1) == 1 for layer in made.children() if isinstance(layer, nn.Conv2d))
    shown = torch.rand(3, *SHAPES[name], generator=torch.Generator().manual_seed(2)).requires_grad_()
    found = []
    for model in (plain, made):
        logits = model(shown)
        found.append((logits, torch.autograd.grad(logits.sum(), shown)[0]))
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def _hooked() -> nn.Module:
    model = NETWORKS["dense"]()
    model[1].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(_hooked(), id="somebody watches"),
        pytest.param(build("torchvision:resnet18", CLASSES, (3, 32, 32)).eval(), id="no sequence"),
        pytest.param(NETWORKS["dense"]().train(), id="in training"),
    ],
)
def test_what_it_does_not_know_it_leaves(model: nn.Module) -> None:
    assert for_images(model) is model


class Wrapped(nn.Module):
    """What is no sequence is left as it is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, shown: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.network(shown)  # type: ignore[no-any-return]


@pytest.mark.parametrize("attack", [jsma, pgd])
def test_attacks_find_the_same_on_a_sequence_and_leave_it_as_it_was(
    attack: Callable[..., AttackResult],
) -> None:
    plain = NETWORKS["rectified before pooling"]()
    settings: dict[str, object] = {"max_features": 20, "output": "logits"} if attack is jsma else {"epsilon": 0.2}
    classes = torch.arange(9) % CLASSES
    one, other = (attack(model, images(9), classes, **settings) for model in (Wrapped(plain).eval(), plain))
    torch.testing.assert_close(other.adversarial, one.adversarial)
    assert other.success.equal(one.success)
    assert type(plain) is nn.Sequential
    assert all(p.requires_grad and p.grad is None for p in plain.parameters())
