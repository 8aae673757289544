"""What this machine is, and the rates that one of its cores reaches."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

REPEATS = 9
PEERS = (
    *("torch", "adversarial-robustness-toolbox", "torchattacks", "cleverhans", "tensorflow-cpu", "foolbox"),
    "lightning",
)


@dataclass(frozen=True)
class Limits:
    """Rates of one core: float32 operations and bytes a second."""

    matrix_product: float  # of two 1024×1024 matrices
    convolution: dict[str, float]  # the architecture's convolutions alone, forwards, by their share of its work
    bandwidth: float  # copying 256 MB: read and written


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


def description() -> str:
    """Processor, cores and memory."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{names[0] if names else platform.processor()}, {cores} cores, {memory / 2**20:.0f} GiB, {platform.system()}"
    )


def versions() -> dict[str, str]:
    """Of Python and of every peer that is installed."""
    found = {"python": platform.python_version()}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is measured, with '+' where files differ from it."""
    root = Path(__file__).parents[1]
    try:
        git = ["git", "-C", str(root)]
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
