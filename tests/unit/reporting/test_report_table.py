from __future__ import annotations

import csv
import json
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import Examples, paper, pictures
from defensive_distillation.reporting.table import SCHEMA_VERSION, rows, to_csv, to_json
from defensive_distillation.tracking.records.metrics import metrics
from support import other_attacks
from support.evaluations import CIFAR10, MNIST, complete, evaluation, examples, grid, measured, smoothed, sweep


def test_rows_begin_with_the_baseline_and_go_up_with_temperature() -> None:
    assert [row["model"] for row in rows(measured())] == ["baseline", "T=20", "T=100"]
    assert [row["temperature"] for row in rows(sweep()[::-1])] == [1, 1, 2, 5, 10, 20, 30, 40, 50, 100]


def test_a_row_has_the_evaluations_numbers() -> None:
    row = rows(measured())[1]
    assert row["accuracy"] == 0.968
    assert row["mean_absolute_logit"] == 101.0
    assert row["probabilities_success"] == pytest.approx(3 / 180)
    assert row["probabilities_pairs"] == 180
    assert row["probabilities_success_low"] == pytest.approx(0.0057, abs=5e-5)
    assert row["scaled_success"] == 0.9
    assert row["scaled_changed_features"] == 38.0
    assert row["probabilities_zero_gradient_stops"] == 175
    assert row["zero_gradient_share_float32"] == 0.42
    assert row["masked"] == "yes"
    assert row["masked_difference"] == pytest.approx(159 / 180)
    assert row["paper_success"] == 0.0134


def test_the_papers_numbers_are_figure_7s_and_only_for_its_datasets() -> None:
    assert [row["paper_success"] for row in rows(sweep(CIFAR10))] == [
        *(0.8789, 0.9278, 0.8767, 0.67, 0.4756),
        *(0.1823, 0.1323, 0.0934, 0.0623, 0.0511),
    ]
    copy = CIFAR10.model_copy(update={"name": "cifar10.tar.xz"})
    assert {row["paper_success"] for row in rows(sweep(copy))} == {None}
    other_size = MNIST.model_copy(update={"image_shape": (1, 8, 8)})
    assert paper.published(other_size) is None


def test_a_temperature_that_the_paper_lacks_has_no_published_number() -> None:
    assert rows([evaluation(7, probabilities=3, logits=3, scaled=3)])[0]["paper_success"] is None


def test_what_was_not_measured_is_missing_and_never_zero() -> None:
    row = rows([evaluation(20, probabilities=0, logits=None, scaled=162)])[0]
    assert row["logits_success"] is None
    assert row["logits_pairs"] is None
    assert row["probabilities_success"] == 0.0
    assert row["probabilities_changed_features"] is None
    assert set(row) == set(rows(measured())[0])


def test_csv_reads_back_with_empty_fields_for_what_is_missing() -> None:
    table = rows([evaluation(20, probabilities=0, logits=None, scaled=162)])
    text = to_csv(table)
    (line,) = csv.DictReader(StringIO(text))
    assert list(line) == list(table[0])
    assert line["logits_success"] == ""
    assert float(line["scaled_success"]) == 0.9
    assert text.endswith("\n")
    assert "\r" not in text
    assert "nan" not in text.lower()


def test_json_reads_back_with_null_for_what_is_missing() -> None:
    table = rows([evaluation(20, probabilities=0, logits=None, scaled=162)])
    document = json.loads(to_json(table, {"headline": "z/T – found"}))
    assert document == {"schema_version": SCHEMA_VERSION, "rows": table, "findings": {"headline": "z/T – found"}}
    assert document["rows"][0]["logits_success"] is None
    assert json.loads(to_json(table)) == {"schema_version": SCHEMA_VERSION, "rows": table}


def test_json_refuses_a_number_that_is_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json([{"accuracy": float("nan")}])


def test_a_control_is_a_row_of_its_own_after_the_models() -> None:
    table = rows(complete())
    assert [(row["model"], row["control"]) for row in table] == [
        ("baseline", False),
        ("T=20", False),
        ("T=100", False),
        ("control T=20", True),
        ("control T=100", True),
    ]
    assert [row["masked"] for row in table] == ["no", "yes", "yes", "yes", "yes"]
    assert [row["paper_success"] for row in table] == [0.9589, 0.0134, 0.0045, None, None]


def test_a_row_has_what_every_attack_found() -> None:
    row = rows(complete())[2]
    assert (row["cw_l2_success"], row["cw_l2_best"]) == (1.0, pytest.approx(1.21 * 1.25))
    assert (row["cw_l0_average"], row["cw_linf_worst"]) == pytest.approx((16.2 * 1.25, 0.216 * 1.25))
    assert row["linf_radius"] == row["robust_radius"] == 0.3
    assert (row["robust_accuracy"], row["robust_images"], row["robust_misclassified"]) == (0.0, 103, 3)
    assert (row["scaled_sources"], row["scaled_misclassified"], row["cw_l2_sources"]) == (20, 3, 10)
    assert (row["pgd_cross_entropy_success"], row["pgd_margin_success"]) == (0.04, 1.0)
    assert (row["fgsm_margin_success"], row["square_margin_success"], row["noise_success"]) == (0.75, 0.97, 0.04)
    assert (row["transfer_success"], row["transfer_confidence"]) == (pytest.approx(74 / 90), 20.0)
    assert (row["worst_case_success"], row["worst_case_linf_success"]) == (1.0, 1.0)
    assert row["worst_case_l2"] == pytest.approx(1.1 * 1.25)
    assert (row["conditions"], row["conditions_failed"]) == (12, 3)
    assert (row["conditions_failed_naive"], row["conditions_failed_adaptive"]) == (3, 0)
    assert row["jsma_decreasing_scaled_success"] == pytest.approx(60 / 180)
    assert row["jsma_untargeted_scaled_success"] == 1.0
    assert row["jsma_untargeted_logits_success"] is None


def test_all_rows_have_the_same_keys_whatever_was_measured() -> None:
    table = rows([*complete(), evaluation(7.5, probabilities=None, logits=None, scaled=None)])
    assert len({tuple(row) for row in table}) == 1
    row = next(row for row in table if row["model"] == "T=7.5")
    for key in ("cw_l2_success", "cw_l0_best", "linf_radius", "pgd_margin_success", "transfer_success"):
        assert row[key] is None
    for key in ("worst_case_l2", "conditions_failed", "conditions_failed_naive"):
        assert row[key] is None


def test_another_defense_is_a_row_that_is_not_distilled() -> None:
    table = rows([*complete(), smoothed()])
    row = table[3]
    assert (row["model"], row["distilled"], row["control"]) == ("label_smoothing share=0.1", False, False)
    assert (row["probabilities_success"], row["paper_success"]) == (pytest.approx(140 / 180), None)


def test_attacks_that_join_add_columns_and_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(rows(complete())[0])
    other_attacks.join(monkeypatch)
    row = rows([other_attacks.under_them(complete()[0])])[0]
    assert [key for key in row if key in before] == before
    assert [(key, row[key]) for key in row if key not in before] == [
        *(("jsma_gentle_probabilities_success", None), ("jsma_gentle_logits_success", 0.5)),
        ("jsma_gentle_scaled_success", None),
        *(("deepfool_success", 1.0), ("deepfool_in_eight_bits", 0.524), ("deepfool_sources", 10)),
        *(("deepfool_best", 1.0), ("deepfool_average", 1.5), ("deepfool_worst", 2.0)),
        *(("apgd_cross_entropy_success", None), ("apgd_cross_entropy_in_eight_bits", None)),
        *(("apgd_margin_success", 0.95), ("apgd_margin_in_eight_bits", None)),
    ]


def test_no_rows_make_an_empty_table() -> None:
    assert rows([]) == []
    assert to_csv([]) == "\n"


def test_two_calls_write_the_same_bytes() -> None:
    assert to_csv(rows(sweep())) == to_csv(rows(sweep()[::-1]))
    assert to_json(rows(sweep())) == to_json(rows(sweep()[::-1]))


def test_printing_a_table_imports_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys; import defensive_distillation.reporting.table; "
        "print(*({'matplotlib', 'torch', 'mlflow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_papers_constants_are_the_papers() -> None:
    assert paper.MNIST.success[20] == 0.0134
    assert paper.MNIST.baseline_success == 0.9589
    assert (paper.MNIST.robustness_gain, paper.CIFAR10.robustness_gain) == (7.90, 5.56)
    assert (paper.CIFAR10.baseline_robustness, paper.CIFAR10.robustness[50]) == (0.0039, 0.0256)
    # the published gain follows from the published values
    assert paper.CIFAR10.robustness[50] / 0.0039 - 1 == pytest.approx(paper.CIFAR10.robustness_gain, abs=0.01)
    assert paper.CIFAR10.confidence == {1: 0.7185, 2: 0.7199, 5: 0.7805, 10: 0.8077, 20: 0.8106}
    amplitudes = paper.CIFAR10.baseline_amplitudes, paper.CIFAR10.amplitudes[100]
    assert [(counts.below_1e_40, counts.above_1e_3) for counts in amplitudes if counts] == [(8, 4763), (7908, 172)]
    assert paper.ACCURACY_VARIATION == 0.0137


def test_carlini_and_wagners_numbers_are_second_hand_and_for_their_networks_only() -> None:
    by_name = {found.name: found for found in complete()}
    numbers = [paper.MNIST.second_hand_distance_of(found, "cw_l2") for found in by_name.values()]
    assert dict(zip(by_name, numbers, strict=True)) == {
        "T=100": 1.7,
        "control T=100": None,
        "baseline": 1.36,
        "control T=20": None,
        "T=20": None,
    }
    assert paper.MNIST.second_hand["cw_l0"] == paper.SecondHandDistance(8.5, 10)
    assert paper.CIFAR10.second_hand["cw_l0"] == paper.SecondHandDistance(5.9, 7.4)
    assert paper.CIFAR10.second_hand["cw_l2"] == paper.SecondHandDistance(0.17, 0.36)
    assert paper.MNIST.second_hand_distance_of(by_name["baseline"], "cw_linf") is None
    assert (paper.SECOND_HAND_LOGITS, paper.SECOND_HAND_CORRELATION) == ((5.8, 482.0), -0.05)


# MLflow


def test_a_model_has_a_metric_for_everything_that_was_measured() -> None:
    found = metrics(next(found for found in complete() if found.name == "T=100"))
    expected = {
        "jsma_success/probabilities": 1 / 180,
        "jsma_success/scaled": 165 / 180,
        "jsma_decreasing_success/scaled": 60 / 180,
        "jsma_untargeted_success/scaled": 1.0,
        "cw_success/l2": 1.0,
        "cw_mean/l2_best": 1.21 * 1.25,
        "cw_mean/l0_average": 16.2 * 1.25,
        "cw_mean/linf_worst": 0.216 * 1.25,
        "linf_success/pgd_cross_entropy": 0.04,
        "linf_success/pgd_margin": 1.0,
        "linf_success/square_margin": 0.97,
        "linf_success/noise": 0.04,
        "linf_success/worst_case": 1.0,
        "linf_radius": 0.3,
        "robust_accuracy": 0.0,
        "robust_accuracy_within/0.1": 50 / 103,
        "misclassified": 3 / 103,
        "images/cw_l2": 10,
        "images/robust_accuracy": 103,
        "transfer_success": 74 / 90,
        "worst_case/success": 1.0,
        "worst_case/l2": 1.1 * 1.25,
        "conditions_failed/naive": 3.0,
        "conditions_failed/adaptive": 0.0,
        "masked": 1.0,
        "masked_difference": 164 / 180,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_all_models_and_controls_have_the_same_metric_names() -> None:
    assert len({frozenset(metrics(found)) for found in complete()}) == 1


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (evaluation(None, probabilities=153, logits=131, scaled=153), 0.0),
        (evaluation(20, probabilities=3, logits=4, scaled=6, pairs=9), 0.5),
        (evaluation(20, probabilities=3, logits=134, scaled=162), 1.0),
    ],
)
def test_masked_is_a_number_that_mlflow_can_draw(found: Evaluation, expected: float) -> None:
    assert metrics(found)["masked"] == expected
    assert "conditions_failed/naive" not in metrics(found)  # none was checked


# samples


def stored(folder: Path, found: Evaluation, made: Examples | None) -> Artifact:
    """An evaluation's artifact with the grid of one output, and examples if given."""
    by_class = grid()
    tensors = {f"scaled.{name}": torch.from_numpy(getattr(by_class, name)) for name in ("images", "success", "present")}
    facts: dict[str, Any] = {"evaluation": found.model_dump(mode="json")}
    if made is not None:
        facts["examples"] = {"attacks": list(made.attacks), "labels": list(made.labels)}
        for name in ("originals", "images", "success"):
            tensors[f"examples.{name}"] = torch.from_numpy(getattr(made, name))
    return artifacts.write(
        str(folder / "evaluation"),
        kind="evaluation",
        stage="evaluate",
        code="",
        config={},
        inputs={},
        facts=facts,
        write_files=lambda place: write_tensors(place, tensors),
    )


def test_examples_are_read_beside_the_grids_and_are_no_output_of_jsma(tmp_path: Path) -> None:
    made = examples(("3", "7"), attacks=("jsma/scaled", "noise"))
    artifact = stored(tmp_path, measured()[0], made)
    read = pictures.examples(artifact)
    assert read is not None
    assert (read.attacks, read.labels) == (("jsma/scaled", "noise"), ("3", "7"))
    assert (read.images == made.images).all()
    assert (read.success == made.success).all()
    assert list(pictures.grids(artifact)) == ["scaled"]
    files = pictures.pictures(artifact)
    assert set(files) == {"samples/jsma_scaled.png", "samples/examples.png"}
    for content in files.values():
        assert Image.open(BytesIO(content)).format == "PNG"


@pytest.mark.parametrize("empty", [False, True])
def test_an_evaluation_may_lack_examples(tmp_path: Path, empty: bool) -> None:
    artifact = stored(tmp_path, measured()[0], None)
    if empty:
        artifact.facts["examples"] = {"attacks": [], "labels": []}
    assert pictures.examples(artifact) is None
    assert set(pictures.pictures(artifact)) == {"samples/jsma_scaled.png"}


def test_no_text_of_the_csv_is_a_formula() -> None:
    row = {"dataset": "=1+cmd", "label": "@x", "difference": -0.5, "model": "T=20", "missing": None}
    assert to_csv([row]).splitlines()[1] == "'=1+cmd,'@x,-0.5,T=20,"
