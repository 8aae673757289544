"""Figures drawn on all cores: a report has dozens, each a second's work or so, and nothing runs beside it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

from defensive_distillation.errors import DefensiveDistillationError

T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(draw: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`draw` of each item, in their order; the items are shared out among this process and copies of it.

    A copy sends what it has drawn and ends, so none outlives this process by more than its share. Where processes
    cannot be copied this one draws all.

    Raises:
        DefensiveDistillationError: if a copy was killed.
        Exception: whatever `draw` raised here or in a copy.
    """
    workers = max(1, min(_cores(), len(items))) if "fork" in multiprocessing.get_all_start_methods() else 1
    context, copies = multiprocessing.get_context("fork" if workers > 1 else None), []
    for share in range(1, workers):
        here, there = context.Pipe(duplex=False)
        copy = context.Process(target=_send, args=(there, draw, items[share::workers]), daemon=True)
        copy.start()
        there.close()
        copies.append((copy, here))
    shares = [[draw(item) for item in items[0::workers]]]
    for copy, here in copies:
        try:
            found = here.recv()
        except EOFError as error:
            raise DefensiveDistillationError("report: a process that drew figures was killed") from error
        copy.join()
        if isinstance(found, Exception):
            raise found
        shares.append(found)
    return [shares[number % workers][number // workers] for number in range(len(items))]


def _send(there: Connection, draw: Callable[[T], R], items: Sequence[T]) -> None:
    found: list[R] | Exception
    try:
        found = [draw(item) for item in items]
    except Exception as error:
        found = error
    there.send(found)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
