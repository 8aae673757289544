"""One seed for the experiment, from which every stage derives its own."""

from __future__ import annotations

import hashlib


def derive(experiment_seed: int, stage: str, temperature: float = 1.0) -> int:
    """A seed below 2^62 that depends on the experiment, the stage and the temperature, and on nothing else."""
    digest = hashlib.sha256(f"{experiment_seed}/{stage}/{float(temperature)!r}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
