from __future__ import annotations

import csv
import json
import subprocess
import sys
from io import StringIO

import pytest

from defensive_distillation.reporting import paper
from defensive_distillation.reporting.table import SCHEMA_VERSION, rows, to_csv, to_json, to_text
from evaluations import CIFAR10, MNIST, evaluation, measured, sweep


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


def test_the_terminals_table_is_aligned_and_in_per_cent() -> None:
    text = to_text(rows([*measured(), evaluation(7.5, probabilities=0, logits=None, scaled=None)]))
    assert text == (
        "                               JSMA success, %     features changed\n"
        "   T  accuracy, %  probabilities  logits   z/T  probabilities   z/T\n"
        "----  -----------  -------------  ------  ----  -------------  ----\n"
        "none         98.7           85.0    72.8  85.0           38.0  38.0\n"
        " 7.5         96.8            0.0       -     -              -     -\n"
        "  20         96.8            1.7    74.4  90.0           38.0  38.0\n"
        " 100         95.1            0.6    76.1  91.7           38.0  38.0\n"
    )


def test_no_rows_make_an_empty_table() -> None:
    assert rows([]) == []
    assert to_csv([]) == "\n"
    assert "accuracy" in to_text([])


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
