"""Starting the process that Kubeflow runs in, and telling how far its steps are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from defensive_distillation.config import ExperimentConfig
from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation.runtime.progress import RUN_DIR
from defensive_distillation.runtime.stage import control_label, model_label
from defensive_distillation.tracking.outbox import OUTBOX, Outbox
from defensive_distillation_pipelines.local.delivery import Delivery, delivered
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.workspace import RunFolder

POLL = 0.3  # seconds
LINE_INTERVAL = 15.0  # seconds between two lines where there is no terminal
CHAIN = ("train_teacher", "generate_soft_labels", "train_student", "attack", "evaluate")
CONTROL_CHAIN = ("scale_logits", "attack", "evaluate")


class StepFailedError(DefensiveDistillationError):
    """A step of the pipeline failed; the message names it, its model and its log."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Status:
    """What a step said of itself last."""

    task: str
    stage: str
    label: str
    part: str
    state: str  # running, done or failed
    done: int
    total: int
    unit: str
    message: str
    exit_code: int
    artifact: str
    log: str
    pid: int
    seconds: Mapping[str, float] = field(default_factory=dict)  # of a processor, by phase; of a step that is done

    @property
    def step(self) -> str:
        """The step for people: stage, model, and the first of its attacks."""
        attacks, _, shard = self.part.partition(" ")
        first, *others = attacks.split("+")
        more = f"{first} +{len(others)}" if others else first
        return " ".join(filter(None, (self.stage, self.label, more, shard)))


Step = tuple[str, str, str]  # stage, label of the model, and what tells apart several steps of one stage on it


def tasks(config: ExperimentConfig) -> list[Step]:
    """All steps of a sweep, in the order of one model after the other."""
    controls = [control_label(t) for t in config.control_temperatures]
    models = [model_label(distilled=True, temperature=t) for t in config.temperatures]
    chains = [
        ("baseline", ("train_teacher", "attack", "evaluate"), config.attack_parts(config.baseline_attacks)),
        *((label, CONTROL_CHAIN, config.attack_parts(config.control_attacks)) for label in controls),
        *((label, CHAIN, config.attack_parts(config.attacks)) for label in models),
    ]
    steps = [
        (stage, label, part)
        for label, chain, attacks in chains
        for stage in chain
        for part in (attacks if stage == "attack" else ("",))
    ]
    return [("prepare_data", "", ""), *steps, ("report", "", "")]


def read_statuses(folder: Path) -> dict[str, Status]:
    """The last words of every step, by task."""
    found: dict[str, Status] = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # replaced this moment
        status = Status(**values)
        # the teacher at T = 1 is the baseline once more: what is done stays done
        if status.task not in found or found[status.task].state != "done":
            found[status.task] = status
    return found


class Board:
    """Shows how far a run is: a block that is redrawn on a terminal, else a line now and then."""

    def __init__(self, expected: list[Step]) -> None:
        self.expected = expected
        self.started = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self._drawn = 0
        self._last = ("", 0.0)

    def show(self, statuses: Mapping[str, Status], *, last: bool = False) -> None:
        """Draws the state of all steps."""
        running = [status for status in statuses.values() if status.state == "running"]
        done, kept = self._done(statuses, finished=last)
        left = len(self.expected) - done - len(running)
        seconds = int(time.monotonic() - self.started)
        again = f" ({kept} kept from before)" if kept else ""
        head = f"[{seconds // 60}:{seconds % 60:02d}] stages: {done} done{again}, {len(running)} running, {left} left"
        lines = [_line(status) for status in running]
        if self.terminal:
            self._redraw([head, *("  " + line for line in lines)], last=last)
        else:
            text = " · ".join([head, *lines])
            due = time.monotonic() - self._last[1] >= LINE_INTERVAL or f"{done}{len(running)}" != self._last[0]
            if (due or last) and text:
                print(text, file=sys.stderr, flush=True)
                self._last = (f"{done}{len(running)}", time.monotonic())

    def _done(self, statuses: Mapping[str, Status], *, finished: bool) -> tuple[int, int]:
        """Steps that are done, and how many of those were not repeated: whatever stands before a step that runs."""
        states = {(status.stage, status.label, status.part): status.state for status in statuses.values()}
        done = {task for task, state in states.items() if state == "done" and task in self.expected}
        kept = set(self.expected) - set(states) if finished else set()
        for stage, label, _ in states:
            chain = CONTROL_CHAIN if label.startswith("control") else CHAIN
            before = chain[: chain.index(stage)] if stage in chain else ()
            earlier = [step for step in self.expected if step[0] in before and step[1] == label]
            kept |= {step for step in [("prepare_data", "", ""), *earlier] if step not in states}
        kept &= set(self.expected)
        return len(done | kept), len(kept)

    def _redraw(self, lines: list[str], *, last: bool) -> None:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        print(up + "\x1b[J" + "\n".join(line[: width - 1] for line in lines), file=sys.stderr, flush=True)
        self._drawn = 0 if last else len(lines)


def _line(status: Status) -> str:
    if not status.total:
        return status.step
    filled = round(16 * status.done / status.total)
    bar = "█" * filled + "░" * (16 - filled)
    return f"{status.step:<36} {bar} {status.done}/{status.total} {status.unit}"


def execute(run: RunFolder, job: Job, expected: list[Step]) -> dict[str, Status]:
    """Runs a job to its end and shows its progress; the statuses of the steps that ran.

    Raises:
        StepFailedError: naming the step, its model and its log.
        TrackingError: if MLflow did not take what the steps record.
    """
    with delivered(run) as delivery:
        try:
            return _watched(run, job, Board(expected), delivery)
        except StepFailedError:
            if job.experiment is not None:
                Outbox(run.outbox, run.name).sweep_run().ended("FAILED")
            raise


def _watched(run: RunFolder, job: Job, board: Board, delivery: Delivery) -> dict[str, Status]:
    with _kubeflow(run, job) as process:
        while process.poll() is None:
            statuses = read_statuses(run.progress)
            _raise_for_failure(statuses)
            delivery.check()
            board.show(statuses)
            time.sleep(POLL)
    statuses = read_statuses(run.progress)
    _raise_for_failure(statuses)
    if process.returncode != 0:
        for status in statuses.values():
            if status.state == "running":
                name = f"{status.stage} at {status.label}" if status.label else status.stage
                raise StepFailedError(f"{name} was killed; log: {status.log or run.kubeflow_log}")
        raise StepFailedError(f"the pipeline failed before a stage began; log: {run.kubeflow_log}")
    board.show(statuses, last=True)
    return statuses


def _raise_for_failure(statuses: Mapping[str, Status]) -> None:
    for status in statuses.values():
        if status.state == "failed":
            name = f"{status.stage} at {status.label}" if status.label else status.stage
            raise StepFailedError(f"{name} failed: {status.message}; log: {status.log}", status.exit_code)


@contextmanager
def _kubeflow(run: RunFolder, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """The process that Kubeflow runs in, with all its steps in one group that ends with this block."""
    path = run.path / "job.json"
    path.write_text(job.model_dump_json())
    environment = {
        **os.environ,
        RUN_DIR: str(run.path.absolute()),
        OUTBOX: str(run.outbox.absolute()),
        "KFP_RUN_ID": run.name,
        "MLFLOW_TRACKING_URI": run.workspace.tracking_uri,
        "PYTHONUNBUFFERED": "1",
    }
    with run.kubeflow_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "defensive_distillation_pipelines.local.process", str(path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
