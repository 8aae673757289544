"""Defenses side by side: in the page, and by name in MLflow."""

from __future__ import annotations

from defensive_distillation.evaluation.results import Evaluation, RobustAccuracy
from defensive_distillation.reporting.networks import models
from defensive_distillation.reporting.page.comparison import of_defenses
from defensive_distillation.reporting.page.parts import DASH, Cell
from defensive_distillation.tracking.records.metrics import metrics
from support.evaluations import complete, measured, smoothed

ROBUST = RobustAccuracy(
    samples=50,
    misclassified=2,
    epsilons=(0.1, 0.3, 1.0),
    right=(40, 10, 0),
    fooled=(8, 38, 48),
    accuracy=(0.8, 0.2, 0.0),
    intervals=((0.67, 0.89), (0.11, 0.33), (0, 0.07)),
)


def with_another() -> list[Evaluation]:
    other = smoothed().model_copy(update={"robust": ROBUST, "training_passes": 96})
    return [*(network.model_copy(update={"robust": None}) for network in complete()), other]


def test_every_network_is_a_row_and_what_was_not_measured_a_dash() -> None:
    ordered = with_another()
    table = of_defenses(ordered)
    assert table is not None
    head = list(table.head)
    assert head[:4] == ["", "Accuracy", "Robust, ε = 0.1", "Robust, ε = 0.3"], "within 1 lies every image"
    assert head[-2:] == ["Gradients", "Passes"]
    assert all(len(row) == len(head) for row in table.body)
    names = [row[0] for row in table.body]
    assert names == [network.model.title for network in models(ordered)]
    (mine,) = [row for row in table.body if row[0] == smoothed().model.title]
    assert mine[2] == Cell("80.0 %", below=("67–89 %",), bar=("right", 0.8))
    assert mine[3] == Cell("20.0 %", below=("11–33 %",), bar=("right", 0.2))
    assert mine[-1] == "96"
    baseline = table.body[0]
    assert baseline[2] == baseline[-1] == DASH


def test_a_sweep_of_distillation_alone_has_no_such_table() -> None:
    assert of_defenses(measured()) is None


def test_mlflow_has_the_robust_accuracy_at_every_radius_and_the_cost() -> None:
    found = metrics(with_another()[-1])
    assert (found["robust_accuracy_within/0.1"], found["robust_accuracy_within/0.3"]) == (0.8, 0.2)
    assert found["robust_accuracy"] == 0.2, "beside the accuracy, within the radius that one number is given for"
    assert (found["misclassified"], found["images/robust_accuracy"]) == (2 / 50, 50)
    assert found["training_passes"] == 96
    assert metrics(measured()[0])["training_passes"] is None
