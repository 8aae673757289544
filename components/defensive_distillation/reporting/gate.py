"""The files of a gate: its table, and the sweep's page with the gate's outcome before everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from defensive_distillation.comparison.rules import Judged
from defensive_distillation.reporting.findings.changes import rows, sentence
from defensive_distillation.reporting.page.gate import with_gate
from defensive_distillation.reporting.table import to_csv

SCHEMA_VERSION = 1
PASSED, FAILED = "passed", "failed"


def write_gate(judged: Sequence[Judged] | None, page: str) -> tuple[dict[str, Any], Callable[[Path], None]]:
    """What the gate found, and a function that writes gate.json, gate.csv and report.html into a folder.

    Args:
        judged: every change that the rules heed; None without a champion.
        page: the sweep's report.

    Raises:
        ArtifactError: if `page` is no report.
    """
    outcome = FAILED if any(one.fails for one in judged or ()) else PASSED
    why, table = sentence(judged), rows(judged or ())
    failures = [f"{one.change.network}: {one.change.name}" for one in judged or () if one.fails]
    found = {"outcome": outcome, "sentence": why, "failures": failures}
    document = with_gate(page, outcome == PASSED, why, judged)

    def write_files(folder: Path) -> None:
        content = {"schema_version": SCHEMA_VERSION, **found, "changes": table}
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / "gate.json").write_text(text, encoding="utf-8", newline="\n")
        (folder / "gate.csv").write_text(to_csv(table), encoding="utf-8", newline="\n")
        (folder / "report.html").write_text(document, encoding="utf-8", newline="\n")

    return found, write_files
