"""Kubernetes' quantities, such as 500m, 16Gi and 2."""

from __future__ import annotations

import re

_FORM = re.compile(r"^([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+)|(m|[kMGTPE]|[KMGTPE]i)?)$")
_FACTORS = {"": 1.0, "m": 1e-3} | {
    unit: factor
    for power, letter in enumerate("kMGTPE", start=1)
    for unit, factor in ((letter, 1000.0**power), (f"{letter.upper()}i", 1024.0**power))
}


def number(text: str | int | float) -> float:
    """The number that a quantity stands for.

    Raises:
        ValueError: for what is none.
    """
    found = _FORM.match(str(text))
    if not found:
        raise ValueError(f"expected a quantity such as 500m or 16Gi, got {text!r}")
    return float(found[1]) * (10.0 ** int(found[2]) if found[2] else _FACTORS[found[3] or ""])


def memory(count: float) -> str:
    """An amount of memory for people."""
    return f"{count / 1024**3:.1f} GiB"
