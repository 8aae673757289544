"""What this machine is, and the rates that one of its cores reaches."""

from __future__ import annotations

import datetime
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from defensive_distillation import provenance

REPEATS = 9


@dataclass(frozen=True)
class Limits:
    """Rates of one core: float32 operations and bytes a second."""

    matrix_product: float  # of two 1024×1024 matrices
    convolution: dict[str, float]  # the architecture's convolutions alone, forwards, by their share of its work
    bandwidth: float  # copying 256 MB: read and written


@functools.cache
def limits() -> Limits:
    """Measures them; medians of `REPEATS`."""
    torch.set_num_threads(1)
    a, b = torch.rand(2, 1024, 1024)
    product = _rate(lambda: a @ b, 2 * 1024**3)
    source = torch.rand(2**25)
    target = torch.empty_like(source)
    bandwidth = _rate(lambda: target.copy_(source), 2 * source.nbytes)
    return Limits(product, {name: _convolutions(name) for name in ("papernot_mnist", "papernot_cifar10")}, bandwidth)


def _convolutions(architecture: str) -> float:
    """Operations a second over the four convolutions of Table I, each forwards at a batch of 64, channels last."""
    from benchmarks.work import convolutions

    work = []
    for layer, shape in convolutions(architecture):
        images = torch.rand(64, *shape).to(memory_format=torch.channels_last)
        work.append((layer.to(memory_format=torch.channels_last).requires_grad_(False), images))
    operations = sum(
        2 * layer.weight.numel() * (image.shape[2] - 2) * (image.shape[3] - 2) * len(image) for layer, image in work
    )

    def run() -> None:
        for layer, images in work:
            layer(images)

    return _rate(run, operations)


def _rate(run: Callable[[], object], amount: float) -> float:
    return amount / seconds(run)


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
