"""Records for MLflow as files in a folder, for a process that takes them there in their order (tracking.deliver).

MLflow takes four seconds of a processor to import, and a sweep on one machine has dozens of steps. The local runner
sets DEFDISTILL_OUTBOX for the steps that it starts: they need no MLflow, and only one process writes its database. What
a killed run has not delivered yet is delivered when it goes on.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defensive_distillation.tracking.recording import Recorder, as_text

OUTBOX = "DEFDISTILL_OUTBOX"


@dataclass(frozen=True)
class Outbox:
    """Records what a stage says in `folder`; see `Recorder`."""

    folder: Path
    pipeline_run: str
    rerun: str = ""

    def sweep_run(self) -> OutboxRun:
        """The parent run of the sweep."""
        return OutboxRun(self, "")

    def model_run(self, label: str) -> OutboxRun:
        """The child run of a model."""
        return OutboxRun(self, label)

    def step_run(self) -> None:
        """None: Kubeflow's integration is a cluster's."""


@dataclass(frozen=True)
class OutboxRun:
    """One run; each call becomes a file, there whole or not at all."""

    outbox: Outbox
    label: str  # of the model, or '' for the sweep

    def params(self, params: Mapping[str, Any]) -> None:
        """See `RecordedRun.params`."""
        self._post("params", {name: as_text(value) for name, value in params.items()})

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """See `RecordedRun.metrics`."""
        self._post("metrics", dict(metrics), step)

    def curves(self, rows: Sequence[Mapping[str, float | None]], first_step: int = 1) -> None:
        """See `RecordedRun.curves`."""
        self._post("curves", [dict(row) for row in rows], first_step)

    def tags(self, tags: Mapping[str, str]) -> None:
        """See `RecordedRun.tags`."""
        self._post("tags", dict(tags))

    def files(self, contents: Mapping[str, bytes]) -> None:
        """See `RecordedRun.files`."""
        self._post("files", {name: base64.b64encode(content).decode() for name, content in contents.items()})

    def folder(self, folder: Path, place: str) -> None:
        """See `RecordedRun.folder`; the files as they are now, wherever the folder is later."""
        found = {path: f"{place}/{path.relative_to(folder).as_posix()}" for path in sorted(folder.rglob("*"))}
        self.files({name: path.read_bytes() for path, name in found.items() if path.is_file()})

    def ended(self, status: str = "FINISHED") -> None:
        """See `RecordedRun.ended`."""
        self._post("ended", status)

    def _post(self, call: str, *arguments: Any) -> None:
        box = self.outbox
        content = [box.pipeline_run, box.rerun, self.label, call, list(arguments)]
        name = f"{time.time_ns():020d}-{os.getpid()}.json"
        box.folder.mkdir(parents=True, exist_ok=True)
        beside = box.folder / f".{name}"
        beside.write_text(json.dumps(content))
        beside.replace(box.folder / name)


@dataclass(frozen=True)
class Letter:
    """A call that waits for its delivery."""

    path: Path
    pipeline_run: str
    rerun: str
    label: str
    call: str
    arguments: Sequence[Any]

    def deliver(self, recorder: Recorder) -> None:
        """Makes the call, then removes the file; a kill between the two repeats a call that changes nothing."""
        run = recorder.model_run(self.label) if self.label else recorder.sweep_run()
        arguments = list(self.arguments)
        if self.call == "files":
            arguments = [{name: base64.b64decode(content) for name, content in arguments[0].items()}]
        getattr(run, self.call)(*arguments)
        self.path.unlink()


def waiting(folder: Path) -> Iterator[Letter]:
    """All that is not delivered yet, in the order in which it was said."""
    for path in sorted(folder.glob("[0-9]*.json")):
        yield Letter(path, *json.loads(path.read_text()))
