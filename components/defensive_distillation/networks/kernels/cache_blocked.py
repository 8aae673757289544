"""Sequences as a CPU computes them best where only the images' gradient is asked for, as every attack does.

Cache blocking: a few samples go through all layers, and back, before the next begin, so that what one layer leaves is
still in the processor's cache when the next takes it. No weight's gradient is computed, a rectified gradient takes the
place of the one before, and the convolution of few channels has a backward pass of its own. Outputs and gradients are
PyTorch's but for the order in which sums are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from defensive_distillation.networks.kernels.convolution import FEW_CHANNELS, InputConvolution, by_images

_AT_ONCE = 16  # samples: as few as the library's convolutions need for their full rate
_threshold_backward = torch.ops.aten.threshold_backward


def cache_blocked(model: nn.Module, *, for_images_alone: bool = False) -> nn.Module:
    """`model` with the same layers under the same names, blocked where it is a sequence of layers that are known.

    Otherwise as it is, and so it is where somebody watches its layers by hooks.

    Args:
        model: any.
        for_images_alone: whether no gradient of a weight is asked for, although it may require one.
    """
    layers = list(model.modules())
    known = type(model) in (nn.Sequential, CacheBlocked) and all(type(layer) in _STEPS for layer in layers[1:])
    if not known or any(_is_watched(layer) for layer in layers):
        return model
    return CacheBlocked(dict(model.named_children()), for_images_alone)


class CacheBlocked(nn.Sequential):
    """Layers in a row, each of which treats every sample by itself."""

    def __init__(self, layers: dict[str, nn.Module], for_images_alone: bool) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.training = any(layer.training for layer in layers.values())
        self._for_images_alone = for_images_alone

    def forward(self, images: Tensor) -> Tensor:
        """(N, ...) to (N, K)."""
        if not self._can_block(images):
            output: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        elif images.requires_grad and torch.is_grad_enabled():
            output = _Blocked.apply(images, self._steps())
        else:
            steps = self._steps()
            output = torch.cat([_there(steps, block)[0] for block in images.detach().split(_AT_ONCE)])
        return output

    def _can_block(self, images: Tensor) -> bool:
        suitable = images.device.type == "cpu" and images.is_floating_point() and len(images) > 0
        idle = not torch.is_autocast_enabled("cpu") and not any(layer.training for layer in self.modules())
        weights = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters())
        return suitable and idle and (self._for_images_alone or not weights)

    def _steps(self) -> list[Step]:
        """Of all layers, pooled before they are rectified, which is the same for a quarter of the work."""
        layers = list(self.children())
        for number in range(len(layers) - 1):
            one, other = layers[number : number + 2]
            if (type(one), type(other)) == (nn.ReLU, nn.MaxPool2d):
                layers[number : number + 2] = other, one
        return [_STEPS[type(layer)](layer) for layer in layers]


class Passing(NamedTuple):
    """A tensor between two layers, and whether it is nobody else's, so that it may be overwritten."""

    value: Tensor
    own: bool


Back = Callable[[Passing], Passing]  # from ∂/∂output to ∂/∂input
Step = Callable[[Passing], tuple[Passing, Back]]


class _Blocked(torch.autograd.Function):
    """All layers, block by block; what each leaves for its way back lives as long as the graph."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, steps: list[Step]) -> Tensor:
        outputs, ctx.ways = zip(*(_there(steps, block) for block in images.detach().split(_AT_ONCE)), strict=True)
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        parts = zip(ctx.ways, upstream.split(_AT_ONCE), strict=True)
        return torch.cat([_back(ways, part) for ways, part in parts]), None


def _there(steps: list[Step], block: Tensor) -> tuple[Tensor, list[Back]]:
    ways: list[Back] = []
    passing = Passing(block, own=False)
    for step in steps:
        passing, back = step(passing)
        ways.append(back)
    return passing.value, ways


def _back(ways: list[Back], upstream: Tensor) -> Tensor:
    passing = Passing(upstream, own=False)
    for back in reversed(ways):
        passing = back(passing)
    return passing.value


def _convolution(layer: nn.Conv2d) -> Step:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return _other(layer)
    # copied: of one channel `contiguous` would leave the strides, by which the library chooses the layout that follows
    weight = layer.weight.detach().clone(memory_format=torch.channels_last)
    bias = None if layer.bias is None else layer.bias.detach()
    settings = layer.stride, layer.padding, layer.dilation
    is_plain = (*settings, layer.groups) == ((1, 1), (0, 0), (1, 1), 1)

    def step(images: Passing) -> tuple[Passing, Back]:
        def back(upstream: Passing) -> Passing:
            if is_plain and weight.shape[1] <= FEW_CHANNELS:
                return Passing(by_images(upstream.value, weight), own=True)
            gradient, _, _ = torch.ops.aten.convolution_backward(
                *(upstream.value, images.value, weight, None, *settings, False, [0, 0], layer.groups),
                [True, False, False],
            )
            return Passing(gradient, own=True)

        return Passing(nn.functional.conv2d(images.value, weight, bias, *settings, layer.groups), own=True), back

    return step


def _linear(layer: nn.Linear) -> Step:
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()

    def step(features: Passing) -> tuple[Passing, Back]:
        output = nn.functional.linear(features.value, weight, bias)
        return Passing(output, own=True), lambda upstream: Passing(upstream.value @ weight, own=True)

    return step


def _rectifier(layer: nn.ReLU) -> Step:
    def step(features: Passing) -> tuple[Passing, Back]:
        output = features.value.relu_() if features.own else features.value.relu()

        def back(upstream: Passing) -> Passing:
            if upstream.own:
                _threshold_backward.grad_input(upstream.value, output, 0, grad_input=upstream.value)
                return upstream
            return Passing(_threshold_backward(upstream.value, output, 0), own=True)

        return Passing(output, own=False), back  # kept for the way back

    return step


def _pooling(layer: nn.MaxPool2d) -> Step:
    if layer.return_indices:
        return _other(layer)
    settings = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
    pairs = [[one, one] if isinstance(one, int) else one for one in settings[:4]]

    def step(images: Passing) -> tuple[Passing, Back]:
        largest, places = nn.functional.max_pool2d(images.value, *settings, return_indices=True)
        shape = torch.empty_like(images.value)  # no value of it is read

        def back(upstream: Passing) -> Passing:
            backward = torch.ops.aten.max_pool2d_with_indices_backward
            return Passing(backward(upstream.value, shape, *pairs, layer.ceil_mode, places), own=True)

        return Passing(largest, own=True), back

    return step


def _flattening(layer: nn.Flatten) -> Step:
    def step(images: Passing) -> tuple[Passing, Back]:
        shape = images.value.shape
        last = images.value.dim() == 4 and images.value.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format

        def back(upstream: Passing) -> Passing:
            return Passing(upstream.value.view(shape).contiguous(memory_format=layout), own=upstream.own)

        return Passing(layer(images.value), own=False), back

    return step


def _nothing(layer: nn.Module) -> Step:
    return lambda features: (features, lambda upstream: upstream)


def _other(layer: nn.Module) -> Step:
    """A layer by PyTorch's own way back."""

    def step(features: Passing) -> tuple[Passing, Back]:
        given = features.value.detach().requires_grad_()
        with torch.enable_grad():
            output = layer(given.clone() if getattr(layer, "inplace", False) else given)

        def back(upstream: Passing) -> Passing:
            (gradient,) = torch.autograd.grad(output, given, upstream.value, retain_graph=True)
            return Passing(gradient, own=False)

        return Passing(output.detach(), own=False), back

    return step


_STEPS: dict[type[nn.Module], Callable[[Any], Step]] = {
    **{nn.Conv2d: _convolution, InputConvolution: _convolution, nn.Linear: _linear},
    **{nn.ReLU: _rectifier, nn.MaxPool2d: _pooling, nn.Flatten: _flattening},
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Identity), _nothing),
    **dict.fromkeys((nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus), _other),
    **dict.fromkeys((nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Unflatten), _other),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm), _other),
}


def _is_watched(layer: nn.Module) -> bool:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks)
