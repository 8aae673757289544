"""What a step of a local run says of itself: small files that the runner and the recording process read.

The local runner sets DEFDISTILL_RUN_DIR for the steps it starts; each of them writes its `Status` to
`progress/TASK.PID.json` there (runtime/progress.py).
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import ModelId

RUN_DIR = "DEFDISTILL_RUN_DIR"
FAILED = "FAILED"  # the word that tells the recording process of a run that has failed; also MLflow's for it
FINISHED = "FINISHED"  # MLflow's words for a run that succeeded, and for one that was stopped
KILLED = "KILLED"
STOPPED = "the run was stopped"  # why a run is KILLED


class Status(BaseModel):
    """What a step said of itself last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    model: ModelId | None = None
    part: str = ""  # tells apart several tasks of one stage that work for one model
    state: Literal["running", "done", "failed"]
    done: int = 0
    total: int = 0
    unit: str = ""
    history: tuple[dict[str, Any], ...] = ()  # the epochs of a training so far
    message: str = ""
    exit_code: int = 0
    artifact: str = ""
    seconds: dict[str, float] = {}  # of a processor, by phase; of a step that is done
    log: str = ""
    pid: int = 0

    @property
    def label(self) -> str:
        """The model that the step works for, or ''."""
        return self.model.label if self.model else ""

    @property
    def task(self) -> str:
        """A name for files: stage, model and part."""
        return "-".join(name.replace(" ", "-") for name in (self.stage, self.label, self.part) if name)

    @property
    def title(self) -> str:
        """The step for people: stage, model, and the first of its attacks."""
        attacks, _, shard = self.part.partition(" ")
        first, *others = attacks.split("+")
        several = others[0].removeprefix("…") if len(others) == 1 and others[0][0] == "…" else str(len(others))
        more = f"{first} +{several}" if others else first
        return " ".join(filter(None, (self.stage, self.label, more, shard)))


def statuses(folder: Path) -> dict[str, Status]:
    """The last words of every step in `folder`, by task, the latest last.

    Raises:
        ArtifactError: if a file holds something else.
    """
    latest: dict[str, Status] = {}
    for path in sorted(folder.glob("*.json"), key=_written):
        try:
            status = Status.model_validate_json(path.read_bytes())
        except OSError:
            continue  # a new run of the same name has removed it
        except ValidationError as error:
            raise ArtifactError(
                f"{path}: expected what a step says of itself, got: {error.errors()[0]['msg']}; "
                f"rm {shlex.quote(str(path))} removes it"
            ) from error
        # a step that was started again after it was done only finds its result
        if status.task not in latest or latest[status.task].state != "done":
            latest[status.task] = status
    return latest


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
