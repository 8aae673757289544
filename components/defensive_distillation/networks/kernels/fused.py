"""The paper's networks as a GPU computes them best: each convolution and what follows it as one operation.

The same parameters, names and outputs. What costs time on a GPU, measured on an H200 (docs/benchmarks.md), is done in
another way: the bias is added and rectified after pooling, on a quarter of the values, or by the convolution's own
kernel; a pooled gradient is spread by the places of the largest values; and a gradient that cuDNN's deterministic
kernels are slow at is a convolution with the kernel turned round, or a matrix product.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from defensive_distillation.networks.architectures.denoised import Denoised
from defensive_distillation.networks.kernels.convolution import gradient, is_simple

_FEW_CHANNELS = 4  # of images: cuDNN goes through them one by one
_FEW_PIXELS = 16  # a side of a gradient, up to which cuDNN's kernel for the input's gradient is slow
_SMALL_KERNEL = 32 * 32  # channels in times out, up to which its kernel for the weights' gradient is


def fused(model: nn.Module) -> nn.Module:
    """`model` with its convolutions and their successors fused, where it is a sequence; otherwise as it is.

    Of a network behind an auto-encoder that of the network.
    """
    if isinstance(model, Denoised):
        return Denoised(model.autoencoder, fused(model.classifier)).train(model.training)
    if not isinstance(model, nn.Sequential):
        return model
    layers = list(model.named_children())
    made: OrderedDict[str, nn.Module] = OrderedDict()
    while layers:
        (name, layer), following = layers[0], [type(other) for _, other in layers[1:3]]
        block, taken = layer, 1
        if isinstance(layer, nn.Conv2d) and layer.bias is not None and is_simple(layer):
            if following[:1] == [nn.ReLU]:
                block, taken = RectifiedConvolution(layer), 2
            elif following == [nn.MaxPool2d, nn.ReLU] and _halves(layers[1][1]):
                block, taken = PooledConvolution(layer), 3
        made[name] = block
        layers = layers[taken:]
    return nn.Sequential(made).train(model.training)


def _halves(layer: nn.Module) -> bool:
    settings = [getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")]
    return settings == [2, 2, 0, 1, False]


class _Block(nn.Module):
    """A convolution with its own parameters, and what follows it."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert layer.bias is not None
        self.weight, self.bias = layer.weight, layer.bias


class RectifiedConvolution(_Block):
    """`nn.Conv2d` and `nn.ReLU`."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H - k + 1, W - k + 1)."""
        if torch.is_autocast_enabled(images.device.type):
            return nn.functional.conv2d(images, self.weight, self.bias).relu_()
        output: Tensor = _Rectified.apply(images, self.weight, self.bias)
        return output


class PooledConvolution(_Block):
    """`nn.Conv2d`, `nn.MaxPool2d(2)` and `nn.ReLU`."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, (H - k + 1) // 2, (W - k + 1) // 2)."""
        if torch.is_autocast_enabled(images.device.type):
            return nn.functional.max_pool2d(nn.functional.conv2d(images, self.weight, self.bias), 2).relu_()
        output: Tensor = _Pooled.apply(images, self.weight, self.bias)
        return output


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if images.is_cuda and images.dtype == torch.float32:
            output = torch.cudnn_convolution_relu(images, weight, bias, (1, 1), (0, 0), (1, 1), 1)
        else:
            output = nn.functional.conv2d(images, weight, bias).relu_()
        ctx.save_for_backward(images, weight, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, output = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(upstream, output, 0)
        return _gradients(ctx.needs_input_grad, images, weight, passed, passed)


class _Pooled(torch.autograd.Function):
    """The largest of four sums with a bias is the largest of the four and the bias: rounding keeps the order."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        convolved = nn.functional.conv2d(images, weight)
        largest, places = nn.functional.max_pool2d(convolved, 2, return_indices=True)
        output = largest.add_(bias[:, None, None]).relu_()
        ctx.size = convolved.shape[2:]
        ctx.save_for_backward(images, weight, output, places)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, output, places = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(upstream, output, 0)
        spread = nn.functional.max_unpool2d(passed, places, [2, 2], output_size=ctx.size)
        return _gradients(ctx.needs_input_grad, images, weight, spread, passed)


def _gradients(
    wanted: tuple[bool, ...], images: Tensor, weight: Tensor, upstream: Tensor, summed: Tensor
) -> tuple[Tensor | None, ...]:
    """With respect to images, weights and biases; `summed` has the sums of `upstream` in each channel."""
    return (
        _by_images(images, weight, upstream) if wanted[0] else None,
        _by_weight(images, weight, upstream) if wanted[1] else None,
        summed.sum((0, 2, 3)) if wanted[2] else None,
    )


def _by_images(images: Tensor, weight: Tensor, upstream: Tensor) -> Tensor:
    rows, columns = weight.shape[2:]
    height, width = upstream.shape[2:]
    if images.shape[1] <= _FEW_CHANNELS:
        # from the output's channels to the kernel's positions, and a sum of shifted images
        parts = weight.flatten(1).t() @ upstream.flatten(2)  # (N, C k l, H' W')
        parts = parts.view(len(images), -1, rows, columns, height, width)
        total = torch.zeros_like(images, memory_format=torch.contiguous_format)
        for row in range(rows):
            for column in range(columns):
                total[:, :, row : row + height, column : column + width] += parts[:, :, row, column]
        return total
    if max(height, width) <= _FEW_PIXELS:
        kernel = weight.flip(2, 3).transpose(0, 1).contiguous()
        return nn.functional.conv2d(upstream, kernel, padding=(rows - 1, columns - 1))
    return gradient(images, weight, upstream, 0)


def _by_weight(images: Tensor, weight: Tensor, upstream: Tensor) -> Tensor:
    outputs, inputs, rows, columns = weight.shape
    if not inputs > _FEW_CHANNELS or inputs * outputs > _SMALL_KERNEL:
        return gradient(images, weight, upstream, 1)
    # one product over all positions of all images
    seen = images.unfold(2, rows, 1).unfold(3, columns, 1).permute(1, 4, 5, 0, 2, 3).reshape(weight[0].numel(), -1)
    return (upstream.transpose(0, 1).reshape(outputs, -1) @ seen.t()).view_as(weight)
