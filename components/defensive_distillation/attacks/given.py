"""What a person hands to an attack, as the attacks compute with it: images of any shape and precision, any classifier.

Every attack counts on modules, and on images (N, C, H, W) in single precision or finer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.errors import InputError
from defensive_distillation.networks.adapter import Uncopied
from defensive_distillation.networks.kernels.for_images import for_images

_NETWORKS = ("model", "surrogate")
_Attack = TypeVar("_Attack", bound=Callable[..., AttackResult])


def attack(function: _Attack) -> _Attack:
    """`function`, for images (N, ...) of any shape and floating type, any callable as a network, in any grad mode.

    It gets images of another shape as (N, 1, 1, D) or (N, C, 1, L), half precision as float32, and networks that take
    them so. What it returns has the shape and the type that was given; the distances are those of the rounded samples.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*positional: Any, **named: Any) -> AttackResult:
        bound = signature.bind(*positional, **named)
        # a tensor of inference mode can neither be differentiated nor saved for it
        with torch.inference_mode(False):
            return _attacked(function, {name: _own(name, value) for name, value in bound.arguments.items()})

    return cast(_Attack, called)


def _own(name: str, value: Any) -> Any:
    """An argument, checked to be a tensor or a classifier where it has to be, and free of inference mode."""
    if name in _NETWORKS and not callable(value):
        raise InputError(f"{name}: expected a module or a function, got {type(value).__name__}")
    if name in ("images", "labels", "target_classes") and not isinstance(value, Tensor):
        raise InputError(
            f"{name}: expected a tensor, got {type(value).__name__}; torch.as_tensor makes one of an array"
        )
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def _attacked(function: Callable[..., AttackResult], arguments: dict[str, Any]) -> AttackResult:
    images: Tensor = arguments["images"]
    if images.dim() == 0 or 0 in images.shape[1:]:
        raise InputError(f"images: expected shape (N, ...) with at least one feature, got {tuple(images.shape)}")
    dtype = torch.float32 if _is_half(images) else images.dtype
    for name in _NETWORKS:
        network = arguments.get(name)
        if network is not None and not (images.dim() == 4 and images.dtype == dtype and isinstance(network, nn.Module)):
            arguments[name] = _AsGiven(network, images)
        elif network is not None:
            arguments[name] = for_images(network)
    sources = images if images.dim() == 4 else _as_images(images)
    found = function(**{**arguments, "images": sources.to(dtype)})
    adversarial = found.adversarial
    if dtype != images.dtype:
        rounded = adversarial.to(images.dtype).to(dtype)
        found = AttackResult.of(
            sources.to(dtype), rounded, found.success, found.stop_reason, found.gradient_evaluations
        )
        adversarial = rounded.to(images.dtype)
    return replace(found, adversarial=adversarial.view(images.shape)) if found.adversarial is not images else found


def _is_half(images: Tensor) -> bool:
    return images.dtype in (torch.float16, torch.bfloat16)


def _as_images(images: Tensor) -> Tensor:
    """(N, 1, 1, D) of vectors, (N, C, 1, L) of series, (N, C, H, ...) of more dimensions than an image has."""
    shape = (1, 1, 1, *images.shape[1:])[-3:] if images.dim() < 3 else (images.shape[1], 1, images.shape[-1])
    return images.flatten(3) if images.dim() > 4 else images.reshape(len(images), *shape)


class _AsGiven(nn.Module):
    """A classifier that is asked in the shape and the type of the images that were given."""

    def __init__(self, network: Callable[[Any], Any], images: Tensor) -> None:
        super().__init__()
        self.network = for_images(network) if isinstance(network, nn.Module) else Uncopied(network)
        self.training = isinstance(network, nn.Module) and network.training
        self._shape, self._dtype = images.shape[1:], images.dtype

    def forward(self, images: Tensor) -> Any:
        return self.network(images.reshape(len(images), *self._shape).to(self._dtype))
