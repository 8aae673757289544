"""Contenders in turn, A B C A B C …, so that a machine that slows down slows down for all."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.process import Process, Processes


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


def race(entries: Sequence[Entry], rounds: int, kept: Processes | None = None) -> list[Outcome]:
    """Runs all entries `rounds` times in turn; those that cannot are told with their reason.

    They get ready at once, and run alone. Each has a process of its own, a new one each round: where a process finds
    its memory is worth some hundredths of its time, for as long as it lives. Unless those are given that are kept: then
    all of a library, an entry's name, share one over all rounds.
    """
    runners = [Runner(entry, kept) for entry in entries]
    for _ in range(rounds):
        with ExitStack() as stack:
            for runner in runners:
                stack.enter_context(runner)
            for runner in runners:
                runner.ready()
            for runner in runners:
                runner.run()
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

    def run(self) -> None:
        """One round, if it can run at all."""
        if self._reason:
            return
        self.start()
        found = self.finish()
        told = self._reason or f"{found['seconds']:.2f} s"
        print(f"  {self._entry.title}: {told}", file=sys.stderr, flush=True)

    def start(self) -> None:
        """Begins a round."""
        self._process.ask({"run": self._program})

    def finish(self) -> dict[str, float]:
        """Waits for the round's end; what came of it, nothing if it failed."""
        found = self._process.answer()
        self._reason = found.get("reason", "")
        if self._reason:
            return {}
        self._rounds.append(found)
        return found

    def outcome(self) -> Outcome:
        """All rounds."""
        keys = self._rounds[0] if self._rounds else ()
        figures = {key: statistics.median(found[key] for found in self._rounds) for key in keys}
        return Outcome(self._entry, figures, tuple(self._rounds), self._reason)
