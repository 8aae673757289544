"""Contenders in turn, A B C A B C …, so that a machine that slows down slows down for all."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine

ROOT = Path(__file__).parents[1]


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


def race(entries: Sequence[Entry], rounds: int) -> list[Outcome]:
    """Runs all entries `rounds` times in turn; those that cannot start are told with their reason.

    They get ready at once, and run alone.
    """
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(entry)) for entry in entries]
        for runner in runners:
            runner.ready()
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
        self._reason = f"not installed: {', '.join(entry.absent)}" if entry.absent else ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Runner:
        if self._reason:
            return self
        entry = self._entry
        # a pipe that nobody reads would fill up; it ends with this context
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contender", entry.module, entry.name, json.dumps(dict(entry.settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._said.close()

    def ready(self) -> None:
        """Waits until the program can run."""
        if self._process:
            self._answer()
        print(f"  {self._entry.title}: {self._reason or 'ready'}", file=sys.stderr, flush=True)

    def run(self) -> None:
        """One round, if it can run at all."""
        if self._reason:
            return
        self.start()
        found = self.finish()
        told = f"{found['seconds']:.2f} s" if found else self._reason
        print(f"  {self._entry.title}: {told}", file=sys.stderr, flush=True)

    def start(self) -> None:
        """Begins a round."""
        assert self._process is not None
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
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            found: dict[str, float] = json.loads(line)
            return found
        ended = self._process.wait()
        self._said.seek(0)
        said = self._said.read().strip().splitlines()
        self._reason = said[-1] if said else f"ended with {ended}"
        return {}

    def outcome(self) -> Outcome:
        """All rounds."""
        keys = self._rounds[0] if self._rounds else ()
        figures = {key: statistics.median(found[key] for found in self._rounds) for key in keys}
        return Outcome(self._entry, figures, tuple(self._rounds), self._reason)
