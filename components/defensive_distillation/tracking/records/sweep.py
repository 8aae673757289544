"""The sweep as a whole in MLflow: its measures by temperature, and what was found in words and as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping

from defensive_distillation.artifacts import Artifact
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.networks import is_distilled

NOTE = "mlflow.note.content"  # the description of a run, Markdown
LONGEST = 5000  # characters that a tag holds in every store of MLflow's
CONTROL = "control/"  # before the names of what is measured on a control
MEASURES = (  # of those that every network has; the first stand first in MLflow's pages
    "accuracy",
    "robust_accuracy",
    *(f"jsma_success/{output}" for output in ("probabilities", "logits", "scaled")),
    *(f"cw_mean/{norm}_average" for norm in ("l2", "l0", "linf")),
    "mean_absolute_logit",
)
_COLUMNS = {  # of the description, by the names that sweep.json has
    "accuracy": "accuracy",
    "robust_accuracy": "robust accuracy",
    "probabilities_success": "JSMA on probabilities",
    "logits_success": "on logits",
    "scaled_success": "on z/T",
    "cw_l2_average": "C&W L2",
    "cw_l0_average": "C&W L0",
    "cw_linf_average": "C&W L∞",
    "mean_absolute_logit": "mean abs. logit",
}
_MASKED = {"yes": "**masked**", "no": "not masked", "undecided": "undecided"}
_LENGTHS = ("cw_l2_average", "cw_l0_average", "cw_linf_average", "mean_absolute_logit")
_STEPS = (
    "Charts have T as their step; 0 is the network without distillation, or one of somebody's own. `control/…` is the "
    "undistilled network with its logits multiplied by T.\n\nA network is loaded by "
    "`mlflow.pyfunc.load_model('models:/ID')`, with the ID of its logged model, where this package is installed: from "
    "safetensors, without pickle."
)


def step(evaluation: Evaluation) -> int | None:
    """The step that a network's measures stand at: T; 0 for the undistilled one, or for one of somebody's own.

    None for another defense, and for a T that is no whole number, which MLflow has no step for.
    """
    if is_distilled(evaluation) or evaluation.control:
        whole = float(evaluation.temperature).is_integer()
        return int(evaluation.temperature) if whole else None
    return 0 if evaluation.model.role in ("baseline", "imported") else None


def measures(evaluation: Evaluation, metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Those of a network's metrics that the sweep's run shows by temperature."""
    prefix = CONTROL if evaluation.control else ""
    return {prefix + name: metrics.get(name) for name in MEASURES}


def description(report: Artifact) -> str:
    """What a report found, as Markdown: the headline, a table of the networks, and how to read the charts."""
    found = json.loads(report.file("sweep.json").read_text())
    rows = found["rows"]
    shown = {key: title for key, title in _COLUMNS.items() if any(row.get(key) is not None for row in rows)}
    lines = [["network", *shown.values(), "gradients"], ["---"] * (len(shown) + 2)]
    lines += [[row["model"], *(_cell(key, row[key]) for key in shown), _MASKED[row["masked"]]] for row in rows]
    table = [f"| {' | '.join(cells)} |" for cells in lines]
    while len(text := "\n\n".join((found["findings"]["headline"], "\n".join(table), _STEPS))) > LONGEST:
        table.pop()  # the controls come last; the report has them all
    return text


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if key in _LENGTHS else f"{100 * value:.1f} %"
