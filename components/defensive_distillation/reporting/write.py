"""The files of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.provenance import Made
from defensive_distillation.reporting.findings.headline import headline
from defensive_distillation.reporting.findings.paragraphs import paragraphs
from defensive_distillation.reporting.findings.verdicts import verdicts
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.networks import checked
from defensive_distillation.reporting.table import rows, to_csv, to_json


def write_report(
    evaluations: Sequence[Evaluation],
    grids: Mapping[str, Mapping[str, Grid]],
    *,
    examples: Mapping[str, Examples],
    title: str,
    made: Made,
    folder: Path,
) -> None:
    """Writes report.html, sweep.csv, sweep.json and figures/*.png into `folder`; the same bytes for the same input.

    Args:
        evaluations: all models of the sweep and their controls, in any order.
        grids: JSMA's samples by model and attacked output; may lack any.
        examples: what every attack makes of the same sources, by model; may lack any.
        title: of the page.
        made: how, when and by what.
        folder: made if it is not there.

    Raises:
        InputError: if the evaluations cannot stand in one report; nothing is written then.
    """
    # here, so that who prints a table does not wait for matplotlib
    from defensive_distillation.reporting.figures.exhibits import figures_as_png
    from defensive_distillation.reporting.page.document import page

    ordered = checked(evaluations)
    drawn = figures_as_png(ordered)
    document = page(ordered, grids, title, examples=examples, made=made, drawn=drawn)
    table = rows(ordered)
    findings = {
        "headline": headline(ordered),
        "paragraphs": paragraphs(ordered),
        "verdicts": [asdict(verdict) for verdict in verdicts(ordered)],
    }
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(document, encoding="utf-8", newline="\n")
    (folder / "sweep.csv").write_text(to_csv(table), encoding="utf-8", newline="\n")
    (folder / "sweep.json").write_text(to_json(table, findings), encoding="utf-8", newline="\n")
    for name, content in drawn.items():
        (folder / "figures" / f"{name}.png").write_bytes(content)
