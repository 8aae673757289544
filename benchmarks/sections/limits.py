"""What one core of the machine can do."""

from __future__ import annotations

from benchmarks import machine
from benchmarks.page import measured
from benchmarks.sections.plan import Plan, Section


def _text(plan: Plan) -> str:
    limits = machine.limits()
    rates = [
        ["matrix product, 1024×1024", f"{limits.matrix_product / 1e9:.1f} GFLOP/s"],
        *(
            [f"convolutions of {name}, forwards, batch 64", f"{rate / 1e9:.1f} GFLOP/s"]
            for name, rate in limits.convolution.items()
        ),
        ["copying 128 MiB, read and written", f"{limits.bandwidth / 1e9:.1f} GB/s"],
    ]
    return measured(["", ""], rates, machine.REPEATS)


SECTION = Section("The limits of one core", _text, fast=True)
