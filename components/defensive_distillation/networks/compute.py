"""Where a stage computes, and that it computes the same there again."""

from __future__ import annotations

import contextlib
import ctypes

import torch
from torch import nn

from defensive_distillation.errors import ConfigurationError
from defensive_distillation.networks.kernels.fused import fused

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def device(name: str, threads: int, *, tf32: bool = False) -> torch.device:
    """The device called `name`, with `threads` CPU threads, deterministic convolutions and float32 as it is.

    Args:
        name: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.
        threads: CPU threads; two processes with more threads than cores slow each other down many times over.
        tf32: lets a GPU round the factors of products and convolutions to 10 bits after the point, where PyTorch by
            itself does so in convolutions.

    Raises:
        ConfigurationError: if there is no such device.
    """
    torch.set_num_threads(threads)
    keep_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (torch.device(name).index is not None and torch.device(name).index >= count) or count == 0:
            raise ConfigurationError(f"device: expected one of the {count} GPUs that PyTorch sees here, got {name}")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError("device: expected a device of this machine, got mps")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"device: expected auto, cpu, cuda, cuda:N or mps, got {name}") from error


def keep_memory() -> None:
    """Keeps memory that an operator frees for the next one, where the C library is GNU's.

    It would give large pieces back to the system, which clears each page again: a twentieth of the time of a training
    and of an attack on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back_memory() -> None:
    """Gives the system what has been freed by now: before long the pieces of work that is done fit no other."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def on(device: torch.device, model: nn.Module) -> nn.Module:
    """`model`, moved to the device, in the form that runs fastest there; parameters keep their names.

    On a CPU its tensors lie channels last: the same arithmetic in a quarter less time. On an NVIDIA GPU convolutions
    and what follows them are fused.
    """
    if device.type == "cpu":
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    model = model.to(device)
    return fused(model) if device.type == "cuda" else model
