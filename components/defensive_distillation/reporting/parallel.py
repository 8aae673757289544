"""Figures drawn on all cores: a report has dozens, each a second's work or so, and nothing runs beside it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import TypeVar

from defensive_distillation.errors import DefensiveDistillationError

T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(draw: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`draw`, a function of a module or a partial of one, of each item, in their order, by copies of this process.

    Where processes cannot be copied, or one would do, this one draws all.

    Raises:
        DefensiveDistillationError: if a copy was killed.
        Exception: whatever `draw` raised here or in a copy.
    """
    workers = min(_cores(), len(items)) if "fork" in multiprocessing.get_all_start_methods() else 1
    if workers < 2:
        return [draw(item) for item in items]
    fork = multiprocessing.get_context("fork")  # a fresh process would first import matplotlib
    pipe = os.pipe()
    try:
        with ProcessPoolExecutor(workers, mp_context=fork, initializer=_end_with_parent, initargs=pipe) as pool:
            return list(pool.map(draw, items))
    except BrokenProcessPool as error:
        raise DefensiveDistillationError("report: a process that drew figures was killed") from error
    finally:
        for end in pipe:
            os.close(end)


def _end_with_parent(read: int, write: int) -> None:
    """Ends this copy when the process that it draws for is killed: it would wait for work for ever.

    Copies inherit both ends of the pipe. Once each has closed its own end for writing the process holds the only one;
    the pipe that multiprocessing.parent_process() waits for stays open in the copy that waits.
    """
    os.close(write)

    def wait() -> None:
        os.read(read, 1)
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
