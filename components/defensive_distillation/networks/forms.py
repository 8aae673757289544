"""How somebody's own network is named; without PyTorch, for the settings and the command line."""

from __future__ import annotations

REGISTERED = ("torchvision:", "timm:")  # libraries whose networks are known by name, and have random weights at first
FORMS = "torchvision:NAME, timm:NAME, package.module:factory or FILE.onnx"


def is_onnx(name: str) -> bool:
    """Whether a network is given as an ONNX file."""
    return name.lower().endswith(".onnx")
