"""Several processes that attack at once, as shards of an attack do on one machine: each of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.race import Entry, Runner

PAIRS = 64  # of each process


def prepare(name: str, *, pairs: int = PAIRS) -> Callable[[], dict[str, float]]:
    """JSMA on logits by `name` processes at once, `pairs` each."""
    settings = {"architecture": "papernot_mnist", "count": pairs, "batch": pairs}
    stack = ExitStack()
    workers = [stack.enter_context(Runner(Entry(f"process {n}", "jsma", "ours", settings))) for n in range(int(name))]
    for worker in workers:
        worker.ready()

    def run() -> dict[str, float]:
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        found = [worker.finish() for worker in workers]
        at_once = sum(one["seconds"] for one in found) / (time.perf_counter() - start)
        return {"work": sum(one["work"] for one in found), "at_once": at_once}

    return run
