"""A network of radial basis functions (Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572, Section 7)."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError

_SEEN = 1000  # images by which the width of the units is measured
STRIDE = 10.0  # parameters are held as a tenth, so that SGD's steps on them are a hundred times as long


class RadialBasis(nn.Module):
    """Units h_m = exp(-(x - μ_m)ᵀ β_m (x - μ_m)) with diagonal β_m, each near its centre alone: (N, C, H, W) to (N, M).

    The exponent is taken as a sum of products, so that no (N, M, D) is ever held: βᵀx² - 2 (βμ)ᵀx + βᵀμ².

    Deviation: `STRIDE`. A unit feels each of many features little: at a rate that suits the last layer, the centres
    would stay where they are.
    """

    def __init__(self, units: int, features: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.rand(units, features) / STRIDE)  # μ
        self.log_precisions = nn.Parameter(torch.full((units, features), -math.log(features) / STRIDE))  # log β

    def forward(self, images: Tensor) -> Tensor:
        """`images` as a matrix of their features, weighed against every centre."""
        x, centres, precisions = images.flatten(1), STRIDE * self.centres, (STRIDE * self.log_precisions).exp()
        weighed = precisions * centres
        exponents = x.square() @ precisions.t() - 2 * x @ weighed.t() + (weighed * centres).sum(1)
        return torch.exp(-exponents.clamp(min=0))  # rounding could make a distance negative


class RadialBasisNetwork(nn.Sequential):
    """M such units, and a linear layer from them to K logits."""

    units: RadialBasis
    output: nn.Linear

    def __init__(self, units: int, features: int, num_classes: int) -> None:
        output = nn.Linear(units, num_classes)
        nn.init.xavier_uniform_(output.weight)
        nn.init.zeros_(output.bias)
        super().__init__(OrderedDict(units=RadialBasis(units, features), output=output))


def radial_basis(units: str, num_classes: int, image_shape: tuple[int, int, int]) -> RadialBasisNetwork:
    """A network of so many units. Raises InputError for fewer than there are classes."""
    if not units.isdecimal() or int(units) < num_classes:
        raise InputError(f"architecture: expected rbf:UNITS with at least {num_classes} of them, got 'rbf:{units}'")
    return RadialBasisNetwork(int(units), math.prod(image_shape), num_classes)


@torch.no_grad()
def place(model: nn.Module, images: Tensor, labels: Tensor, *, width: float, gain: float) -> None:
    """Puts the centres on training images, as many of each class as of the others, and lets each speak for its class.

    Args:
        model: a RadialBasisNetwork; changed in place.
        images: (N, C, H, W) in [0, 1], from which the centres are taken, the first ones of each class.
        labels: (N,), each class at least once.
        width: mean exponent between a centre and an image.
        gain: the weight between a unit and the logit of its own class.

    Raises:
        InputError: for a network of another kind.
    """
    if not isinstance(model, RadialBasisNetwork):
        raise InputError(f"model: expected a network of radial basis functions, got {type(model).__name__}")
    units, classes = model.output.in_features, model.output.out_features
    of_class = [(labels == k).nonzero().squeeze(1) for k in range(classes)]
    chosen = torch.stack([(own := of_class[m % classes])[m // classes % len(own)] for m in range(units)])
    centres = images[chosen].flatten(1)
    squared = torch.cdist(centres, images[:_SEEN].flatten(1)).square().mean()
    model.units.centres.copy_(centres / STRIDE)
    model.units.log_precisions.fill_(math.log(width / float(squared)) / STRIDE)
    model.output.weight.copy_(gain * nn.functional.one_hot(labels[chosen], classes).t())
    model.output.bias.zero_()
