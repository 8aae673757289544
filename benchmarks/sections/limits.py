"""What one core of the machine can do, in float32."""

from __future__ import annotations

import torch

from benchmarks import machine
from benchmarks.page import measured
from benchmarks.sections.plan import Plan, Section


def _text(plan: Plan) -> str:
    torch.set_num_threads(1)
    a, b = torch.rand(2, 1024, 1024)
    product = 2 * 1024**3 / machine.seconds(lambda: a @ b)
    source = torch.rand(2**25)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / machine.seconds(lambda: target.copy_(source))
    rates = [
        ["matrix product, 1024×1024", f"{product / 1e9:.1f} GFLOP/s"],
        ["copying 128 MiB, read and written", f"{copied / 1e9:.1f} GB/s"],
    ]
    return measured(["", ""], rates, machine.REPEATS)


SECTION = Section("The limits of one core", _text, fast=True)
