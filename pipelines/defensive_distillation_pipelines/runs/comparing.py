"""The differences between finished runs, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts.evaluation import Measured, read_measured
from defensive_distillation.comparison.change import Change
from defensive_distillation.comparison.sweeps import changes
from defensive_distillation.errors import InputError
from defensive_distillation.reporting.findings.changes import plain, rows
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.workspace import Workspace
from defensive_distillation_pipelines.runs.sources import Run, named_run

if TYPE_CHECKING:
    from rich.console import RenderableType

_OF_RULES = ("limit", "fails")  # columns of a gate's table


def compared(workspace: Workspace, names: Sequence[str]) -> list[tuple[str, list[Change]]]:
    """The first run's name and nothing, then each other run with its differences from the first.

    Raises:
        InputError: for fewer than two runs, or a run that is not there or not finished.
        ArtifactError: if a run's evaluations do not tell of each sample.
    """
    if len(names) < 2:
        raise InputError(f"compare: expected two runs or more, got {len(names)}")
    runs = [named_run(workspace, name) for name in names]
    reference = _measured(runs[0])
    differences = [(run.name, changes(reference, _measured(run))) for run in runs[1:]]
    return [(runs[0].name, []), *differences]


def told(found: Sequence[tuple[str, list[Change]]], *, changed: bool) -> Told:
    """A table for each run beside the first; with `changed` only of what differs beyond chance."""
    (reference, _), *others = found
    shown: list[RenderableType] = []
    for name, differences in others:
        kept = [one for one in differences if not changed or one.direction != "same"]
        shown += ["", f"{name} beside {reference}", ""]
        shown.append(tables.of_changes(kept, reference, name) if kept else "nothing differs beyond chance")
    note = "A change is more than chance where the 95 % interval of the difference does not hold zero."
    return Told([*shown, "", note], _document(found))


def _document(found: Sequence[tuple[str, list[Change]]]) -> dict[str, Any]:
    """All measures, shares in [0, 1]."""
    (reference, _), *others = found
    runs = [
        {
            "run": name,
            "changes": [
                {key: value for key, value in row.items() if key not in _OF_RULES} for row in rows(plain(differences))
            ],
        }
        for name, differences in others
    ]
    return {"reference": reference, "runs": runs}


def _measured(run: Run) -> list[Measured]:
    with run.evaluations() as evaluations:
        return [read_measured(one) for one in evaluations]
