"""What all contenders are given: the paper's two networks, one an architecture, and pairs of source and target."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.kernels.convolution import InputConvolution

SHAPES = {"papernot_mnist": (1, 28, 28), "papernot_cifar10": (3, 32, 32)}
CLASSES = 10
MAX_FEATURES = 112
STEPS = MAX_FEATURES // 2
_NEVER = 1e4  # bias of class 0, so that no other is ever predicted


@functools.cache
def network(architecture: str) -> nn.Module:
    """In evaluation mode, with the initial weights of seed 0; class 0 is predicted whatever the image.

    So every attack on another class takes all of its steps, and nobody wins by being lucky. The bias of class 0 is a
    constant: it changes no gradient of a logit.
    """
    model = build(architecture, CLASSES, SHAPES[architecture], seed=0).eval()
    with torch.no_grad():
        last = list(model.children())[-1]
        assert isinstance(last, nn.Linear)
        last.bias[0] = _NEVER
    return model


def plain_network(architecture: str) -> nn.Module:
    """The same network of PyTorch's own layers in the order of Table I, as a peer's user would write it."""
    return plain(network(architecture)).eval()


def plain(model: nn.Module) -> nn.Module:
    """One of the paper's networks with the same weights, rectified before pooling, of PyTorch's own layers."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(model).children():
        if isinstance(layer, InputConvolution):
            first = nn.Conv2d(layer.in_channels, layer.out_channels, 3)
            first.load_state_dict(layer.state_dict())
            layers.append(first)
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(layer)
        elif isinstance(layer, nn.ReLU) and isinstance(layers[-1], nn.MaxPool2d):
            layers.insert(-1, nn.ReLU())
        else:
            layers.append(nn.ReLU() if isinstance(layer, nn.ReLU) else layer)
    return nn.Sequential(*layers)


def pairs(architecture: str, count: int) -> tuple[Tensor, Tensor]:
    """Sources (count, C, H, W), sparse as handwriting, and targets (count,) other than 0, evenly among them."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, *SHAPES[architecture], generator=generator)
    ink = torch.rand(count, 1, *SHAPES[architecture][1:], generator=generator) < 0.3
    return images * ink, 1 + torch.arange(count) % (CLASSES - 1)


def convolutions(architecture: str) -> Iterator[tuple[nn.Conv2d, tuple[int, int, int]]]:
    """The four convolutions of our network, each with the shape of its input."""
    _, height, width = SHAPES[architecture]
    for layer in network(architecture).children():
        if isinstance(layer, nn.Conv2d):
            yield layer, (layer.in_channels, height, width)
            height, width = height - 2, width - 2
        elif isinstance(layer, nn.MaxPool2d):
            height, width = height // 2, width // 2
