"""How far a stage is: a bar on the terminal, lines in the log of a pod, or small files that `defdistill run` reads.

The local runner sets DEFDISTILL_RUN_DIR for the steps it starts; each then writes `progress/TASK.json` and sends what
it prints to `logs/TASK.log` there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts.storage import disk
from defensive_distillation.model_id import ModelId
from defensive_distillation.runtime.stopwatch import Phase
from defensive_distillation.tracking.status import RUN_DIR, Status

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

RUN_ID = "KFP_RUN_ID"  # every step of a pipeline has it, here and on a cluster; its log ends with its times
INTERVAL = 0.25  # seconds between two updates
LINE_INTERVAL = 30.0  # seconds between two lines in the log of a pod


class Progress:
    """Reports units of work done; the last words are always written."""

    def __init__(self, stage: str, model: ModelId | None = None, part: str = "", *, bar: bool = True) -> None:
        """`model` is the one that the stage works for; `part` tells apart several tasks of one stage.

        `bar`: whether to show one where there is a terminal.
        """
        self._said = Status(stage=stage, model=model, part=part, state="running", pid=os.getpid())
        self.task = self._said.task
        self._at = 0.0
        self._line_at = time.monotonic()
        self._bar: Bar | None = None
        self._file: Path | None = None
        run_dir = os.environ.get(RUN_DIR)
        if run_dir:
            self._file = Path(run_dir, "progress", f"{self.task}.{os.getpid()}.json")
            self._said = self._said.model_copy(update={"log": str(Path(run_dir, "logs", f"{self.task}.log"))})
        elif bar and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.add_task(self._said.title, total=None, unit="")

    def update(self, done: int, total: int, unit: str, *, history: Sequence[Mapping[str, Any]] = ()) -> None:
        """Reports `done` of `total` units such as 'epochs' or 'pairs', and of a training its epochs so far."""
        if done == total or time.monotonic() - self._at >= INTERVAL:
            self._say(state="running", done=done, total=total, unit=unit, history=tuple(map(dict, history)))

    def started(self) -> None:
        """The stage begins."""
        if self._bar:
            self._bar.start()
        self._say(state="running")

    def finished(self, artifact: str, seconds: Mapping[Phase, float]) -> None:
        """The stage is done, its artifact lies there, and it took CPU seconds by phase."""
        self._say(state="done", artifact=artifact, seconds=dict(seconds))
        if RUN_ID in os.environ:
            parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
            print(f"{self.task}: {sum(seconds.values()):.1f} CPU s: {parts}", flush=True)

    def failed(self, message: str, exit_code: int, artifact: str = "") -> None:
        """The stage failed, and may have left an artifact that tells why."""
        self._say(state="failed", message=message, exit_code=exit_code, artifact=artifact)

    def _say(self, **changes: Any) -> None:
        self._at = time.monotonic()
        self._said = self._said.model_copy(update=changes)
        if self._bar:
            said = self._said
            self._bar.update(self._bar.task_ids[0], completed=said.done, total=said.total or None, unit=said.unit)
            if said.state != "running":
                self._bar.stop()
        if self._file:
            with disk.refusals(self._file.parent, "writable"):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                beside = self._file.with_suffix(".tmp")
                beside.write_text(self._said.model_dump_json(), encoding="utf-8")
                beside.replace(self._file)
        elif RUN_ID in os.environ:
            self._print()

    def _print(self) -> None:
        """A line for the log of a pod now and then, of what is under way."""
        said, now = self._said, time.monotonic()
        if said.state == "running" and said.total and now - self._line_at >= LINE_INTERVAL:
            last = said.history[-1] if said.history else {}
            numbers = "".join(f", {name} {value:.4g}" for name, value in last.items() if name != "epoch")
            print(f"{self.task}: {said.done} of {said.total} {said.unit}{numbers}", flush=True)
            self._line_at = now


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def log_to_file(task: str) -> None:
    """Sends what this process prints from now on to the log of `task`, if a runner asked for it."""
    run_dir = os.environ.get(RUN_DIR)
    if run_dir:
        path = Path(run_dir, "logs", f"{task}.log")
        sys.stdout.flush()
        sys.stderr.flush()
        with disk.refusals(path.parent, "writable"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
