"""Running a job on this machine to its end: Kubeflow's process, the one that records in MLflow, and the progress."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation.runtime import unfinished
from defensive_distillation.tracking.status import RUN_DIR, Status, statuses
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from defensive_distillation_pipelines.display.board import Board
from defensive_distillation_pipelines.display.estimate import Key
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.recording import Recording, recorded
from defensive_distillation_pipelines.local.run_folder import RunFolder
from defensive_distillation_pipelines.local.workspace import removal

POLL = 0.3  # seconds


class StepFailedError(DefensiveDistillationError):
    """A step of the pipeline failed; the message names it, its model and its log."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def execute(
    run: RunFolder,
    job: Job,
    made: Callable[[Mapping[Key, Status]], Iterable[str]] = lambda statuses: (),
    *,
    quiet: bool = False,
) -> Mapping[Key, Status]:
    """Runs a job to its end and shows its progress; the statuses of the steps that ran.

    Args:
        run: the run that it belongs to.
        job: what to run.
        made: the locations of all artifacts of the finished job; those that were kept are recorded, too.
        quiet: no word of the progress.

    Raises:
        StepFailedError: naming the step, its model and its log.
        TrackingError: if MLflow did not take the results.
    """
    rerun = job.rerun["name"] if job.rerun else ""
    with recorded(run, rerun=rerun) as recording:
        board = Board(quiet=quiet, planned=not rerun)  # the plan of one step knows no network
        try:
            finished = _followed(run, job, board, recording)
            unfinished.remove(str(run.workspace.work.absolute()), run.name)
            recording.artifacts(made(finished))
            return finished
        except StepFailedError:
            recording.failed()
            raise
        finally:
            board.close()


def _followed(run: RunFolder, job: Job, board: Board, recording: Recording) -> Mapping[Key, Status]:
    run.plan.unlink(missing_ok=True)
    with _kubeflow(run, job) as process:
        while process.poll() is None:
            current = _current(run, board)
            recording.check()
            board.show(current)
            time.sleep(POLL)
    current = _current(run, board)
    if process.returncode != 0:
        for status in current.values():
            if status.state == "running":
                raise StepFailedError(f"{_where(status)} was killed; log: {status.log or run.kubeflow_log}")
        what = "the pipeline failed" if job.containers is None else "a container ended"
        raise StepFailedError(f"{what} before its stage began; log: {run.kubeflow_log}")
    board.show(current, last=True)
    return current


def _current(run: RunFolder, board: Board) -> Mapping[Key, Status]:
    """The statuses of all steps, if none has failed."""
    if board.planned and not board.steps and run.plan.exists():
        board.steps = _plan(run)
    current = latest(run)
    for status in current.values():
        if status.state == "failed":
            why = f"{status.message}{_remedy(run, status.message)}"
            raise StepFailedError(f"{_where(status)} failed: {why}; log: {status.log}", status.exit_code)
    return current


def _remedy(run: RunFolder, message: str) -> str:
    """What to do about an artifact of an earlier step that is damaged: its place begins the message."""
    place = Path(message.partition(": ")[0])
    if place.absolute().is_relative_to(run.workspace.store.absolute()) and place.is_dir():
        return f"; {removal(place)} removes it, and the same command makes it again"
    return ""


def _plan(run: RunFolder) -> Sequence[PlannedStep]:
    return [PlannedStep.model_validate(step) for step in json.loads(run.plan.read_bytes())]


def latest(run: RunFolder) -> dict[Key, Status]:
    """The last words of every step of the run's last start."""
    return {(status.stage, status.label, status.part): status for status in statuses(run.progress).values()}


def _where(status: Status) -> str:
    return f"{status.stage} at {status.label}" if status.label else status.stage


@contextmanager
def _kubeflow(run: RunFolder, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """The process that Kubeflow runs in, with all its steps in one group that ends with this block."""
    _end_containers(run, job)  # of a start that was killed with all its processes
    run.workspace.forget_damaged()
    temporary = _temporary(run)
    path = run.path / "job.json"
    path.write_bytes(job.model_dump_json().encode())
    environment = {
        **os.environ,
        RUN_DIR: str(run.path.absolute()),
        "KFP_RUN_ID": run.name,
        "MLFLOW_TRACKING_URI": run.workspace.tracking_uri,  # where a gate looks for the champion
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),  # Kubeflow leaves a folder a step, and a step that is killed what it was writing
    }
    with run.kubeflow_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "defensive_distillation_pipelines.local.process", str(path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # its end tells that this process is gone
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        _end_containers(run, job)
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(run: RunFolder) -> Path:
    """A folder for what its steps write for a moment; what a start left that was killed goes.

    Not in the workspace, whose path may be too long for the sockets of processes.
    """
    name = hashlib.sha256(str(run.path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    for left in Path(tempfile.gettempdir()).glob(f"defdistill-{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"defdistill-{name}-"))


def _end_containers(run: RunFolder, job: Job) -> None:
    if job.containers is not None:
        from defensive_distillation_pipelines.local.containers import end

        end(run.path.absolute())
