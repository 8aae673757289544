"""Anybody's classifier as the attacks take one: from images in [0, 1] to finite float32 logits (N, K)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError

Classifier = Callable[[Any], Any]
_ROUNDING = 1e-2  # by which probabilities may miss a sum of 1, half precision included; logits never come so near
_TRIED = 2  # images on which the gradient is tried
_LOGITS = "logits"  # key of the logits in what many models return


class Adapter(nn.Module):
    """A classifier that returns logits (N, K), whatever shape it returns them in.

    A dict's 'logits', or its only tensor of two dimensions; a tuple's first; of one output z a second class with the
    logits (0, z), of which the softmax is (1 - σ(z), σ(z)). Half precision computes as float32, and so does a function
    whose weights cannot be reached. Without a gradient, as of NumPy, the gradient is zero.

    A deep copy of an adapter holds a copy of a module, and the same function.
    """

    def __init__(self, model: Classifier) -> None:
        """`model`: any callable; a module is copied, put into evaluation mode and into float32."""
        if not callable(model):
            raise InputError(f"model: expected a module or a function, got {type(model).__name__}")
        super().__init__()
        self._detached = self._as_arrays = self._checks = False
        self.differentiable = True  # as far as the last call with a gradient tells
        self._function = None if isinstance(model, nn.Module) else Uncopied(model)
        self.network = _prepared(model) if isinstance(model, nn.Module) else None
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of the images' type and on their device, for images (N, C, H, W) in [0, 1].

        Raises:
            InputError: for an output that holds no logits.
        """
        output = self._output(images)
        if self._checks:
            _require_logits(output)
        logits = output.to(images)
        if logits.dim() == 1 or logits.shape[1] == 1:
            logits = torch.stack([torch.zeros_like(logits.flatten()), logits.flatten()], dim=1)
        if images.requires_grad and torch.is_grad_enabled():  # a gradient, of zero, also where none reaches the images
            self.differentiable = logits.requires_grad
            logits = logits + 0 * images.flatten(1).sum(1, keepdim=True)
        return logits

    def hand_over_otherwise(self) -> bool:
        """From now on hands images over without a gradient, then to a function as NumPy arrays; False after that."""
        before = self._detached, self._as_arrays
        self._detached, self._as_arrays = True, self._detached and self._function is not None
        return before != (self._detached, self._as_arrays)

    def hand_over_as_at_first(self) -> None:
        """From now on hands images over as tensors with their gradient."""
        self._detached = self._as_arrays = False

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        """Calls within raise InputError if what the model returns are no finite logits."""
        self._checks = True
        try:
            yield
        finally:
            self._checks = False

    def _output(self, images: Tensor) -> Tensor:
        """What the model returns, as it returns it."""
        call = self._function if self.network is None else self.network
        assert call is not None
        # a copy: others may normalise in place, also through an array; in what a function computes
        given = images.float().clone() if self.network is None else images.clone()
        if not self._detached:
            return _logits(call(given), len(images))
        with torch.no_grad():
            given = given.detach()
            return _logits(call(given.cpu().numpy() if self._as_arrays else given), len(images))


class Uncopied:
    """A function that a deep copy of what holds it shares, and that no module takes for a part of itself."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __call__(self, argument: Any) -> Any:
        """What the function returns."""
        return self._function(argument)

    def __deepcopy__(self, memo: dict[int, Any]) -> Uncopied:
        return self


def adapter_in(model: nn.Module) -> Adapter:
    """`model` itself, or the one within."""
    return next(module for module in model.modules() if isinstance(module, Adapter))


def try_on(model: nn.Module, images: Tensor) -> Tensor:
    """The logits of the first few images (N, C, H, W), checked; `model` is an Adapter, or has one within.

    Raises:
        InputError: if the model does not take the images, or returns probabilities or what is no logits.
    """
    adapter, errors = adapter_in(model), []
    while True:
        try:
            with torch.enable_grad():
                logits: Tensor = model(images[:_TRIED].clone().requires_grad_()).detach()
            break
        except InputError:
            raise
        except Exception as error:
            errors.append(error)
            if not adapter.hand_over_otherwise():
                adapter.hand_over_as_at_first()
                raise InputError(_not_taken(images, errors)) from errors[0]
    with adapter.checking(), torch.no_grad():
        model(images)
    return logits


def _not_taken(images: Tensor, errors: Sequence[Exception]) -> str:
    """Of the images as they are, without a gradient, and as arrays."""
    said = [(str(error).strip() or type(error).__name__).splitlines()[0] for error in errors]
    got = said[0] if len(said) < 3 else f"{said[0]} (as an array, {said[2]})"
    hint = "put normalisation and resizing into the model"
    for cast in ("half", "double"):
        if cast in got.lower():
            hint = f"give a function that casts: lambda images: model(images.{cast}())"
    size = "×".join(map(str, images.shape[1:]))
    return f"model: expected one that takes images (N, C, H, W) of {size} in [0, 1], got {got}; {hint}"


def _prepared(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode, its half-precision weights as float32; the model itself where it cannot be copied."""
    try:
        with torch.no_grad():  # or TorchScript's copy would be no leaf
            network = copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            f"model: expected a module that can be copied, got {error}; give a function instead"
        ) from error
    network = network.eval()
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point() and tensor.dtype in (torch.float16, torch.bfloat16):
            tensor.data = tensor.data.float()
    return network


def _logits(output: Any, count: int) -> Tensor:
    """The tensor of the logits in what a model returned for `count` images."""
    if isinstance(output, Mapping):
        output = _of_mapping(output)
    elif not isinstance(output, Tensor | np.ndarray):
        # a dataclass or named tuple of a library, such as transformers'
        output = getattr(output, _LOGITS, output[0] if isinstance(output, list | tuple) and len(output) else output)
    if isinstance(output, np.ndarray):
        output = torch.from_numpy(np.ascontiguousarray(output))
    if not isinstance(output, Tensor):
        raise InputError(f"model: expected logits as a tensor or an array, got {type(output).__name__}")
    if output.dim() not in (1, 2) or len(output) != count or output.numel() == 0:
        raise InputError(f"model: expected logits of shape ({count}, K), got {tuple(output.shape)}")
    if not output.is_floating_point():
        raise InputError(f"model: expected logits, got whole numbers ({output.dtype}); leave the argmax out")
    return output


def _of_mapping(output: Mapping[Any, Any]) -> Any:
    if _LOGITS in output:
        return output[_LOGITS]
    tensors = [value for value in output.values() if isinstance(value, Tensor | np.ndarray) and value.ndim == 2]
    if len(tensors) != 1:
        keys = ", ".join(map(repr, output))
        raise InputError(f"model: expected a dict with 'logits' or one tensor (N, K), got the keys {keys}")
    return tensors[0]


def _require_logits(output: Tensor) -> None:
    """Refuses probabilities and what is not finite; `output` is as the model returned it."""
    values = output.double()
    if not bool(values.isfinite().all()):
        raise InputError("model: expected finite logits, got NaN or infinity")
    within = bool(((values >= 0) & (values <= 1)).all())
    if within and (output.dim() == 1 or output.shape[1] == 1):
        raise InputError("model: expected a logit, got numbers within [0, 1] alone; leave the sigmoid out")
    if within and bool(((values.sum(1) - 1).abs() < _ROUNDING).all()):
        raise InputError("model: expected logits, got probabilities (rows that sum to 1); leave the softmax out")
