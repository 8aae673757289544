"""The sweep's table: one row a model, as CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO

from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.measures import (
    CASES,
    best_transfer,
    failed,
    fooled_within,
    mean_distance,
    reported_radius,
    robust_within,
)
from defensive_distillation.reporting.networks import arranged, is_distilled
from defensive_distillation.reporting.paper import published

SCHEMA_VERSION = 3
OUTPUTS = ("probabilities", "logits", "scaled")

Value = str | int | float | bool | None
Row = dict[str, Value]


def rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """One row a network: the baseline, the defended ones, then the controls; None where something was not measured.

    Shares and accuracies are in [0, 1]. Every row has the same keys in the same order.
    """
    return [
        {
            "model": network.name,
            "distilled": is_distilled(network),
            "control": network.control,
            "temperature": network.temperature,
            "dataset": network.dataset.name,
            "architecture": network.architecture,
            "seed": network.seed,
            "accuracy": network.accuracy,
            **_robust_columns(network),
            "confidence": network.confidence,
            "training_passes": network.training_passes,
            "mean_absolute_logit": network.mean_absolute_logit,
            "zero_gradient_share_float32": network.gradients_at_1.zero_share_float32,
            "zero_gradient_share_float64": network.gradients_at_1.zero_share_float64,
            **_jsma_columns(network),
            **_masking_columns(network),
            **_distance_columns(network),
            **_bounded_columns(network),
            **_condition_columns(network),
        }
        for network in arranged(evaluations)
    ]


def to_csv(table: Sequence[Row]) -> str:
    """The rows as CSV with a header; a missing value is an empty field, and a text that is no formula stays one."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _as_text(value) for name, value in row.items()} for row in table)
    return text.getvalue()


def _as_text(value: object) -> object:
    """Spreadsheets calculate what begins with one of these signs, such as the name of a folder of images."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def to_json(table: Sequence[Row], findings: Mapping[str, object] | None = None) -> str:
    """The rows, and `findings` if given, as JSON; a missing value is null, and NaN is refused."""
    document = {"schema_version": SCHEMA_VERSION, "rows": list(table)}
    if findings is not None:
        document["findings"] = findings
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _robust_columns(network: Evaluation) -> Row:
    """What stays right within one radius, and what of the rest was wrong from the start."""
    radius, robust = reported_radius(network), network.robust
    share, (low, high) = robust_within(network, radius) or (None, (None, None))
    return {
        "robust_accuracy": share,
        "robust_accuracy_low": low,
        "robust_accuracy_high": high,
        "robust_radius": radius,
        "robust_images": robust.samples if robust else None,
        "robust_misclassified": robust.misclassified if robust else None,
    }


def _jsma_columns(network: Evaluation) -> Row:
    columns: Row = {}
    for output in OUTPUTS:
        columns |= _attack_columns(output, network.attack(output))
    for attack in attacks.other_by_budget():
        rates = {one.output: one.success_rate for one in network.attacks if one.attack == attack.name}
        columns |= {f"{attack.name}_{one.key}_success": rates.get(one.key) for one in attack.variants}
    return columns


def _masking_columns(network: Evaluation) -> Row:
    numbers, judged = published(network.dataset), network.masking
    low, high = judged.interval or (None, None)
    return {
        "masked": judged.masked,
        "masked_difference": judged.difference,
        "masked_difference_low": low,
        "masked_difference_high": high,
        "paper_success": numbers.success_of(network) if numbers else None,
    }


def _distance_columns(network: Evaluation) -> Row:
    columns: Row = {}
    for attack in attacks.by_distance():
        distances = network.distance(attack)
        columns[f"{attack}_success"] = distances.success_rate if distances else None
        columns[f"{attack}_in_eight_bits"] = distances.in_eight_bits if distances else None
        columns[f"{attack}_sources"] = distances.sources if distances else None
        columns |= {f"{attack}_{case}": mean_distance(network, attack, case) for case in CASES}
    return columns


def _bounded_columns(network: Evaluation) -> Row:
    """Shares fooled within one radius, by transfer, and by any attack."""
    radius, transfer, worst = reported_radius(network), best_transfer(network), network.worst_case
    columns: Row = {"linf_radius": radius}
    for name in attacks.bounded():
        within = network.within(name)
        columns[f"{name.replace('/', '_')}_success"] = fooled_within(within, radius)
        columns[f"{name.replace('/', '_')}_in_eight_bits"] = within.in_eight_bits if within else None
    return columns | {
        "transfer_success": transfer[0] if transfer else None,
        "transfer_in_eight_bits": network.transfer.in_eight_bits if network.transfer else None,
        "transfer_confidence": transfer[1] if transfer else None,
        "worst_case_success": worst.fooled / worst.sources if worst and worst.sources else None,
        "worst_case_linf_success": fooled_within(network.robust, radius),
        "worst_case_sources": worst.sources if worst else None,
        "worst_case_l0": worst.mean_l0 if worst else None,
        "worst_case_l2": worst.mean_l2 if worst else None,
        "worst_case_linf": worst.mean_linf if worst else None,
    }


def _condition_columns(network: Evaluation) -> Row:
    naive, adaptive = len(failed(network, "naive")), len(failed(network, "adaptive"))
    ran = bool(network.conditions)
    return {
        "conditions": len(network.conditions),
        "conditions_failed": naive + adaptive if ran else None,
        "conditions_failed_naive": naive if ran else None,
        "conditions_failed_adaptive": adaptive if ran else None,
    }


def _attack_columns(output: str, attack: AttackFindings | None) -> Row:
    low, high = attack.success_interval if attack else (None, None)
    columns: Row = {
        "success": attack.success_rate if attack else None,
        "success_low": low,
        "success_high": high,
        "successes": attack.successes if attack else None,
        "in_eight_bits": attack.in_eight_bits if attack else None,
        "pairs": attack.pairs if attack else None,
        "sources": attack.sources if attack else None,
        "misclassified": attack.misclassified if attack else None,
        "changed_features": attack.mean_changed_features if attack else None,
        "zero_gradient_stops": attack.stop_reasons.get("zero_gradient", 0) if attack else None,
        "robustness": attack.robustness if attack else None,
        "robustness_failures": attack.robustness_failures if attack else None,
    }
    return {f"{output}_{name}": value for name, value in columns.items()}
