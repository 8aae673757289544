"""What stands in MLflow: made from finished artifacts; only the live curve of a training is sent while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from defensive_distillation.artifacts import Artifact
from defensive_distillation.model_id import ModelId

INTERVAL = 10.0  # seconds between two records of the epochs of a training that runs


class Recorder(Protocol):
    """Where a stage's results are recorded; everything may be said twice and stands there once."""

    def record(
        self, artifact: Artifact, made_from: Mapping[str, Sequence[str]] = {}, seconds: float | None = None
    ) -> None:
        """Records what a finished artifact holds: parameters, metrics, tags and files.

        Args:
            artifact: of this stage, or one that it has read, for the stage that made it may have come from a cache.
            made_from: where the artifacts lie that it was made from, by kind.
            seconds: of the processor, that it has just taken to compute; None for one that was there already.
        """

    def failed(self, model: ModelId | None, reason: str) -> None:
        """Records that a stage has failed that worked for `model`, or for the sweep as a whole, and why."""

    def epochs(self, model: ModelId, history: Sequence[Mapping[str, Any]]) -> None:
        """Records the epochs of a training of `model` so far, or of its teacher."""
