"""What this machine is, how long it takes for what it is given, and what a network asks of it."""

from __future__ import annotations

import datetime
import functools
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from defensive_distillation import provenance

REPEATS = 9


def seconds(run: Callable[[], object], wait: Callable[[], object] = lambda: None) -> float:
    """The median of `REPEATS` runs after a first one; `wait` returns when the device has done what it was told."""
    run()
    found = []
    for _ in range(REPEATS):
        wait()
        start = time.perf_counter()
        run()
        wait()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def operations(architecture: str) -> int:
    """Float operations of one forward pass for one image, multiplications and additions counted apart."""
    from benchmarks.work import convolutions, network

    total = sum(
        2 * layer.weight.numel() * (shape[1] - 2) * (shape[2] - 2) for layer, shape in convolutions(architecture)
    )
    return total + sum(2 * m.weight.numel() for m in network(architecture).modules() if isinstance(m, nn.Linear))


def caption(rounds: int) -> str:
    """What stands under every table: machine, commit, day and how often each contender ran."""
    memory = next((int(value.split()[0]) for value in provenance.values(Path("/proc/meminfo"), "MemTotal")), 0)
    often = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    machine = f"{provenance.machine()}, {memory / 2**20:.0f} GiB"
    return f"{machine}, PyTorch {torch.__version__}; commit {commit()}, {datetime.date.today()}; {often}."


def installed(name: str) -> str:
    """The version of a package; '' where it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@functools.cache
def commit() -> str:
    """The first digits of the commit that is measured, with '+' where the package or the benchmarks differ from it."""
    name, _, changed = provenance.commit().partition("-")
    if not name:
        return "unknown"
    ours = provenance.git(Path(__file__).parent, "status", "--porcelain", "--", ".")
    return name[:7] + ("+" if changed or ours else "")
