"""Tables for the terminal; in a pipe the same as plain lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.table import Table

from defensive_distillation.comparison.change import Change
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.model_id import BASELINE
from defensive_distillation.reporting.findings import changes as in_words
from defensive_distillation.reporting.findings.images import few_images, misclassified
from defensive_distillation.reporting.table import OUTPUTS, Row, Value, rows
from defensive_distillation.reporting.words import MASKED, radius, series
from defensive_distillation.runtime.stopwatch import PHASES
from defensive_distillation.tracking.status import Status

_PIPE_WIDTH = 200  # columns where there is no terminal


def show(*parts: RenderableType) -> None:
    """Prints tables and lines on standard output."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def of_sweep(evaluations: Sequence[Evaluation]) -> list[RenderableType]:
    """What a sweep found: a table of its networks, a line for each control, and one for each warning."""
    table = rows(evaluations)
    warnings = [f"warning: {network.name}: {warning}" for network in evaluations for warning in network.warnings]
    notes = [note for note in (misclassified(evaluations), few_images(evaluations)) if note]
    return ["", of_networks(table), *of_controls(table), *notes, *warnings, ""]


def of_networks(rows: Sequence[Row]) -> Table:
    """A sweep's networks but its controls, rates in per cent."""
    radii = sorted({row["robust_radius"] for row in rows if isinstance(row["robust_radius"], float)})
    within = f"robust, %\nε = {series([radius(each) for each in radii])}" if radii else "robust, %"
    table = _table(
        *("\nT", "\naccuracy, %", within, "JSMA success, %\nprobabilities", "\nlogits", "\nz/T"),
        *("features changed\nprobabilities", "\nz/T", "C&W L2\nsuccess, %", "\n8-bit", "\nmean", "\ngradients"),
    )
    for row in rows:
        if not row["control"]:
            table.add_row(
                _network(row),
                _per_cent(row["accuracy"]),
                _per_cent(row["robust_accuracy"]),
                *(_per_cent(row[f"{output}_success"]) for output in OUTPUTS),
                _number(row["probabilities_changed_features"]),
                _number(row["scaled_changed_features"]),
                _per_cent(row["cw_l2_success"]),
                _per_cent(row["cw_l2_in_eight_bits"]),
                _number(row["cw_l2_average"], 2),
                MASKED[str(row["masked"])],
            )
    return table


def of_controls(rows: Sequence[Row]) -> list[str]:
    """One line a control: it is no model of the sweep, and has no line in its table."""
    return [
        f"control at T = {row['temperature']:g} (undistilled, logits times T): JSMA "
        f"{_per_cent(row['probabilities_success'])} % on probabilities, {_per_cent(row['scaled_success'])} % on z/T; "
        f"{MASKED[str(row['masked'])]}"
        for row in rows
        if row["control"]
    ]


def of_times(steps: Sequence[Status]) -> Table:
    """CPU seconds of steps that have ended, by phase, and their sums."""
    table = _table("step", *PHASES, "all", show_footer=True)
    table.columns[0].justify, table.columns[0].footer = "left", "all steps"
    every = [(*(status.seconds[phase] for phase in PHASES), sum(status.seconds.values())) for status in steps]
    for status, seconds in zip(steps, every, strict=True):
        table.add_row(status.title, *(_number(value) for value in seconds))
    for column, values in zip(table.columns[1:], zip(*every, strict=True), strict=True):
        column.footer = _number(sum(values))
    return table


def of_changes(changes: Sequence[Change], before: str, after: str) -> Table:
    """The differences between two runs, a line a measure."""
    table = _table("network", "measure", before, after, "difference", "95 % interval", "samples", "change", "note")
    for column in (*table.columns[:2], *table.columns[-2:]):
        column.justify = "left"
    for change in changes:
        table.add_row(
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
    return table


def _table(*heads: str, show_footer: bool = False) -> Table:
    table = Table(
        box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, show_footer=show_footer, header_style=""
    )
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _network(row: Row) -> str:
    """T, or the label of a network that has none."""
    if row["distilled"]:
        return f"{row['temperature']:g}"
    return "none" if row["model"] == BASELINE.label else str(row["model"])


def _per_cent(value: Value) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _number(value: Value, decimals: int = 1) -> str:
    return f"{value:.{decimals}f}" if isinstance(value, int | float) else "-"
