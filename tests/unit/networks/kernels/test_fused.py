from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.kernels import fused as fusing
from defensive_distillation.networks.kernels.fused import PooledConvolution, RectifiedConvolution, fused

ARCHITECTURES = [("papernot_mnist", (1, 28, 28)), ("papernot_cifar10", (3, 32, 32))]
LIMITS = ("_FEW_CHANNELS", "_FEW_PIXELS", "_SMALL_KERNEL")


def network(architecture: str, shape: tuple[int, int, int]) -> nn.Module:
    return build(architecture, 10, shape, dropout=0.0, seed=1).double()


def shown(shape: tuple[int, ...], count: int = 4) -> Tensor:
    """A third of it black, as handwriting is: there the largest of four is one of equals."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(count, *shape, generator=generator, dtype=torch.float64)
    return images * (torch.rand(count, 1, 1, shape[2], generator=generator) < 0.7)


@pytest.mark.parametrize(("architecture", "shape"), ARCHITECTURES)
@pytest.mark.parametrize("limits", [None, (0, 0, 0), (99, 99, 10**6)])
def test_outputs_and_all_gradients_are_those_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    shape: tuple[int, int, int],
    limits: tuple[int, int, int] | None,
) -> None:
    for name, value in zip(LIMITS, limits or (), strict=False):
        monkeypatch.setattr(fusing, name, value)
    plain = network(architecture, shape)
    found = []
    for model in (plain, fused(copy.deepcopy(plain))):
        images = shown(shape).requires_grad_()
        logits = model(images)
        gradients = torch.autograd.grad(logits.square().sum(), [images, *model.parameters()])
        found.append((logits, *gradients))
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("architecture", "shape"), ARCHITECTURES)
def test_the_parameters_are_the_same_under_the_same_names(architecture: str, shape: tuple[int, int, int]) -> None:
    plain = network(architecture, shape)
    made = fused(plain)
    kinds = [type(layer) for layer in made.children() if isinstance(layer, RectifiedConvolution | PooledConvolution)]
    assert kinds == [RectifiedConvolution, PooledConvolution] * 2
    assert not any(isinstance(layer, nn.Conv2d | nn.MaxPool2d) for layer in made.modules())
    assert [(name, id(p)) for name, p in made.named_parameters()] == [
        (name, id(p)) for name, p in plain.named_parameters()
    ]
    assert list(made.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays(training: bool) -> None:
    made = fused(network(*ARCHITECTURES[0]).train(training))
    assert all(module.training == training for module in made.modules())


def test_a_frozen_network_gives_the_gradient_of_its_images_alone() -> None:
    plain = network(*ARCHITECTURES[0]).eval().requires_grad_(False)
    images = shown((1, 28, 28)).requires_grad_()
    (expected,) = torch.autograd.grad(plain(images).sum(), images)
    (found,) = torch.autograd.grad(fused(plain)(images).sum(), images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 5, 3, padding=1), nn.ReLU()],
        [nn.Conv2d(1, 5, 3, bias=False), nn.ReLU()],
        [nn.Conv2d(1, 5, 3), nn.MaxPool2d(3), nn.ReLU()],
        [nn.Conv2d(1, 5, 3), nn.Tanh()],
        [nn.Conv2d(1, 5, 3)],
    ],
)
def test_what_it_does_not_know_it_leaves(layers: list[nn.Module]) -> None:
    model = nn.Sequential(*layers)
    assert list(fused(model).children()) == layers


def test_a_network_that_is_no_sequence_is_left() -> None:
    model = build("torchvision:resnet18", 10, (3, 32, 32))
    assert fused(model) is model


@pytest.mark.parametrize("size", [(9, 12), (10, 11)])
def test_pooling_leaves_out_what_is_over(size: tuple[int, int]) -> None:
    plain = nn.Sequential(nn.Conv2d(2, 5, 3), nn.MaxPool2d(2), nn.ReLU()).double()
    made = fused(plain)
    found = []
    for model in (plain, made):
        images = shown((2, *size)).requires_grad_()
        found.append(torch.autograd.grad(model(images).square().sum(), [images, *model.parameters()]))
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_mixed_precision_computes_in_bfloat16() -> None:
    model = fused(network(*ARCHITECTURES[0]).float())
    images = shown((1, 28, 28)).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), model(images), rtol=0.1, atol=0.1)
