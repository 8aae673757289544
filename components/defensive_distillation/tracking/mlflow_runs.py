"""One run of MLflow; everything that is logged twice with the same value stands there once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.tracking.client import reported
from defensive_distillation.tracking.status import FINISHED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH = 1000  # metrics that MLflow takes at once
PARAMETERS = 100  # and parameters
REASON = "defdistill.reason"  # tag of a run that has failed or was stopped


@dataclass(frozen=True)
class Run:
    """One MLflow run."""

    client: MlflowClient
    run_id: str
    uri: str = field(repr=False)  # may hold a password

    def params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters that are not there yet; one that is there keeps its value."""
        from mlflow.entities import Param

        with reported(self.uri):
            known = self.client.get_run(self.run_id).data.params
            new = [Param(name, as_text(value)) for name, value in params.items() if name not in known]
            for start in range(0, len(new), PARAMETERS):
                self.client.log_batch(self.run_id, params=new[start : start + PARAMETERS])

    def metrics(self, metrics: Mapping[str, float | None]) -> None:
        """Logs metrics that have one value; None is left out, and so is what stands there already."""
        with reported(self.uri):
            known = self.client.get_run(self.run_id).data.metrics
            self._log({(name, 0): value for name, value in metrics.items() if known.get(name) != value})

    def curves(self, rows: Sequence[Mapping[str, float | None]], first_step: int = 1) -> None:
        """Logs one row of metrics a step; a step that is there already is left as it is.

        Where it has another value, because the stage's code has changed, the new one is added, and stands.
        """
        if not rows:
            return
        with reported(self.uri):
            known = {name: {metric.step: metric.value for metric in self._history(name)} for name in rows[0]}
            new = {
                (name, step): value
                for step, row in enumerate(rows, start=first_step)
                for name, value in row.items()
                if known[name].get(step) != value
            }
            self._log(new)

    def _history(self, name: str) -> list[Metric]:
        """All values of a metric, the one that stands last at its step."""
        return sorted(self.client.get_metric_history(self.run_id, name), key=lambda metric: metric.timestamp)

    def _log(self, values: Mapping[tuple[str, int], float | None]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        new = [Metric(name, float(value), now, step) for (name, step), value in values.items() if value is not None]
        for start in range(0, len(new), BATCH):
            self.client.log_batch(self.run_id, metrics=new[start : start + BATCH])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags; the last value stands."""
        from mlflow.entities import RunTag

        with reported(self.uri):
            self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def files(self, contents: Mapping[str, bytes]) -> None:
        """Puts files at paths below the run's artifacts; one that is there is replaced."""
        with reported(self.uri), tempfile.TemporaryDirectory() as folder:
            for name, content in contents.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.client.log_artifacts(self.run_id, folder)

    def folder(self, folder: Path, place: str) -> None:
        """Puts a folder below the run's artifacts."""
        with reported(self.uri):
            self.client.log_artifacts(self.run_id, str(folder), place)

    def is_closed(self) -> bool:
        """Whether it has ended, with a reason if it did not finish; Kubeflow's integration ends its own without one."""
        with reported(self.uri):
            run = self.client.get_run(self.run_id)
        return run.info.status == FINISHED or (run.info.status != "RUNNING" and REASON in run.data.tags)

    def ended(self, status: str = FINISHED) -> None:
        """Marks the run as FINISHED, FAILED or KILLED; a finished one keeps no reason of an attempt that failed."""
        with reported(self.uri):
            run = self.client.get_run(self.run_id)
            if status == FINISHED and REASON in run.data.tags:
                self.client.delete_tag(self.run_id, REASON)
            if run.info.status != status:
                self.client.set_terminated(self.run_id, status)

    def begun(self) -> None:
        """Marks the run as RUNNING; what an earlier attempt failed of is no longer true."""
        with reported(self.uri):
            if REASON in self.client.get_run(self.run_id).data.tags:
                self.client.delete_tag(self.run_id, REASON)
            self.client.update_run(self.run_id, "RUNNING")


def as_text(value: Any) -> str:
    """A parameter as MLflow shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
