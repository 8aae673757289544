from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.work import SHAPES, network, plain_network
from defensive_distillation.attacks import jsma
from defensive_distillation.networks.kernels import remembered
from defensive_distillation.networks.kernels.for_images import for_images
from defensive_distillation.networks.kernels.remembered import Remembering

CHANNELS, SIDE, CLASSES = 3, 16, 4
COUNT = 6


def ended(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    features = nn.Sequential(*layers, nn.Flatten()).eval()(torch.rand(2, CHANNELS, SIDE, SIDE)).shape[1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, CLASSES)).double().eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "one convolution": lambda: ended(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2)),
    "two, pooled": lambda: ended(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 3), nn.MaxPool2d(2), nn.ReLU()),
    "two, rectified": lambda: ended(nn.Conv2d(3, 8, 2), nn.ReLU(), nn.Conv2d(8, 5, 3, bias=False), nn.ReLU()),
    "not square": lambda: ended(nn.Conv2d(3, 4, (1, 3)), nn.Conv2d(4, 5, (2, 1)), nn.ReLU()),
    "wider than what is seen twice": lambda: ended(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Conv2d(4, 5, 5), nn.ReLU()),
    "changed in place behind": lambda: ended(nn.Conv2d(3, 4, 3), nn.ELU(inplace=True), nn.Conv2d(4, 5, 3)),
    "flattened, rectified in place": lambda: nn.Sequential(
        *ended(nn.Conv2d(3, 1, 13)), nn.ReLU(inplace=True), nn.Linear(CLASSES, CLASSES).double()
    ).eval(),
    "many channels first": lambda: ended(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 7, 3), nn.ReLU()),
    "strides first": lambda: ended(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU()),
    "dense": lambda: ended(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 20), nn.ReLU()),
}


def changed(images: Tensor, step: int) -> Tensor:
    """Two features of most rows, corners and edges among them, none of one row, and most of another's."""
    generator = torch.Generator().manual_seed(step)
    images = images.clone()
    for row in range(1, len(images) - 1):
        for _ in range(2):
            channel, down, right = (int(torch.randint(n, (), generator=generator)) for n in (CHANNELS, SIDE, SIDE))
            if row == 1:
                down, right = (0, SIDE - 1) if step % 2 else (SIDE - 1, 0)
            images[row, channel, down, right] = float(torch.rand((), generator=generator))
    images[-1] = torch.rand(CHANNELS, SIDE, SIDE, generator=generator)
    return images


def asked(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Logits, and the gradients of two ways back."""
    shown = images.clone().requires_grad_()
    logits = model(shown)
    ways = [torch.autograd.grad(value, shown, retain_graph=True)[0] for value in (logits[:, 0].sum(), logits.sum())]
    return [logits.detach(), *ways]


@pytest.mark.parametrize("parts", ["at once", "row by row"])
@pytest.mark.parametrize("form", ["as it is", "for images"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_the_networks_whatever_changes(
    name: str, form: str, parts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parts == "row by row":
        monkeypatch.setattr(remembered, "_BYTES", 1)
    plain = NETWORKS[name]()
    model = Remembering(plain if form == "as it is" else for_images(plain))
    images = torch.rand(COUNT, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).double()
    for step in range(6):
        if step == 3:
            rows = torch.tensor([0, 2, 3, 5])
            images = images[rows]
            model.keep(rows)
        for expected, ours in zip(asked(plain, images), asked(model, images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
        with torch.no_grad():
            torch.testing.assert_close(model(images), plain(images.clone()), rtol=1e-10, atol=1e-12)
        images = changed(images, step)


def test_batches_of_other_sizes_are_new_to_it() -> None:
    plain = NETWORKS["two, pooled"]()
    model = Remembering(plain)
    for count in (4, 2, 5):
        images = torch.rand(count, CHANNELS, SIDE, SIDE).double()
        torch.testing.assert_close(model(images), plain(images))


class _Positions:
    """What convolutions were asked to compute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[tuple[int, ...]] = []
        original = nn.functional.conv2d

        def counted(images: Tensor, *others: Tensor) -> Tensor:
            self.sizes.append(tuple(images.shape))
            return original(images, *others)

        monkeypatch.setattr(nn.functional, "conv2d", counted)


@pytest.mark.parametrize("architecture", SHAPES)
def test_of_two_changed_pixels_only_what_depends_on_them_is_computed(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels, height, width = SHAPES[architecture]
    model = Remembering(network(architecture))
    images = torch.rand(5, channels, height, width)
    model(images)
    asked_for = _Positions(monkeypatch)
    images[2, 0, 3, 4] = images[2, 0, 20, 20] = 0.5
    model(images)
    first, second = asked_for.sizes[:2]
    assert first == (2, channels, 9, 9)
    assert second[0] == 2
    assert second[2:] == (7, 7)


@pytest.mark.parametrize("size", [3, 8])
def test_samples_that_end_at_different_steps_find_what_they_find_alone(size: int) -> None:
    torch.manual_seed(2)
    model = plain_network("papernot_mnist").double()
    last = model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.zero_()
    images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        targets = model(images).argsort(dim=1)[torch.arange(8), 8 - torch.arange(8) // 3]  # the nearest first
    together = jsma(model, images, targets, max_features=40, output="logits", batch_size=size)
    assert together.changed_features.unique().numel() > 2
    for row in range(8):
        alone = jsma(model, images[row : row + 1], targets[row : row + 1], max_features=40, output="logits")
        assert alone.adversarial[0].equal(together.adversarial[row])
