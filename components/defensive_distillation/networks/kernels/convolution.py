"""A convolution of few channels, the first of a network, whose gradient with respect to the images is not wasted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FEW_CHANNELS = 4  # beyond, the library's own backward pass uses the whole width of the machine's vectors


class InputConvolution(nn.Conv2d):
    """`nn.Conv2d` without padding, stride or groups; the same weights and outputs, another backward pass on the CPU.

    The gradient with respect to an input of one or three channels is what every attack asks for, and the library
    computes it channel by channel of that input, at a twentieth of its usual rate. Here it is one matrix product, from
    the output's channels to the kernel's positions, and a sum of shifted images.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H - k + 1, W - k + 1)."""
        if images.is_cuda or self.in_channels > FEW_CHANNELS or not images.requires_grad:
            return super().forward(images)
        output: Tensor = _Convolution.apply(images, self.weight, self.bias)
        return output


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.bias_shape = None if bias is None else list(bias.shape)
        return nn.functional.conv2d(images, weight, bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_images = by_images(upstream, weight) if wanted[0] else None
        of_weight = of_bias = None
        if wanted[1] or wanted[2]:
            _, of_weight, of_bias = torch.ops.aten.convolution_backward(
                upstream, images, weight, ctx.bias_shape, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, *wanted[1:]]
            )
        return of_images, of_weight, of_bias


def is_simple(layer: nn.Conv2d) -> bool:
    """Whether it has neither stride nor padding, dilation or groups."""
    return (layer.stride, layer.padding, layer.dilation, layer.groups) == ((1, 1), (0, 0), (1, 1), 1)


def gradient(images: Tensor, weight: Tensor, upstream: Tensor, which: int) -> Tensor:
    """The library's gradient of a simple convolution, of its images (`which` is 0) or of its weights (1)."""
    wanted = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        upstream, images, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, wanted
    )[which]
    return found


def by_images(upstream: Tensor, weight: Tensor) -> Tensor:
    """The gradient with respect to few channels (N, C, H' + k - 1, W' + l - 1), of (N, O, H', W') and (O, C, k, l)."""
    outputs, channels, rows, columns = weight.shape
    count, _, height, width = upstream.shape
    across = upstream.transpose(0, 1).flatten(1)  # (O, N H' W'), as it lies where channels are last
    parts = (weight.permute(2, 3, 1, 0).reshape(-1, outputs) @ across).view(
        rows, columns, channels, count, height, width
    )
    total = upstream.new_zeros(channels, count, height + rows - 1, width + columns - 1)
    for row in range(rows):
        for column in range(columns):
            total[:, :, row : row + height, column : column + width] += parts[row, column]
    return total.transpose(0, 1)
