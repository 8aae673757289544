"""Where a stage's processor time goes: what is not computing is what a sweep of many small steps pays for its steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Phase = Literal["importing", "reading", "computing", "writing", "recording"]
PHASES: tuple[Phase, ...] = ("importing", "reading", "computing", "writing", "recording")

_active: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)
_imports_are_counted = False


class Stopwatch:
    """CPU seconds of this process by phase, its threads and ended children included; each moment has one phase."""

    def __init__(self, *, already: float = 0.0) -> None:
        """`already` are the seconds spent on imports before it began."""
        self.seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self.seconds["importing"] = already
        self._phases: list[Phase] = ["computing"]
        self._since = _processor()

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """What happens within belongs to `name`, but for phases within it."""
        self._charge()
        self._phases.append(name)
        try:
            yield
        finally:
            self._charge()
            self._phases.pop()

    def _charge(self) -> None:
        now = _processor()
        self.seconds[self._phases[-1]] += now - self._since
        self._since = now


@contextmanager
def running() -> Iterator[Stopwatch]:
    """Times a stage. All that the process did before the first of its stages counts as importing."""
    global _imports_are_counted
    watch = Stopwatch(already=0.0 if _imports_are_counted else _processor())
    _imports_are_counted = True
    token = _active.set(watch)
    try:
        yield watch
    finally:
        _active.reset(token)


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """`Stopwatch.phase` of the stage that runs, if one does."""
    watch = _active.get()
    if watch is None:
        yield
    else:
        with watch.phase(name):
            yield


def _processor() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def timed(name: Phase) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose time belongs to a phase."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            with phase(name):
                return function(*args, **kwargs)

        return within

    return decorate
