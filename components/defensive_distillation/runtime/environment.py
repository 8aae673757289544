"""What of a machine decides a result: the versions of the libraries that compute it, and the kind of device."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version


def environment(libraries: Sequence[str], device: str | None) -> dict[str, str]:
    """Versions of `libraries` by name, and under 'device' the kind of device that the setting `device` stands for.

    A GPU is named by its model, since other models sum in another order. Without a setting nothing is said of it.
    """
    versions = {library: version(library) for library in libraries}
    return versions if device is None else {**versions, "device": _kind(device)}


def _kind(device: str) -> str:
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    return device.partition(":")[0]
