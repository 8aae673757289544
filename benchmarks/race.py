"""Contenders in turn, A B C A B C …, so that a machine that slows down slows down for all."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """A program, what it is told, and why it could not run, if so."""

    title: str
    module: str
    name: str
    settings: Mapping[str, Any]


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


def race(entries: Sequence[Entry], rounds: int) -> list[Outcome]:
    """Runs all entries `rounds` times in turn; those that cannot start are told with their reason."""
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(entry)) for entry in entries]
        for _ in range(rounds):
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
    """A contender in its process; a context that ends it."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._rounds: list[dict[str, float]] = []
        self._reason = ""

    def __enter__(self) -> Runner:
        entry = self._entry
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contender", entry.module, entry.name, json.dumps(dict(entry.settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        print(f"  {entry.title}: preparing", file=sys.stderr, flush=True)
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self) -> None:
        """One round, if it can run at all."""
        if self._reason:
            return
        self.start()
        if found := self.finish():
            print(f"  {self._entry.title}: {found['seconds']:.2f} s", file=sys.stderr, flush=True)

    def start(self) -> None:
        """Begins a round."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, float]:
        """Waits for the round's end; what came of it, nothing if the process ended."""
        found = self._answer()
        if found:
            self._rounds.append(found)
        return found

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            found: dict[str, float] = json.loads(line)
            return found
        assert self._process.stderr is not None
        said = self._process.stderr.read().strip().splitlines()
        self._reason = said[-1] if said else f"ended with {self._process.wait()}"
        print(f"  {self._entry.title}: {self._reason}", file=sys.stderr, flush=True)
        return {}

    def outcome(self) -> Outcome:
        """All rounds."""
        keys = self._rounds[0] if self._rounds else ()
        figures = {key: statistics.median(found[key] for found in self._rounds) for key in keys}
        return Outcome(self._entry, figures, tuple(self._rounds), self._reason)
