"""How far a stage is: a line on the terminal, or small files that `defdistill run` watches.

The local runner sets DEFDISTILL_RUN_DIR for the steps it starts; each then writes `progress/TASK.json` and sends what
it prints to `logs/TASK.log` there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from defensive_distillation.runtime.stopwatch import Phase

RUN_DIR = "DEFDISTILL_RUN_DIR"
RUN_ID = "KFP_RUN_ID"  # every step of a pipeline has it, here and on a cluster; its log ends with its times
INTERVAL = 0.25  # seconds between two updates


class Progress:
    """Reports units of work done; the last words are always written."""

    def __init__(self, stage: str, label: str, part: str = "") -> None:
        """`label` is the model that the stage works for, or nothing; `part` tells apart several tasks of one stage."""
        self.stage = stage
        self.label = label
        self.part = part
        self.task = "-".join(name.replace(" ", "-") for name in (stage, label, part) if name)
        self._written = 0.0
        run_dir = os.environ.get(RUN_DIR)
        self._file = Path(run_dir, "progress", f"{self.task}.{os.getpid()}.json") if run_dir else None
        self._terminal = sys.stderr.isatty() and not run_dir
        self.log = str(Path(run_dir, "logs", f"{self.task}.log")) if run_dir else None

    def update(self, done: int, total: int, unit: str) -> None:
        """Reports `done` of `total` units such as 'epochs' or 'pairs'."""
        if done == total or time.monotonic() - self._written >= INTERVAL:
            self._write("running", done=done, total=total, unit=unit)

    def started(self) -> None:
        """The stage begins."""
        self._write("running")

    def finished(self, artifact: str, seconds: Mapping[Phase, float]) -> None:
        """The stage is done, its artifact lies there, and it took CPU seconds by phase."""
        self._write("done", artifact=artifact, seconds=seconds)
        if RUN_ID in os.environ:
            parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
            print(f"{self.task}: {sum(seconds.values()):.1f} CPU s: {parts}", flush=True)

    def failed(self, message: str, exit_code: int) -> None:
        """The stage failed."""
        self._write("failed", message=message, exit_code=exit_code)

    def _write(
        self,
        state: str,
        *,
        done: int = 0,
        total: int = 0,
        unit: str = "",
        message: str = "",
        exit_code: int = 0,
        artifact: str = "",
        seconds: Mapping[Phase, float] | None = None,
    ) -> None:
        self._written = time.monotonic()
        if self._terminal:
            amount = f" {done}/{total} {unit}" if total else ""
            end = "\n" if state != "running" else ""
            print(f"\r\033[K{self.task}: {state}{amount}", end=end, file=sys.stderr, flush=True)
        if self._file:
            status = {
                "task": self.task,
                "stage": self.stage,
                "label": self.label,
                "part": self.part,
                "state": state,
                "done": done,
                "total": total,
                "unit": unit,
                "message": message,
                "exit_code": exit_code,
                "artifact": artifact,
                "seconds": dict(seconds or {}),
                "log": self.log,
                "pid": os.getpid(),
            }
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(".tmp")
            beside.write_text(json.dumps(status))
            beside.replace(self._file)


def log_to_file(task: str) -> None:
    """Sends what this process prints from now on to the log of `task`, if a runner asked for it."""
    run_dir = os.environ.get(RUN_DIR)
    if run_dir:
        path = Path(run_dir, "logs", f"{task}.log")
        path.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        with path.open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
