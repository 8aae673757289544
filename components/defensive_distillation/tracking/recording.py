"""What stages say of themselves: to MLflow (tracking.py), or to an outbox that is delivered there (outbox.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class RecordedRun(Protocol):
    """One run of MLflow; everything logged twice with the same value stands there once."""

    def params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters that are not there yet; one that is there keeps its value."""

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics at one step; None is left out, and so is what stands there already."""

    def curves(self, rows: Sequence[Mapping[str, float | None]], first_step: int = 1) -> None:
        """Logs one row of metrics a step; a step that is there already with this value is left as it is."""

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags; the last value stands."""

    def files(self, contents: Mapping[str, bytes]) -> None:
        """Puts files at paths below the run's artifacts; one that is there is replaced."""

    def folder(self, folder: Path, place: str) -> None:
        """Puts a folder below the run's artifacts."""

    def ended(self, status: str = "FINISHED") -> None:
        """Marks the run as FINISHED, FAILED or RUNNING."""


class Recorder(Protocol):
    """The experiment that a stage records itself in; `rerun` is the name of a rerun, or nothing."""

    @property
    def rerun(self) -> str:
        """Name of a rerun, whose model has a run of its own beside the first; '' without one."""

    def sweep_run(self) -> RecordedRun:
        """The parent run of the sweep; of a rerun, a child of its own, so that the sweep stays as it was."""

    def model_run(self, label: str) -> RecordedRun:
        """The child run of a model: 'baseline' or 'T=20'; of a rerun, a child of its own."""

    def step_run(self) -> RecordedRun | None:
        """The run that Kubeflow's integration opened for this step, if it did."""


def as_text(value: Any) -> str:
    """A parameter as MLflow shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
