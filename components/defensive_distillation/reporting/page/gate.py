"""The gate's outcome as the first thing on the sweep's page; the page itself stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.comparison.rules import Judged
from defensive_distillation.errors import ArtifactError
from defensive_distillation.reporting.findings.changes import (
    DIRECTIONS,
    difference,
    interval,
    limit,
    measured,
    value,
)
from defensive_distillation.reporting.page.document import templates
from defensive_distillation.reporting.page.parts import Cell, Table

_START = "<main>"
_HEAD = ("network", "measure", "champion", "this sweep", "difference", "allowed", "change")


def with_gate(page: str, passed: bool, sentence: str, judged: Sequence[Judged] | None) -> str:
    """The page with the gate before all.

    Args:
        page: the sweep's report.
        passed: the outcome.
        sentence: why.
        judged: every change that the rules heed; None without a champion.

    Raises:
        ArtifactError: if `page` is no report.
    """
    before, start, after = page.partition(_START)
    if not start:
        raise ArtifactError(f"report: expected a page of the stage report, with {_START}, got another")
    changed = [one for one in judged or () if one.fails or one.change.direction != "same"]
    template = templates().get_template("gate.html")
    section = template.render(
        passed=passed,
        sentence=sentence,
        changed=_table(changed, "What changed beyond chance") if changed else None,
        same=_table([one for one in judged or () if one not in changed], "") if judged else None,
    )
    return f"{before}{start}\n{section}{after}"


def _table(judged: Sequence[Judged], caption: str) -> Table:
    return Table(_HEAD, [_row(one) for one in judged], caption, kind="gate-table")


def _row(judged: Judged) -> list[str | Cell]:
    change = judged.change
    told = Cell(DIRECTIONS[change.direction], "fails" if judged.fails else "value", below=(change.note,))
    samples = f"{change.samples:,} {'paired' if change.paired else 'apart'}" if change.samples else ""
    return [
        change.title,
        measured(change),
        value(change, change.before),
        value(change, change.after),
        Cell(difference(change), below=(interval(change), samples)),
        limit(judged),
        told,
    ]
