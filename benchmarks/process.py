"""Processes that hold programs ready: `python -m benchmarks.contender` at the other end."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Process:
    """A contender's process; a context that ends it. Answers come in the order of what it was asked."""

    def __enter__(self) -> Process:
        self._said = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def ask(self, what: Mapping[str, Any]) -> None:
        """Begins a task: {module, name, settings} prepares a program, {run} runs the one of that number."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(what), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return  # it has ended, as the answer will tell

    def proceed(self, seconds: float | None) -> bool:
        """Lets it go on until it answers, but for so long at most, and stops it then; whether it has answered."""
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        answered = bool(select.select([self._process.stdout], [], [], seconds)[0])
        if not answered:
            self._process.send_signal(signal.SIGSTOP)
        return answered

    def answer(self) -> dict[str, Any]:
        """What came of the next task: the program's number, figures, or a reason why there are none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        ended = self._process.wait()
        self._said.seek(0)
        said = self._said.read().strip().splitlines()
        return {"reason": said[-1] if said else f"ended with {ended}"}


class Processes:
    """One for each library that is asked for, kept for whatever else of it is to run; a context that ends all."""

    def __enter__(self) -> Processes:
        self._kept: dict[tuple[str, str], Process] = {}
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._kept.values():
            process.__exit__()

    def of(self, module: str, name: str) -> Process:
        """The process of this name of a module of programs, started where there is none."""
        if (module, name) not in self._kept:
            self._kept[module, name] = Process().__enter__()
        return self._kept[module, name]
