"""The paper's figures from a sweep's evaluations; each a pure function.

Every function takes evaluations in any order and returns a matplotlib Figure; `drawing.png` makes bytes of it. Rates
are drawn in per cent. Where there is nothing to draw, the figure says so. Controls stand in no figure of the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10, nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting.figures.axes import NetworkAxis, draw_by_network
from defensive_distillation.reporting.figures.drawing import (
    INK,
    MUTED,
    Mark,
    figure,
    handle,
    legend,
    look,
    message,
    style,
)
from defensive_distillation.reporting.figures.marks import DODGE, MARKS, PAPER_MARK
from defensive_distillation.reporting.networks import defended, distilled, models, undistilled
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, AMPLITUDE_EDGES, Published, published
from defensive_distillation.reporting.words import label


def figure_7(evaluations: Sequence[Evaluation]) -> Figure:
    """Success rate of JSMA against temperature on the three outputs, with Wilson intervals (Figure 7)."""
    if not any(network.jsma for network in models(evaluations)):
        return message("No attack was run.")
    with style():
        drawn = figure()
        axes = drawn.subplots()
        where = NetworkAxis(evaluations)
        handles = [
            handle(mark)
            for output, mark in MARKS.items()
            if _draw_attack(axes, where, output, lambda attack: attack.success_rate, interval=True)
        ]
        _draw_paper(axes, where, Published.success_of, handles)
        where.apply(axes)
        axes.set_ylim(-3, 103)
        axes.set_ylabel("JSMA success, %")
        legend(drawn, handles, columns=1 if len(handles) < 4 else 2)
    return drawn


def figure_8(evaluations: Sequence[Evaluation]) -> Figure:
    """Accuracy of the defended networks less the undistilled one's, in points (Figure 8)."""
    baseline, networks = undistilled(evaluations), defended(evaluations)
    if baseline is None or not networks:
        return message("Needs a network without distillation and a distilled one.")
    with style():
        drawn = figure(3.4)
        axes = drawn.subplots()
        where = NetworkAxis(networks)
        bound = 100 * ACCURACY_VARIATION
        values = [100 * (network.accuracy - baseline.accuracy) for network in networks]
        axes.axhspan(-bound, bound, color="#e9eef2", zorder=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        number = len(distilled(networks))
        for part, dash in ((slice(number), "-"), (slice(number, None), "none")):
            places = [where.place(network) for network in networks[part]]
            axes.plot(places, values[part], color=INK, marker="o", linestyle=dash, label="accuracy less the baseline's")
        where.apply(axes)
        reach = max(bound, *(abs(value) for value in values)) * 1.15
        axes.set_ylim(-reach, reach)
        axes.set_ylabel("Change of accuracy, points")
        drawn.legend(
            handles=[
                handle(Mark("this sweep", INK, "o")),
                Patch(color="#e9eef2", label=f"the paper: within ±{bound:.2f} points"),
            ],
            loc="outside upper left",
            ncols=2,
        )
    return drawn


def figure_9(evaluations: Sequence[Evaluation]) -> Figure:
    """Share of samples by the mean amplitude of their gradient at T = 1, one row a model (Figure 9).

    Deviation: the paper draws grouped bars for two models. Ten bins of ten models are a hundred bars, so here each
    model is a row of shaded cells with the share in figures.
    """
    networks = models(evaluations)
    if not networks:
        return message("No model was evaluated.")
    with style():
        drawn = figure(1.5 + 0.45 * len(networks))
        axes = drawn.subplots()
        axes.grid(visible=False)
        shares = np.array([_amplitude_shares(network) for network in networks])  # (models, bins)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25, aspect="auto", interpolation="nearest")
        for row, network in enumerate(networks):
            for column, share in enumerate(shares[row]):
                _amplitude_cell(axes, column, row, share, _paper_share(network, column))
        edges = [_power(edge) for edge in AMPLITUDE_EDGES]
        axes.set_xticks(
            np.arange(len(edges)) - 0.5, edges, rotation=60, ha="right", rotation_mode="anchor", fontsize=11
        )
        axes.set_yticks(range(len(networks)), [_short_label(network) for network in networks])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("Mean |∂F/∂x| of a sample, at T = 1")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return drawn


def figure_10(evaluations: Sequence[Evaluation]) -> Figure:
    """Robustness, Eq. 10, against temperature; below it the share of pairs that only counted the budget (Figure 10)."""
    if not any(network.jsma for network in models(evaluations)):
        return message("No attack was run.")
    with style():
        drawn = figure(5.4)
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        where = NetworkAxis(evaluations)
        handles = [
            handle(mark)
            for output, mark in MARKS.items()
            if _draw_attack(upper, where, output, lambda attack: attack.robustness)
        ]
        for output in MARKS:
            _draw_attack(lower, where, output, lambda attack: attack.robustness_failures)
        _draw_paper(upper, where, Published.robustness_of, handles)
        upper.set_ylim(0, 1.1 * upper.get_ylim()[1])
        upper.set_ylabel("Robustness,\n% of features")
        lower.set_ylim(-4, 104)
        lower.set_ylabel("Pairs counted\nat the budget, %")
        where.apply(upper, named=False)
        where.apply(lower)
        upper.tick_params(axis="x", labelbottom=False)
        legend(drawn, handles, columns=1 if len(handles) < 4 else 2)
    return drawn


def _draw_attack(
    axes: Axes, where: NetworkAxis, output: str, value: Callable[[AttackFindings], float], *, interval: bool = False
) -> bool:
    """One output's series in per cent; False if no model was attacked there."""
    attacks = [network.attack(output) for network in where.models]
    if not any(attacks):
        return False
    values = [100 * value(attack) if attack else nan for attack in attacks]
    spread = None
    if interval:
        ends = [attack.success_interval if attack else (nan, nan) for attack in attacks]
        lows = [max(0.0, at - 100 * low) for at, (low, _) in zip(values, ends, strict=True)]
        highs = [max(0.0, 100 * high - at) for at, (_, high) in zip(values, ends, strict=True)]
        spread = (lows, highs)
    draw_by_network(axes, where, MARKS[output], values, shift=DODGE[output], spread=spread)
    return True


def _draw_paper(
    axes: Axes, where: NetworkAxis, value: Callable[[Published, Evaluation], float | None], handles: list[Line2D]
) -> None:
    """The paper's values in per cent at our temperatures, and their handle; nothing where it has none."""
    numbers = published(where.models[0].dataset)
    shares = [(network, value(numbers, network)) for network in where.models] if numbers else []
    for after in (False, True):  # two lines, as in `draw_by_network`
        points = [
            (where.place(network), 100 * it) for network, it in shares if it is not None and network.defended is after
        ]
        if points:
            axes.plot(*zip(*points, strict=True), linewidth=1.2, zorder=2, **look(PAPER_MARK, hollow=True))
    if any(share is not None for _, share in shares):
        handles.append(handle(PAPER_MARK, hollow=True))


def _short_label(network: Evaluation) -> str:
    return label(network).replace("no distillation", "none")


def _amplitude_shares(network: Evaluation) -> list[float]:
    gradients = network.gradients_at_1
    return [amount / max(1, gradients.samples) for amount in gradients.amplitude_counts]


def _paper_share(network: Evaluation, column: int) -> float | None:
    numbers = published(network.dataset)
    counts = numbers.amplitudes_of(network) if numbers else None
    if counts is None or 0 < column < len(AMPLITUDE_EDGES) - 2:
        return None
    return (counts.above_1e_3 if column else counts.below_1e_40) / counts.samples


def _amplitude_cell(axes: Axes, column: int, row: int, share: float, theirs: float | None) -> None:
    """The cell's share in per cent, and the paper's below it in italics."""
    ink = "white" if share > 0.62 else INK
    text = "·" if share == 0 else "<1" if share < 0.01 else f"{100 * share:.0f}"
    axes.text(column, row - (0.17 if theirs is not None else 0), text, ha="center", va="center", color=ink, fontsize=11)
    if theirs is not None:
        ours = "<1" if 0 < theirs < 0.01 else f"{100 * theirs:.0f}"
        axes.text(column, row + 0.25, f"({ours})", ha="center", va="center", color=ink, fontsize=9, style="italic")


def _power(edge: float) -> str:
    """An edge as '1e-40': plain figures stay legible where exponents would not."""
    return f"{edge:g}" if edge in (0.0, 1.0) else f"1e{round(log10(edge))}"
