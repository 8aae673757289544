"""The sweep's table: one row a model, as CSV, JSON and terminal text."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO

from defensive_distillation.evaluation import AttackFindings, Evaluation, in_order
from defensive_distillation.reporting.findings import verdicts
from defensive_distillation.reporting.paper import published

SCHEMA_VERSION = 1
OUTPUTS = ("probabilities", "logits", "scaled")

Value = str | int | float | bool | None
Row = dict[str, Value]


def rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """One row a model, the baseline first, then by temperature; None where something was not measured.

    Shares and accuracies are in [0, 1]. Every row has the same keys in the same order.
    """
    judged = {verdict.model: verdict for verdict in verdicts(evaluations)}
    table: list[Row] = []
    for found in in_order(evaluations):
        numbers, verdict = published(found.dataset), judged[found.name]
        row: Row = {
            "model": found.name,
            "distilled": found.distilled,
            "temperature": found.temperature,
            "dataset": found.dataset.name,
            "architecture": found.architecture,
            "seed": found.seed,
            "accuracy": found.accuracy,
            "confidence": found.confidence,
            "mean_absolute_logit": found.mean_absolute_logit,
            "zero_gradient_share_float32": found.gradients_at_1.zero_share_float32,
            "zero_gradient_share_float64": found.gradients_at_1.zero_share_float64,
        }
        for output in OUTPUTS:
            row |= _attack_columns(output, found.attack(output))
        row |= {
            "masked": verdict.masked,
            "masked_difference": verdict.difference,
            "masked_difference_low": verdict.interval[0] if verdict.interval else None,
            "masked_difference_high": verdict.interval[1] if verdict.interval else None,
            "paper_success": numbers.success_of(found) if numbers else None,
        }
        table.append(row)
    return table


def to_csv(table: Sequence[Row]) -> str:
    """The rows as CSV with a header; a missing value is an empty field."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def to_json(table: Sequence[Row], findings: Mapping[str, object] | None = None) -> str:
    """The rows, and `findings` if given, as JSON; a missing value is null, and NaN is refused."""
    document = {"schema_version": SCHEMA_VERSION, "rows": list(table)}
    if findings is not None:
        document["findings"] = findings
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_text(table: Sequence[Row]) -> str:
    """The rows as an aligned table for the terminal, rates in per cent."""
    head = [
        ("", "", "JSMA success, %", "", "", "features changed", ""),
        ("T", "accuracy, %", "probabilities", "logits", "z/T", "probabilities", "z/T"),
    ]
    body = [
        (
            f"{row['temperature']:g}" if row["distilled"] else "none",
            _per_cent(row["accuracy"]),
            *(_per_cent(row[f"{output}_success"]) for output in OUTPUTS),
            _number(row["probabilities_changed_features"]),
            _number(row["scaled_changed_features"]),
        )
        for row in table
    ]
    widths = [max(len(line[column]) for line in [head[1], *body]) for column in range(len(head[1]))]
    widths[5] = max(widths[5], len(head[0][5]) - widths[6] - 2)
    group = sum(widths[2:5]) + 4
    top = f"{'':{widths[0] + widths[1] + 2}}  {head[0][2]:>{group}}  {head[0][5]:>{widths[5] + widths[6] + 2}}"
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in [head[1], *body]
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([top, lines[0], rule, *lines[1:]]) + "\n"


def _attack_columns(output: str, attack: AttackFindings | None) -> Row:
    low, high = attack.success_interval if attack else (None, None)
    columns: Row = {
        "success": attack.success_rate if attack else None,
        "success_low": low,
        "success_high": high,
        "successes": attack.successes if attack else None,
        "pairs": attack.pairs if attack else None,
        "changed_features": attack.mean_changed_features if attack else None,
        "zero_gradient_stops": attack.stop_reasons.get("zero_gradient", 0) if attack else None,
        "robustness": attack.robustness if attack else None,
        "robustness_failures": attack.robustness_failures if attack else None,
    }
    return {f"{output}_{name}": value for name, value in columns.items()}


def _per_cent(value: Value) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else "-"


def _number(value: Value) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "-"
