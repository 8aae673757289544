"""Contenders in turn, A B C A B C …, so that a machine that slows down slows down for all."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.process import Process, Processes

TURN = 0.1  # seconds: a step or more of an attack, and short beside the moods of a machine that others use, too


@dataclass(frozen=True)
class Entry:
    """A program, what it is told, and the packages that it is of, whose first one's version stands in the title."""

    title: str
    module: str
    name: str
    settings: Mapping[str, Any]
    needs: Sequence[str] = ()

    @property
    def absent(self) -> Sequence[str]:
        """The packages that it needs and that are not there."""
        return [name for name in self.needs if not machine.installed(name)]


@dataclass(frozen=True)
class Outcome:
    """What came of an entry: medians over the rounds, or a reason."""

    entry: Entry
    figures: Mapping[str, float]  # seconds, processor, memory, work and whatever the program counts
    rounds: Sequence[Mapping[str, float]]
    reason: str = ""

    @property
    def rate(self) -> float:
        """Work a processor second."""
        return self.figures["work"] / self.figures["processor"]

    @property
    def wall_rate(self) -> float:
        """Work a second."""
        return self.figures["work"] / self.figures["seconds"]


def race(entries: Sequence[Entry], rounds: int, kept: Processes | None = None, *, whole: bool = False) -> list[Outcome]:
    """Runs all entries `rounds` times in turn; those that cannot are told with their reason.

    They get ready at once, and run alone, for `TURN` seconds before the next one goes on. Each has a process of its
    own, a new one each round: where a process finds its memory is worth some hundredths of its time, for as long as it
    lives. Unless those are given that are kept: then all of a library, an entry's name, share one over all rounds, and
    each turn is a whole run, as it is of those that must not be stopped (`whole`), such as one of several processes.
    """
    runners = [Runner(entry, kept) for entry in entries]
    for _ in range(rounds):
        with ExitStack() as stack:
            for runner in runners:
                stack.enter_context(runner)
            for runner in runners:
                runner.ready()
            running = runners
            while running:
                running = [runner for runner in running if not runner.run(None if kept or whole else TURN)]
    return [runner.outcome() for runner in runners]


def ratio(ours: Outcome, other: Outcome, time: str = "processor") -> float:
    """How many times as much work a processor second, or a second, round by round; the median, NaN without any."""
    pairs = list(zip(ours.rounds, other.rounds, strict=False))
    if not pairs:
        return math.nan
    return statistics.median((a["work"] / a[time]) / (b["work"] / b[time]) for a, b in pairs)


class Runner:
    """A contender; a context in which it has a process, which ends with it, unless it is one of those that are kept."""

    def __init__(self, entry: Entry, kept: Processes | None = None) -> None:
        self._entry = entry
        self._kept = kept
        self._rounds: list[dict[str, float]] = []
        self._seconds = 0.0  # that its turns of this round have taken
        self._reason = f"not installed: {', '.join(entry.absent)}" if entry.absent else ""
        self._own: Process | None = None
        self._program: int | None = None  # of the process, once it is ready

    def __enter__(self) -> Runner:
        entry = self._entry
        if self._reason or self._program is not None:
            return self
        if self._kept:
            self._process = self._kept.of(entry.module, entry.name)
        else:
            self._process = self._own = Process().__enter__()
        self._process.ask({"module": entry.module, "name": entry.name, "settings": dict(entry.settings)})
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._own.__exit__()
            self._own = self._program = None

    def ready(self) -> None:
        """Waits until the program can run."""
        if not self._reason and self._program is None:
            found = self._process.answer()
            self._reason, self._program = found.get("reason", ""), found.get("program")
        if not self._rounds:
            print(f"  {self._entry.title}: {self._reason or 'ready'}", file=sys.stderr, flush=True)

    def run(self, turn: float | None) -> bool:
        """A turn of a round, of so many seconds at most, None: all of it. Whether the round has ended, or cannot be."""
        if self._reason:
            return True
        if not self._seconds:
            self.start()
        begun = time.perf_counter()
        ended = self._process.proceed(turn)
        self._seconds += time.perf_counter() - begun
        if ended:
            found = self.finish()
            found["seconds"], self._seconds = self._seconds, 0.0
            print(f"  {self._entry.title}: {self._reason or format(found['seconds'], '.2f') + ' s'}", file=sys.stderr)
        return ended

    def start(self) -> None:
        """Begins a round."""
        self._process.ask({"run": self._program})

    def finish(self) -> dict[str, float]:
        """Waits for the round's end; what came of it, nothing if it failed."""
        found = self._process.answer()
        self._reason = found.get("reason", "")
        if not self._reason:
            self._rounds.append(found)
        return found

    def outcome(self) -> Outcome:
        """All rounds."""
        keys = self._rounds[0] if self._rounds else ()
        figures = {key: statistics.median(found[key] for found in self._rounds) for key in keys}
        return Outcome(self._entry, figures, tuple(self._rounds), self._reason)
