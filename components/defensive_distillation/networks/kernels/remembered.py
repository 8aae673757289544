"""A sequence of layers that is asked again and again about images of which few pixels have changed.

JSMA changes two pixels a step, and behind two unpadded convolutions of 3×3 only 5×5 values of each channel depend on
one. What the first convolutions say of the rest is remembered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.networks.kernels.convolution import (
    FEW_CHANNELS,
    InputConvolution,
    by_images,
    gradient,
    is_simple,
)
from defensive_distillation.networks.kernels.for_images import NEITHER_CHANGED_NOR_SHARED, is_plain_sequence

_BYTES = 6 * 2**20  # of one block's outputs that are computed anew at once, and go back at once
_GAIN = 2  # times that all pixels must outnumber those that are computed again


class Remembering(nn.Module):
    """`network`, the same outputs and gradients of images; where it begins with convolutions their outputs are kept."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        first, rest = _divided(network)
        self.first = First(first) if first else None
        self.rest = nn.Sequential(*rest) if first else network
        self._shared = not (rest and type(rest[0]) in NEITHER_CHANGED_NOR_SHARED)

    def forward(self, images: Tensor) -> Any:
        """Of images (N, C, H, W) what the network says; each row is compared with that row of the last call."""
        if self.first is None:
            return self.rest(images)
        found: Tensor = _Given.apply(images, self.first)
        return self.rest(found.clone() if self._shared else found)

    def keep(self, rows: Tensor) -> None:
        """The next images are those of these rows of the last ones, (M,) int64 or (N,) bool."""
        if self.first is not None:
            self.first.keep(rows)


@dataclass(frozen=True, eq=False)
class _Block:
    """A convolution without padding, stride or groups, rectified or not."""

    weight: Tensor  # (O, C, k, l)
    bias: Tensor | None
    rectified: bool

    def forward(self, images: Tensor) -> Tensor:
        found = nn.functional.conv2d(images, self.weight, self.bias)
        return found.relu_() if self.rectified else found

    def backward(self, upstream: Tensor, given: Tensor, found: Tensor) -> Tensor:
        """The gradient of what was given, (N, C, H, W), from that of what was found."""
        if self.rectified:
            upstream = torch.ops.aten.threshold_backward(upstream, found, 0)
        if self.weight.shape[1] <= FEW_CHANNELS:
            return by_images(upstream, self.weight)
        return gradient(given, self.weight, upstream, 0)


class First:
    """The convolutions that a network begins with, and what they said of the last images."""

    def __init__(self, blocks: Sequence[_Block]) -> None:
        self._blocks = blocks
        # pixels of an image in a row, and in a column, on which one value behind the convolutions depends
        self._field = [1 + sum(block.weight.shape[axis] - 1 for block in blocks) for axis in (2, 3)]
        self._seen: Tensor | None = None  # (N, C, H, W)
        self._found: list[Tensor] = []  # of each block (N, O, H', W')

    def keep(self, rows: Tensor) -> None:
        """Forgets all other rows."""
        if self._seen is not None:
            self._seen, self._found = self._seen[rows], [found[rows] for found in self._found]

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H', W'), which the next call overwrites."""
        if self._seen is None or self._seen.shape != images.shape:
            self._found = self._computed(images)
        else:
            changed = (images != self._seen).any(dim=1)  # (N, H, W)
            count = changed.flatten(1).sum(dim=1)
            sides = self._sides(images)
            anew = _GAIN * count * sides[0] * sides[1] > images[0, 0].numel()
            self._compute_parts(images, (changed & ~anew[:, None, None]).nonzero().unbind(1), sides)
            # a few rows at a time: what is computed and what is kept lie in memory side by side
            for rows in anew.nonzero().squeeze(1).split(self._rows_at_once()):
                for found, part in zip(self._found, self._computed(images[rows]), strict=True):
                    found[rows] = part
        self._seen = images.clone()
        return self._found[-1]

    def backward(self, upstream: Tensor) -> Tensor:
        """The gradient of the last images (N, C, H, W), from that of what was said of them."""
        assert self._seen is not None
        # a few rows at a time: what is between two layers is read while it is still near
        rows = self._rows_at_once()
        parts = zip(*(whole.split(rows) for whole in (upstream, self._seen, *self._found)), strict=True)
        return torch.cat([self._backward(*part) for part in parts])

    def _rows_at_once(self) -> int:
        """Of all that are kept, in parts of like size."""
        parts = max(1, math.ceil(max(found.nbytes for found in self._found) / _BYTES))
        return max(1, math.ceil(len(self._found[-1]) / parts))

    def _backward(self, upstream: Tensor, seen: Tensor, *found: Tensor) -> Tensor:
        given = (seen, *found)
        for block, before, after in reversed(list(zip(self._blocks, given, found, strict=False))):
            upstream = block.backward(upstream, before, after)
        return upstream

    def _computed(self, images: Tensor) -> list[Tensor]:
        found = []
        images = images.contiguous(memory_format=torch.channels_last)
        for block in self._blocks:
            images = block.forward(images)
            found.append(images)
        return found

    def _sides(self, images: Tensor) -> list[int]:
        """Height and width of the part of an image that all values depend on which depend on one pixel."""
        return [min(2 * field - 1, side) for field, side in zip(self._field, images.shape[2:], strict=True)]

    def _compute_parts(self, images: Tensor, pixels: Sequence[Tensor], sides: Sequence[int]) -> None:
        """What depends on these pixels: rows of `images`, their rows and columns, (P,) each."""
        of, *places = pixels
        if not len(of):
            return
        corner = [
            (place - field + 1).clamp(0, whole - side)
            for place, field, side, whole in zip(places, self._field, sides, images.shape[2:], strict=True)
        ]

        def window(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
            down, right = (
                start[:, None] + torch.arange(side) for start, side in zip(corner, (height, width), strict=True)
            )
            return of[:, None, None], down[:, :, None], right[:, None, :]

        parts = self._computed(images.permute(0, 2, 3, 1)[window(*sides)].permute(0, 3, 1, 2))
        for found, part in zip(self._found, parts, strict=True):
            found.permute(0, 2, 3, 1)[window(*part.shape[2:])] = part.permute(0, 2, 3, 1)


class _Given(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, first: First) -> Tensor:
        ctx.first = first
        return first.forward(images.detach())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.first.backward(upstream), None


def _divided(network: nn.Module) -> tuple[list[_Block], list[nn.Module]]:
    """The convolutions that a plain sequence begins with, none if it is no such sequence, and the rest."""
    if not is_plain_sequence(network):
        return [], []
    layers = list(network.children())
    blocks: list[_Block] = []
    while layers and type(layer := layers[0]) in (nn.Conv2d, InputConvolution):
        assert isinstance(layer, nn.Conv2d)
        if not is_simple(layer):
            break
        layers.pop(0)
        rectified = bool(layers) and type(layers[0]) is nn.ReLU
        if rectified:
            layers.pop(0)
        blocks.append(_Block(layer.weight.detach(), None if layer.bias is None else layer.bias.detach(), rectified))
    return blocks, layers
