from __future__ import annotations

import pytest

from defensive_distillation.reporting.table import rows
from defensive_distillation_pipelines.display.tables import of_controls, of_networks, of_sweep, without_dashes
from defensive_distillation_pipelines.display.told import show
from support.evaluations import complete, distances, evaluation, smoothed

NETWORKS = f"""\
                   robust, %  JSMA success, %                features changed            C&W L2
   T  accuracy, %    ε = 0.3    probabilities  logits   z/T     probabilities   z/T  success, %  8-bit  mean   gradients
{"─" * 120}
none         98.7        0.0             85.0    72.8  85.0              38.0  38.0       100.0   52.4  1.87  not masked
 7.5         96.8          -              0.0       -     -                 -     -           -      -     -   undecided
  20         96.8        0.0              1.7    74.4  90.0              38.0  38.0       100.0   52.4  2.06      masked
control at T = 20 (undistilled, logits times T): JSMA 1.7 % on probabilities, 85.0 % on z/T; masked
"""


def test_the_table_of_networks_is_aligned_and_in_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows([*complete()[2:], evaluation(7.5, probabilities=0, logits=None, scaled=None)])
    show(of_networks(table), *of_controls(table))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == NETWORKS.splitlines()


def test_another_defense_stands_in_the_table_by_its_label(capsys: pytest.CaptureFixture[str]) -> None:
    show(of_networks(rows([*complete(), smoothed()])))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("label_smoothing share=0.1"))
    assert line.split()[2:] == [
        "98.5",
        "0.0",
        "77.8",
        "78.3",
        "77.8",
        "38.0",
        "38.0",
        "100.0",
        "52.4",
        "1.96",
        "undecided",
    ]


def test_what_few_images_carry_and_what_is_in_no_rate_stands_below_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = complete()[2].model_copy(update={"distances": (distances("cw_l2", 1, 2, 3, pairs=9),)})
    show(*of_sweep([one]))
    assert [line for line in capsys.readouterr().out.splitlines() if line.strip()][-2:] == [
        "Misclassified without an attack, and in no rate: no distillation: 3 of 103 images.",
        "C&W L2 rests on 1 image: take these numbers as an indication.",
    ]


def test_no_networks_make_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    show(of_networks([]), *of_controls([]))
    assert "accuracy" in capsys.readouterr().out


def test_long_lines_are_not_broken_and_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    line = "report: [red]" + "folder/" * 60
    show(line)
    assert capsys.readouterr().out == line + "\n"


def test_columns_of_dashes_are_left_out_and_heads_above_several_stay_with_the_rest() -> None:
    heads = ("\nT", "JSMA\nprobabilities", "\nlogits", "C&W\nsuccess", "\nmean", " \ngradients")
    grid = without_dashes(heads, [["20", "-", "1", "-", "-", "masked"], ["none", "-", "-", "-", "-", "no"]])
    assert grid.heads == ["\nT", "JSMA\nlogits", " \ngradients"]
    assert grid.rows == [["20", "1", "masked"], ["none", "-", "no"]]
