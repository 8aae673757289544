"""A sequence of PyTorch's own layers in the form that our networks have, for gradients of images on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import nn

from defensive_distillation.networks.kernels.convolution import InputConvolution, is_simple

# what they give no gradient needs, so it may be rectified in place; what they are given stays, and is not given on
NEITHER_CHANGED_NOR_SHARED = (nn.Conv2d, InputConvolution, nn.Linear, nn.MaxPool2d, nn.BatchNorm2d, nn.BatchNorm1d)


def for_images(model: nn.Module) -> nn.Module:
    """A plain `nn.Sequential` in evaluation mode with the same outputs, whose images' gradients take less time.

    Convolutions lie channels last, the first one has the backward pass of `InputConvolution`, what is rectified and
    pooled is pooled first, and rectified in place. Weights that it shares or copies are given no gradient by a pass
    that asks for the images' alone. Any other model is returned as it is, and so is one whose layers somebody watches
    by hooks. The one that was given stays as it was.
    """
    if not is_plain_sequence(model):
        return model
    return nn.Sequential(*_rearranged(list(model.children()))).eval()


def is_plain_sequence(model: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether it is an `nn.Sequential` and no more, in evaluation mode, whose layers nobody watches by hooks."""
    return type(model) is nn.Sequential and not any(_is_busy(module) for module in model.modules())


def _is_busy(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return module.training or any(hooks)


def _rearranged(layers: list[nn.Module]) -> Iterator[nn.Module]:
    before: nn.Module | None = None
    while layers:
        if [type(layer) for layer in layers[:2]] == [nn.ReLU, nn.MaxPool2d]:
            layers[:2] = layers[1::-1]  # the largest, rectified, is the largest of the rectified
        layer = layers.pop(0)
        if type(layer) is nn.Conv2d:
            yield _laid_out(layer)
        elif type(layer) is nn.ReLU:
            yield nn.ReLU(inplace=type(before) in NEITHER_CHANGED_NOR_SHARED)
        else:
            yield layer
        before = layer


def _laid_out(layer: nn.Conv2d) -> nn.Conv2d:
    """A copy with its tensors channels last."""
    made = copy.copy(layer)
    if is_simple(layer):
        made.__class__ = InputConvolution
    # cloned, since `contiguous` leaves the strides of one channel, by which the library chooses the layout of the rest
    tensors = {"weight": layer.weight.detach().clone(memory_format=torch.channels_last), "bias": layer.bias}
    made._parameters = {
        name: None if tensor is None else nn.Parameter(tensor.detach(), requires_grad=False)
        for name, tensor in tensors.items()
    }
    return made
