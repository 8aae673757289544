"""What stands before a network and hides its gradients, and the way round it.

Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of Security, ICML 2018: a step without a gradient is
replaced by the identity in the backward pass (BPDA, Section 4.1), a random one by the mean of several draws (EOT,
Section 4.2, after Athalye et al.: Synthesizing Robust Adversarial Examples, ICML 2018).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.adapter import Uncopied

Step = Callable[[Any], Any]


class Stepped(nn.Module):
    """A network behind a step that changes its input, differentiated as the step is."""

    def __init__(self, step: Step, network: nn.Module) -> None:
        """`step`: from images (N, C, H, W) in [0, 1] to the same shape; tensors, or NumPy arrays."""
        super().__init__()
        self.network = network
        self._step = Uncopied(step)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        return self.network(self._stepped(images))  # type: ignore[no-any-return]

    def _stepped(self, images: Tensor) -> Tensor:
        stepped = applied(self._step, images)
        # a gradient, of zero, also where none passes the step
        return stepped + 0 * images if images.requires_grad and torch.is_grad_enabled() else stepped


class StraightThrough(Stepped):
    """The same network, its step differentiated as the identity would be (BPDA)."""

    def _stepped(self, images: Tensor) -> Tensor:
        return _Identity.apply(images, self._step)  # type: ignore[no-any-return]


class Expected(nn.Module):
    """The mean logits of a random network over some draws, always the same ones; its gradient is the mean one (EOT)."""

    def __init__(self, network: nn.Module, draws: int, seed: int = 0) -> None:
        """`draws`: at least 1; `seed` of PyTorch's generators, which the network has to draw from."""
        if not isinstance(draws, int) or draws < 1:
            raise InputError(f"draws: expected a whole number, at least 1, got {draws}")
        super().__init__()
        self.network = network
        self._draws, self._seed = draws, seed

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits (N, K) of images (N, C, H, W)."""
        total: Tensor | None = None
        for draw in range(self._draws):
            with chance(self._seed + draw, images.device):
                logits = self.network(images)
            total = logits if total is None else total + logits
        assert total is not None
        return total / self._draws


@contextlib.contextmanager
def chance(seed: int, device: torch.device) -> Iterator[None]:
    """Within, PyTorch's generators, which a random network draws from, begin at `seed`; then they are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def applied(step: Step, images: Tensor) -> Tensor:
    """`step` of images (N, C, H, W), in their type and on their device.

    Raises:
        InputError: if it takes neither tensors nor arrays, or returns another shape or type.
    """
    output = _stepped(step, images)
    if isinstance(output, np.ndarray):
        output = torch.from_numpy(np.ascontiguousarray(output))
    if not isinstance(output, Tensor) or output.shape != images.shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"input_step: expected images of shape {tuple(images.shape)} back, got {got}")
    if not output.is_floating_point():
        raise InputError(f"input_step: expected floating point in [0, 1] back, got {output.dtype}; divide it by 255")
    return output.to(images)


def _stepped(step: Step, images: Tensor) -> Any:
    """`step` of the images, of them without their gradient, or of an array: the first that it takes."""
    try:
        return step(images.clone())
    except Exception as error:
        with torch.no_grad():
            for given in (images.detach().clone(), images.detach().clone().cpu().numpy()):
                with contextlib.suppress(Exception):
                    return step(given)
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"input_step: expected a function of images (N, C, H, W) in [0, 1], got {said}") from error


class _Identity(torch.autograd.Function):
    """The step forwards, the identity backwards."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, step: Step) -> Tensor:
        return applied(step, images.detach()).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
