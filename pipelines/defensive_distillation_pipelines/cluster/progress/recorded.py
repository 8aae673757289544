"""Progress read off what stands in MLflow: which steps are done, but not which run."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.config import STAGES
from defensive_distillation.errors import InputError
from defensive_distillation.tracking.lineage import made
from defensive_distillation_pipelines.cluster.progress.view import View
from defensive_distillation_pipelines.definitions.plan import PlannedStep

SOURCE = "MLflow, which tells what is done but not what runs"


def view(run_id: str, steps: Sequence[PlannedStep]) -> View:
    """The steps that are done.

    Raises:
        TrackingError: if MLflow does not answer.
    """
    try:
        stands = made(run_id)
    except InputError:  # the run has recorded nothing yet
        return View(SOURCE)
    return View(SOURCE, {step.path: "done" for step in steps if stands.issuperset(_names(step))})


def _names(step: PlannedStep) -> list[tuple[str, str]]:
    """The model and the names in its tags of what a step makes."""
    label = step.model.label if step.model else ""
    if "attacks" not in STAGES[step.stage].model_fields:
        return [(label, step.stage)]
    attacks, _, shard = step.part.partition(" ")
    parts = (f"{attack} {shard}".strip() for attack in attacks.split("+"))
    return [(label, f"{step.stage}.{part.replace(' ', '.')}") for part in parts]
