from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation import metrics
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import Examples, Grid, paper
from defensive_distillation.reporting.figures import adaptive, as_in_paper, behind, in_words, samples
from defensive_distillation.reporting.figures.adaptive import CASE_MARKS
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.figures.exhibits import EXHIBITS
from defensive_distillation.reporting.figures.marks import MARKS, RIGHT, bounded_marks
from support import other_attacks
from support.evaluations import (
    CIFAR10,
    EXAMPLE_ATTACKS,
    MNIST,
    RADII,
    complete,
    control,
    distances,
    evaluation,
    examples,
    grid,
    measured,
    one_of_a_kind,
    smoothed,
    sweep,
)

ON_PROBABILITIES = MARKS["probabilities"].label
ON_LOGITS = MARKS["logits"].label
ON_SCALED = MARKS["scaled"].label


def drawn(axes: Axes, label: str) -> list[float]:
    """The y values of the series called `label`: of a plotted line, or of one with error bars."""
    for container in axes.containers:
        if container.get_label() == label:
            return [float(y) for y in container[0].get_ydata()]
    line = next(line for line in axes.lines if line.get_label() == label)
    return [float(y) for y in np.asarray(line.get_ydata())]


def labels(axes: Axes) -> set[str]:
    return {str(made.get_label()) for made in (*axes.lines, *axes.containers)}


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_figure_7_draws_the_three_outputs_the_baseline_and_the_paper() -> None:
    axes = as_in_paper.figure_7(measured()).axes[0]
    assert drawn(axes, ON_PROBABILITIES) == pytest.approx([100 * 3 / 180, 100 / 180])
    assert drawn(axes, ON_LOGITS) == pytest.approx([100 * 134 / 180, 100 * 137 / 180])
    assert drawn(axes, ON_SCALED) == pytest.approx([90, 100 * 165 / 180])
    assert drawn(axes, f"{ON_PROBABILITIES}, no distillation") == [85]
    theirs = [list(np.asarray(line.get_ydata())) for line in axes.lines if line.get_label() == "the paper"]
    assert theirs == [[95.89], pytest.approx([1.34, 0.45])]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["none", "20", "100"]


def test_figure_7s_error_bars_are_the_wilson_intervals() -> None:
    axes = as_in_paper.figure_7(measured()).axes[0]
    container = next(made for made in axes.containers if made.get_label() == ON_PROBABILITIES)
    (bars,) = container[2]
    low, high = bars.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.57, 4.78), abs=0.01)


def test_figure_7_draws_no_published_value_beside_another_dataset() -> None:
    copy = CIFAR10.model_copy(update={"name": "cifar10.tar.xz"})
    assert "the paper" not in labels(as_in_paper.figure_7(sweep(copy)).axes[0])


def test_a_missing_output_is_a_gap_and_not_a_zero() -> None:
    models = [*measured(), evaluation(50, probabilities=2, logits=None, scaled=160)]
    values = drawn(as_in_paper.figure_7(models).axes[0], ON_LOGITS)
    assert math.isnan(values[1])
    assert values[2] == pytest.approx(100 * 137 / 180)


def test_series_differ_by_marker_as_well_as_by_colour() -> None:
    assert len({mark.marker for mark in MARKS.values()}) == len(MARKS)
    assert len({mark.colour for mark in MARKS.values()}) == len(MARKS)


def test_figure_8_draws_the_change_in_points_and_the_papers_band() -> None:
    axes = as_in_paper.figure_8(measured()).axes[0]
    assert drawn(axes, "accuracy less the baseline's") == pytest.approx([-1.9, -3.6])
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((-1.37, 1.37))


def test_figure_9_writes_each_bins_share_and_the_papers_beside_it() -> None:
    figure = as_in_paper.figure_9(sweep(CIFAR10))
    shares = np.asarray(figure.axes[0].images[0].get_array())
    assert shares.shape == (10, 10)
    assert shares.sum(axis=1) == pytest.approx(np.ones(10))
    assert shares[-1, 0] == pytest.approx(0.88)
    text = words(figure)
    for published in ("(<1)", "(48)", "(79)", "(2)"):  # 8, 4,763, 7,908 and 172 of 10,000
        assert published in text
    assert "(" not in words(as_in_paper.figure_9(measured()))


def test_figure_9s_bins_are_those_that_are_measured() -> None:
    assert paper.AMPLITUDE_EDGES == metrics.AMPLITUDE_EDGES


def test_figure_10_draws_robustness_and_the_share_that_only_counted_the_budget() -> None:
    upper, lower = as_in_paper.figure_10(measured()).axes
    expected = [100 * ((hit / 180) * 38 + (1 - hit / 180) * 112) / 784 for hit in (3, 1)]
    assert drawn(upper, ON_PROBABILITIES) == pytest.approx(expected)
    assert drawn(lower, ON_PROBABILITIES) == pytest.approx([100 * 177 / 180, 100 * 179 / 180])
    theirs = [line for line in as_in_paper.figure_10(sweep(CIFAR10)).axes[0].lines if line.get_label() == "the paper"]
    assert [list(np.asarray(line.get_ydata())) for line in theirs] == [[pytest.approx(0.39)], [pytest.approx(2.56)]]


def test_zero_gradients_are_drawn_for_both_precisions() -> None:
    (axes,) = behind.zero_gradients(measured()).axes
    assert drawn(axes, "float32, T = 1") == pytest.approx([42, 96])
    assert drawn(axes, "float64, T = 1") == pytest.approx([2, 71])
    assert drawn(axes, "float32, softmax of z/T") == [0, 0]


def test_the_logits_stand_beside_the_line_that_is_proportional_to_t_with_the_controls_on_it() -> None:
    (axes,) = adaptive.logit_scale(complete()).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert drawn(axes, "trained network") == [101, 482]
    assert drawn(axes, "no distillation") == [5.8]
    assert drawn(axes, "T × no distillation") == pytest.approx([5.8, 580])
    assert drawn(axes, "control: logits × T") == pytest.approx([116, 580])
    assert drawn(axes, "C&W, second-hand") == [5.8, 482]
    copy = CIFAR10.model_copy(update={"name": "cifar10.tar.xz"})
    assert "C&W, second-hand" not in labels(adaptive.logit_scale(sweep(copy)).axes[0])


def test_success_by_radius_draws_naive_adaptive_and_any_attack_in_one_panel_a_model() -> None:
    panels = [axes for axes in adaptive.success_by_epsilon(complete()).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["no distillation", "T = 20", "T = 100"]
    assert drawn(panels[2], "PGD at T = 1") == pytest.approx([0, 2, 4, 4, 4, 4])
    assert drawn(panels[2], "PGD on logits") == pytest.approx([6, 42, 96, 100, 100, 100])
    assert drawn(panels[2], "any attack") == [10, 50, 100, 100, 100, 100]
    line = next(line for line in panels[0].lines if line.get_label() == "noise")
    assert list(np.asarray(line.get_xdata())) == list(RADII)
    assert {mark.label for mark in bounded_marks().values()} <= labels(panels[0])


def test_series_of_bounded_attacks_differ_by_marker_and_naive_ones_share_a_colour() -> None:
    marks = bounded_marks()
    assert [(mark.label, mark.colour, mark.marker, mark.dash) for mark in marks.values()] == [
        ("FGSM at T = 1", "#d55e00", "v", "--"),
        ("PGD at T = 1", "#d55e00", "o", "-"),
        ("FGSM on logits", "#882255", "P", "--"),
        ("PGD on logits", "#882255", "^", "-"),
        ("PGD on z/T", "#882255", ">", "-"),
        ("Square, no gradient", "#0072b2", "s", "-"),
        ("noise", "#767676", "x", ":"),
    ]
    assert marks["pgd/cross_entropy"].colour == MARKS["probabilities"].colour
    assert marks["pgd/margin"].colour == MARKS["scaled"].colour


def test_an_attacks_success_is_never_green_and_what_stays_right_is() -> None:
    """Green: more of it than of red and of blue."""
    colours = [mark.colour for mark in (*MARKS.values(), *bounded_marks().values(), adaptive.WORST_MARK)]
    for colour in colours:
        red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
        assert green <= max(red, blue), colour
    red, green, blue = (int(RIGHT[place : place + 2], 16) for place in (1, 3, 5))
    assert green > max(red, blue)


def test_robust_accuracy_falls_from_the_line_of_clean_errors() -> None:
    networks = complete()
    panels = [axes for axes in adaptive.robust_accuracy(networks).axes if axes.get_visible()]
    shown = [network for network in networks if not network.control]
    assert [axes.get_title(loc="left") for axes in panels] == ["no distillation", "T = 20", "T = 100"]
    for axes, network in zip(panels, sorted(shown, key=lambda one: one.model.order), strict=True):
        assert network.robust is not None
        clean = 100 * (1 - network.robust.misclassified / network.robust.samples)
        right = drawn(axes, "right whatever the attack")
        assert right == pytest.approx([clean, *(100 * share for share in network.robust.accuracy)])
        assert set(drawn(axes, "right without an attack")) == {clean}
        assert right == sorted(right, reverse=True)


def test_attacks_that_join_have_a_line_and_a_panel_and_leave_the_others_their_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = bounded_marks()
    other_attacks.join(monkeypatch)
    after = bounded_marks()
    assert {name: after[name] for name in before} == before
    assert len({(mark.marker, mark.colour) for mark in after.values()}) == len(after) == len(before) + 2
    joined = [other_attacks.under_them(complete()[0])]
    axes = adaptive.success_by_epsilon(joined).axes[0]
    assert drawn(axes, "APGD on logits") == [10, 50, 90, 95]
    panels = adaptive.cw_distances(joined).axes
    assert [axes.get_ylabel() for axes in panels[1:]] == [
        "L0: changed\npixels",
        "L∞ distance",
        "DeepFool:\nL2 distance",
    ]
    assert drawn(panels[3], "average case") == [1.5]


def test_distances_have_a_panel_a_norm_and_the_undistilled_level() -> None:
    panels = adaptive.cw_distances(complete()).axes
    assert len(panels) == 3
    assert drawn(panels[0], "average case") == pytest.approx([1.87 * 1.1, 1.87 * 1.25])
    assert drawn(panels[0], "average case, no distillation") == [1.87]
    assert drawn(panels[1], "worst case") == pytest.approx([24.8 * 1.1, 24.8 * 1.25])
    assert [text.get_text() for text in panels[0].texts] == []
    assert [text.get_text() for text in panels[1].texts] == ["98.9 %"]
    assert panels[0].get_ylim()[0] == 0


def test_an_attack_that_fooled_nobody_has_no_distance() -> None:
    found = measured()[0].model_copy(update={"distances": (distances("cw_l2", 1, 2, 3, successes=0),)})
    (axes,) = adaptive.cw_distances([found]).axes
    assert math.isnan(drawn(axes, CASE_MARKS["best"].label)[0])
    assert [text.get_text() for text in axes.texts] == ["0 %"]


@pytest.mark.slow
def test_controls_stand_in_no_figure_of_the_sweep_but_that_of_the_logits() -> None:
    with_controls, without = small("complete"), small("no controls")
    assert [name for name in with_controls if with_controls[name] != without[name]] == ["logit_scale"]


def test_another_defense_is_a_category_after_the_temperatures() -> None:
    models = [*measured(), smoothed()]
    axes = as_in_paper.figure_7(models).axes[0]
    names = ["none", "20", "100", "label\nsmoothing,\nshare 0.1"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names
    assert drawn(axes, ON_PROBABILITIES) == pytest.approx([100 * 3 / 180, 100 / 180])
    assert drawn(axes, f"{ON_PROBABILITIES}, other defenses") == pytest.approx([100 * 140 / 180])
    axes = as_in_paper.figure_8(models).axes[0]
    assert drawn(axes, "accuracy less the baseline's") == pytest.approx([-1.9, -3.6])
    assert drawn(adaptive.logit_scale(models).axes[0], "another defense") == [4.2]
    panels = [axes for axes in behind.training_loss(models).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels][-1] == "label smoothing, share 0.1"
    assert labels(panels[-1]) == {"another defense"}


def test_training_curves_have_a_panel_a_model_with_teacher_and_student() -> None:
    panels = behind.training_accuracy(measured()).axes
    assert [axes.get_title(loc="left") for axes in panels if axes.get_visible()] == [
        "no distillation",
        "T = 20",
        "T = 100",
    ]
    assert len(panels[0].lines) == 1
    student = drawn(panels[1], "soft labels: distilled network")
    assert student[-1] == pytest.approx(100 * (0.968 - 0.6 * 0.5**12))
    loss = behind.training_loss(measured()).axes[1]
    assert drawn(loss, "hard labels: teacher, no distillation")[0] == pytest.approx(2.3 * 0.72 + 0.03)


def test_success_by_budget_ends_at_the_success_rate() -> None:
    panels = behind.success_by_budget(measured()).axes
    assert drawn(panels[1], ON_SCALED)[-1] == pytest.approx(90)
    assert drawn(panels[1], ON_PROBABILITIES)[-1] == pytest.approx(100 * 3 / 180)


_ALONE = evaluation(None, probabilities=0, logits=None, scaled=None, pairs=9)
SWEEPS = {
    "alone": [_ALONE],
    "not attacked": [evaluation(7.5, probabilities=None, logits=None, scaled=None)],
    "many": [evaluation(t, probabilities=3, logits=50, scaled=None) for t in range(1, 14)],
    "untrained": [_ALONE.model_copy(update={"training": ()})],
    "control alone": [control(20)],
    "few pairs": [evaluation(20, probabilities=0, logits=0, scaled=0, pairs=9)],
    "one attack of a kind": [one_of_a_kind()],
    "the paper's gradients": [sweep(CIFAR10)[place] for place in (0, 5, 9)],
    "complete": complete(),
    "no controls": [found for found in complete() if not found.control],
    "another defense": [*complete(), smoothed()],
    "another defense alone": [smoothed()],
}


@cache
def small(sweep: str) -> dict[str, tuple[tuple[float, float], bytes]]:
    """Every figure of one of `SWEEPS` by its name: its size in inches, and a small PNG."""
    figures = {exhibit.name: exhibit.draw(SWEEPS[sweep]) for exhibit in EXHIBITS}
    return {name: (tuple(figure.get_size_inches()), png(figure, dpi=40)) for name, figure in figures.items()}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_figure_can_be_drawn_and_described_whatever_is_missing(name: str) -> None:
    for exhibit in EXHIBITS:
        _, content = small(name)[exhibit.name]
        assert Image.open(BytesIO(content)).mode == "P"
        assert exhibit.alt(SWEEPS[name])


@pytest.mark.parametrize(
    "draw",
    [
        *(as_in_paper.figure_7, as_in_paper.figure_9, behind.zero_gradients),
        *(adaptive.success_by_epsilon, adaptive.cw_distances, adaptive.logit_scale),
    ],
)
def test_no_evaluation_gives_a_figure_that_says_so(draw: Callable[[Sequence[Evaluation]], Figure]) -> None:
    assert draw([]).texts[0].get_text().startswith("No ")


def test_alternative_texts_carry_the_numbers() -> None:
    alt = {exhibit.name: exhibit.alt(measured()) for exhibit in EXHIBITS}
    assert "on probabilities: no distillation 85 %, T = 20 1.7 %, T = 100 0.6 %" in alt["figure_7"]
    assert "T = 20 −1.9 points, T = 100 −3.6 points" in alt["figure_8"]
    assert "T = 100 96 % below 1e-40 and 1.3 % above 1e-3" in alt["figure_9"]
    assert "T = 100 14.2 %" in alt["figure_10"]
    assert "T = 100 96 % in float32 and 71 % in float64, 0 % on z/T" in alt["zero_gradients"]
    alt = {exhibit.name: exhibit.alt(complete()) for exhibit in EXHIBITS}
    assert "control, T = 20 116" in alt["logit_scale"]
    assert "T = 100 within 0.3: FGSM at T = 1 3 %, PGD at T = 1 4 %" in alt["success_by_epsilon"]
    assert "C&W L2: no distillation 1.87, T = 20 2.06, T = 100 2.34" in alt["cw_distances"]


def test_half_the_budget_is_half_of_the_features_whatever_budgets_are_listed() -> None:
    found = measured()[0]
    sparse = {"budgets": (0, 100, 112), "success_by_budget": (0.0, 0.5, 0.85)}
    attacks = tuple(attack.model_copy(update=sparse) for attack in found.attacks)
    alt = {exhibit.name: exhibit.alt([found.model_copy(update={"attacks": attacks})]) for exhibit in EXHIBITS}
    assert "At half the budget, on probabilities: T = 100 0 %; " in alt["success_by_budget"]


def test_a_figure_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    png(as_in_paper.figure_7(measured()), dpi=40)
    assert dict(mpl.rcParams) == before


def test_the_same_numbers_make_the_same_bytes_without_a_name_of_the_software() -> None:
    first, second = (png(as_in_paper.figure_7(models), dpi=60) for models in (measured(), measured()[::-1]))
    assert first == second
    assert Image.open(BytesIO(first)).info.keys() <= {"transparency"}


def test_drawing_a_figure_again_or_at_another_size_first_changes_no_byte() -> None:
    once, again = as_in_paper.figure_10(measured()), as_in_paper.figure_10(measured())
    png(again, dpi=90)
    assert png(once, dpi=60) == png(once, dpi=60) == png(again, dpi=60)


def test_figures_are_narrow_enough_for_a_phone() -> None:
    # 12 point letters on 5.2 inches are 11 pixels high at 350 pixels
    for (width, height), _ in small("complete").values():
        assert width <= 5.2
        assert height >= width * 0.5


def strokes(line: Line2D) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The ends of the parts of a line that has gaps, from the upper left to the lower right and then the other way."""
    points = [(round(float(x), 2), round(float(y), 2)) for x, y in np.asarray(line.get_xydata())]
    parts = zip(points[0::3], points[1::3], strict=True)
    return [(min(first, last), max(first, last)) for first, last in parts]


def test_a_sample_grid_frames_originals_and_crosses_out_failures() -> None:
    classes = ("a", "b", "c")
    base = grid(classes)
    success = np.array([[False, True, False], [True, False, True], [True, True, False]])
    present = np.ones((3, 3), dtype=np.bool_)
    present[1, 2] = False
    axes = samples.sample_grid(Grid(base.images, success, present, classes)).axes[0]
    assert [tuple(np.round(frame.get_xy(), 2)) for frame in axes.patches] == [(0.02, 0.02), (1.02, 1.02), (2.02, 2.02)]
    (crosses,) = axes.lines
    assert strokes(crosses) == [((2.12, 0.12), (2.88, 0.88)), ((2.12, 0.88), (2.88, 0.12))]  # the one at (0, 2)
    dash = next(text for text in axes.texts if text.get_text() == "–")
    assert dash.get_position() == (2.5, 1.5)


def test_a_sample_grid_keeps_the_pixels_of_a_success_and_dims_a_failure() -> None:
    images = np.full((2, 2, 3, 4, 4), 10, dtype=np.uint8)
    success = np.array([[False, True], [False, False]])
    axes = samples.sample_grid(Grid(images, success, np.ones((2, 2), dtype=np.bool_), ("a", "b"))).axes[0]
    mosaic = np.asarray(axes.images[0].get_array())  # cells of 4 pixels with a gap of 1 on every side
    assert mosaic.shape == (12, 12, 3)
    assert mosaic[3, 9].tolist() == [10, 10, 10]
    assert mosaic[9, 3].tolist() == [179, 179, 179]  # a quarter of 10, three quarters of 235
    assert mosaic[3, 3].tolist() == [10, 10, 10]
    assert mosaic[0].min() == 255


@pytest.mark.parametrize(("number", "channels"), [(2, 1), (2, 3), (10, 3), (100, 1)])
def test_a_sample_grid_shows_up_to_ten_classes_and_says_so(number: int, channels: int) -> None:
    many = grid([f"class number {k} <$x$>" for k in range(number)], shape=(channels, 8, 8))
    figure = samples.sample_grid(many)
    axes = figure.axes[0]
    assert len(axes.get_xticklabels()) == min(number, samples.MAX_CLASSES)
    assert ("first 10 of 100 classes" in axes.get_xlabel()) == (number == 100)
    assert len({tick.get_text() for tick in axes.get_xticklabels()}) >= 1
    assert png(figure, dpi=40)


def test_examples_have_a_row_an_attack_below_the_originals_and_cross_out_what_fools_nobody() -> None:
    made = examples(("3", "7"), attacks=("jsma/probabilities", "jsma/scaled", "square/margin"))
    axes = samples.example_sheet(made).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "original",
        "JSMA on probabilities",
        "JSMA on z/T",
        "Square",
    ]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "7"]
    (crosses,) = (line for line in axes.lines if line.get_linewidth() < 1)
    drawn = strokes(crosses)
    assert len(drawn) == 2 * 2  # both sources of the one attack that fails
    assert {int(y) for ends in drawn for _, y in ends} == {1}
    colours = [text.get_color() for text in axes.get_yticklabels()[1:]]
    assert colours == [samples.ATTACKERS[kind] for kind in ("naive", "adaptive", "gradient-free")]


def test_the_names_of_all_attacks_fit_beside_their_examples() -> None:
    figure = samples.example_sheet(examples())
    png(figure, dpi=60)
    bounds = [text.get_window_extent().x0 for text in figure.axes[0].get_yticklabels()]
    assert len(bounds) == 1 + len(EXAMPLE_ATTACKS)
    assert min(bounds) >= 0


@pytest.mark.parametrize(("sources", "shape"), [(1, (3, 8, 8)), (12, (1, 28, 28)), (4, (3, 16, 32))])
def test_examples_can_be_drawn_of_any_number_and_shape(sources: int, shape: tuple[int, int, int]) -> None:
    made = examples([f"class {number}" for number in range(sources)], shape=shape)
    axes = samples.example_sheet(made).axes[0]
    assert len(axes.get_xticklabels()) == min(sources, samples.MAX_CLASSES)
    assert png(axes.figure, dpi=40)  # type: ignore[arg-type]


def test_examples_alternative_text_counts_who_is_fooled() -> None:
    made = examples(("3", "7"), attacks=("pgd/cross_entropy", "cw_l2"))
    assert in_words.example_sheet(measured()[2], made) == (
        "The same 2 test images under every attack on T = 20; how many of them fool the network: PGD at T = 1 0, "
        "C&W L2 2."
    )


def test_examples_of_wrong_shapes_are_refused() -> None:
    good = examples(("a", "b"), attacks=("noise",))
    with pytest.raises(InputError, match=r"expected uint8 images \(A, S, 1 or 3, H, W\), got float32"):
        Examples(good.originals, good.images.astype(np.float32), good.success, good.attacks, good.labels)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected uint8 originals \(2, 1, 28, 28\), got \(1, 1, 28, 28\)"):
        Examples(good.originals[:1], good.images, good.success, good.attacks, good.labels)
    with pytest.raises(InputError, match="expected success of 1 attacks on 2 sources, got"):
        Examples(good.originals, good.images, good.success[:, :1], good.attacks, good.labels)
    with pytest.raises(InputError, match="expected images of 2 attacks on 2 sources"):
        Examples(good.originals, good.images, good.success, ("noise", "pgd/margin"), good.labels)


def test_a_class_name_in_another_script_is_drawn_without_a_warning() -> None:
    assert png(samples.sample_grid(grid(("犬", "$5"), shape=(3, 8, 8))), dpi=40)


def test_grids_of_wrong_shapes_are_refused() -> None:
    good = grid(("a", "b"))
    with pytest.raises(InputError, match=r"expected uint8 images \(K, K, 1 or 3, H, W\), got float32"):
        Grid(good.images.astype(np.float32), good.success, good.present, good.classes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected success for 2 x 2 classes"):
        Grid(good.images, good.success[:1], good.present, good.classes)
    with pytest.raises(InputError, match="expected images for 3 x 3 classes"):
        Grid(good.images, good.success, good.present, ("a", "b", "c"))


def test_a_grids_alternative_text_counts_attacked_samples_only() -> None:
    success = np.ones((2, 2), dtype=np.bool_)
    made = Grid(grid(("a", "b")).images, success, np.array([[True, True], [False, True]]), ("a", "b"))
    found = evaluation(20, probabilities=1, logits=1, scaled=1, dataset=MNIST)
    assert "samples shown that reach their target class: 1 of 1." in in_words.sample_grid(found, "scaled", made)
    assert "T = 20, JSMA on probabilities of z/T" in in_words.sample_grid(found, "scaled", made)


_DRAW = """
import hashlib
from support.evaluations import complete
from defensive_distillation.reporting.figures.as_in_paper import figure_7
from defensive_distillation.reporting.figures.drawing import png
print(hashlib.sha256(png(figure_7(complete()))).hexdigest())
"""


@pytest.mark.parametrize("settings", ["a backend", "a file", "a broken file"])
def test_figures_are_the_same_whatever_a_users_matplotlib_is_set_to(tmp_path: Path, settings: str) -> None:
    content = "text.usetex: True\nfont.family: serif\nfigure.dpi: 30\nlines.linewidth: 9\n"
    (tmp_path / "matplotlibrc").write_bytes(content.encode() if settings == "a file" else b"\xff\xfe\x00nonsense")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", *sys.path]), "MPLCONFIGDIR": str(tmp_path)}
    if settings == "a backend":
        environment["MPLBACKEND"] = "nonsense"
    else:
        environment["MATPLOTLIBRC"] = str(tmp_path / "matplotlibrc")
    done = subprocess.run([sys.executable, "-c", _DRAW], capture_output=True, text=True, env=environment, check=False)
    expected = hashlib.sha256(png(as_in_paper.figure_7(complete()))).hexdigest()
    assert done.stdout.strip() == expected, done.stderr
