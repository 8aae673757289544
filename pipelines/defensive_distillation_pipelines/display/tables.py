"""What was measured, as tables and lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from defensive_distillation.comparison.change import Change
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.model_id import BASELINE
from defensive_distillation.reporting.findings import changes as in_words
from defensive_distillation.reporting.findings.headline import headline
from defensive_distillation.reporting.findings.images import few_images, misclassified
from defensive_distillation.reporting.networks import models
from defensive_distillation.reporting.table import OUTPUTS, Row, Value, rows
from defensive_distillation.reporting.words import MASKED, radius, series
from defensive_distillation.runtime.stopwatch import PHASES
from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.display.grid import Cell, Grid

_STYLES = {"yes": "red", "no": "green", "undecided": "yellow"}  # of what is said of gradients


def of_sweep(evaluations: Sequence[Evaluation]) -> list[RenderableType]:
    """What a sweep found: a table of its networks, a line for each control, and one for each warning."""
    table = rows(evaluations)
    networks = [of_networks(table)] if models(evaluations) else []
    warnings = [f"warning: {network.name}: {warning}" for network in evaluations for warning in network.warnings]
    return ["", *networks, *of_controls(table), *_notes(evaluations), *warnings, ""]


def as_document(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The same for programs: shares in [0, 1], None where something was not measured."""
    return {
        "headline": headline(evaluations) if models(evaluations) else None,
        "networks": rows(evaluations),
        "notes": _notes(evaluations),
        "warnings": [{"network": one.name, "warning": warning} for one in evaluations for warning in one.warnings],
    }


def _notes(evaluations: Sequence[Evaluation]) -> list[str]:
    return [note for note in (misclassified(evaluations), few_images(evaluations)) if note]


def of_networks(rows: Sequence[Row]) -> Grid:
    """A sweep's networks but its controls, rates in per cent."""
    radii = sorted({row["robust_radius"] for row in rows if isinstance(row["robust_radius"], float)})
    within = f"robust, %\nε = {series([radius(each) for each in radii])}" if radii else "robust, %"
    return without_dashes(
        heads=(
            *("\nT", "\naccuracy, %", within, "JSMA success, %\nprobabilities", "\nlogits", "\nz/T"),
            *("features changed\nprobabilities", "\nz/T", "C&W L2\nsuccess, %", "\n8-bit", "\nmean", " \ngradients"),
        ),
        rows=[_cells(row) for row in rows if not row["control"]],
    )


def without_dashes(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Grid:
    """A table without columns that hold nothing but dashes; a head above several moves to the first that is left."""
    kept: list[int] = []
    named: list[str] = []
    above, shown = "", ""
    for place, head in enumerate(heads):
        line, _, below = head.partition("\n")
        above = line or above
        if not rows or any(str(row[place]) != "-" for row in rows):
            kept.append(place)
            named.append(f"{above if above != shown else ''}\n{below}")
            shown = above
    return Grid(heads=named, rows=[[row[place] for place in kept] for row in rows], left=())


def _cells(row: Row) -> list[Cell]:
    return [
        _network(row),
        _per_cent(row["accuracy"]),
        _per_cent(row["robust_accuracy"]),
        *(_per_cent(row[f"{output}_success"]) for output in OUTPUTS),
        _number(row["probabilities_changed_features"]),
        _number(row["scaled_changed_features"]),
        _per_cent(row["cw_l2_success"]),
        _per_cent(row["cw_l2_in_eight_bits"]),
        _number(row["cw_l2_average"], 2),
        gradients(str(row["masked"])),
    ]


def gradients(masked: str) -> Text:
    """'masked', 'not masked' or 'undecided' in its colour."""
    return Text(MASKED[masked], _STYLES[masked])


def of_controls(rows: Sequence[Row]) -> list[str]:
    """One line a control: it is no model of the sweep, and has no line in its table."""
    return [
        f"control at T = {row['temperature']:g} (undistilled, logits times T): JSMA "
        f"{_per_cent(row['probabilities_success'])} % on probabilities, {_per_cent(row['scaled_success'])} % on z/T; "
        f"{MASKED[str(row['masked'])]}"
        for row in rows
        if row["control"]
    ]


def of_times(steps: Sequence[Status]) -> Grid:
    """CPU seconds of steps that have ended, by phase, and their sums."""
    every = [(*(status.seconds[phase] for phase in PHASES), sum(status.seconds.values())) for status in steps]
    return Grid(
        heads=("step", *PHASES, "all"),
        rows=[[status.title, *map(_number, seconds)] for status, seconds in zip(steps, every, strict=True)],
        footer=("all steps", *(_number(sum(column)) for column in zip(*every, strict=True))),
    )


def of_changes(changes: Sequence[Change], before: str, after: str) -> Grid:
    """The differences between two runs, a line a measure."""
    return Grid(
        heads=("network", "measure", before, after, "difference", "95 % interval", "samples", "change", "note"),
        rows=[
            (
                change.title,
                in_words.measured(change),
                in_words.value(change, change.before),
                in_words.value(change, change.after),
                in_words.difference(change),
                in_words.interval(change),
                f"{change.samples} {'paired' if change.paired else 'apart'}" if change.samples else "",
                in_words.DIRECTIONS[change.direction],
                change.note,
            )
            for change in changes
        ],
        keys=2,
        left=(0, 1, 7, 8),
        narrow=list(_in_lines(changes)),
    )


def _in_lines(changes: Sequence[Change]) -> Iterator[str]:
    """The same a measure a line, below its network."""
    for number, change in enumerate(changes):
        if not number or change.title != changes[number - 1].title:
            yield change.title
        kind = f"{change.samples} {'paired' if change.paired else 'apart'}" if change.samples else ""
        sure = "; ".join(filter(None, (in_words.interval(change), kind)))
        values = f"{in_words.value(change, change.before)} → {in_words.value(change, change.after)}"
        differs = f", {in_words.difference(change)}" if change.difference is not None else ""
        yield (
            f"  {in_words.measured(change)}: {values}{differs}{f' ({sure})' if sure else ''}, "
            f"{in_words.DIRECTIONS[change.direction]}{f': {change.note}' if change.note else ''}"
        )


def _network(row: Row) -> str:
    """T, or the label of a network that has none."""
    if row["distilled"]:
        return f"{row['temperature']:g}"
    return "none" if row["model"] == BASELINE.label else str(row["model"])


def _per_cent(value: Value) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _number(value: Value, decimals: int = 1) -> str:
    return f"{value:.{decimals}f}" if isinstance(value, int | float) else "-"
