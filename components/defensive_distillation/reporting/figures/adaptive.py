"""Figures of the attacks that know the defense: success by radius, distances, the size of the logits.

Like those of the paper each is a pure function of the evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from defensive_distillation.evaluation.results import BoundedFindings, Evaluation, RobustAccuracy
from defensive_distillation.reporting import attacks
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
    name_panel,
    panel_figure,
    style,
)
from defensive_distillation.reporting.figures.marks import DODGE, PAPER, RIGHT, bounded_marks
from defensive_distillation.reporting.measures import GREY, CaseName, mean_distance
from defensive_distillation.reporting.networks import controls, distilled, models, others, undistilled
from defensive_distillation.reporting.paper import SECOND_HAND_LOGITS, SECOND_HAND_TEMPERATURE, published
from defensive_distillation.reporting.words import column_per_cent, label
from defensive_distillation.suite.registry import title

_RIGHT_MARK = Mark("right whatever the attack", RIGHT, "o")
_CLEAN_MARK = Mark("right without an attack", MUTED, "", ":")
WORST_MARK = Mark("any attack", "#c9c9c9", "")
CASE_MARKS: dict[CaseName, Mark] = {
    "best": Mark("best case", "#0072b2", "s", "--"),
    "average": Mark("average case", INK, "^"),
    "worst": Mark("worst case", "#aa4499", "o", ":"),
}
_NORMS = {"l2": "L2 distance", "l0": "L0: changed\npixels", "linf": "L∞ distance"}
_SCALE_MARK = Mark("trained network", INK, "o")
_OTHER_MARK = Mark("another defense", "#aa4499", "s")
_CONTROL_MARK = Mark("control: logits × T", "#d55e00", "x")
_LEVEL_MARK = Mark("T × no distillation", MUTED, "", ":")
_SECOND_HAND_MARK = Mark("C&W, second-hand", PAPER, "D")


def success_by_epsilon(evaluations: Sequence[Evaluation]) -> Figure:
    """Of the images classified right how many are fooled within an L∞ radius, by attack and by any; a panel a model."""
    networks = [network for network in models(evaluations) if network.bounded]
    if not networks:
        return message("No attack within an L∞ radius was run.")
    with style():
        drawn, panels = panel_figure(len(networks), shared=True)
        known, marks = bounded_marks(), dict[str, Mark]()
        for axes, network in zip(panels, networks, strict=True):
            if network.robust:
                marks["any attack"] = WORST_MARK
                _draw_radii(axes, network.robust, WORST_MARK, width=7)
            for bounded in network.bounded:
                mark = known.get(bounded.name, Mark(title(bounded.name), MUTED, "d", ":"))
                marks[bounded.name] = mark
                _draw_radii(axes, bounded, mark)
            name_panel(axes, label(network))
            axes.set_ylim(-4, 104)
            _radius_axis(axes, sorted({epsilon for bounded in network.bounded for epsilon in bounded.epsilons}))
        drawn.supxlabel("L∞ radius (images are in [0, 1])", fontsize=12)
        drawn.supylabel("Fooled, % of images classified right", fontsize=12)
        order = [*(name for name in known if name in marks), *(name for name in marks if name not in known)]
        handles = [handle(marks[name]) for name in order]
        for made in handles:
            if made.get_label() == WORST_MARK.label:
                made.set_linewidth(7)
        legend(drawn, handles)
    return drawn


def robust_accuracy(evaluations: Sequence[Evaluation]) -> Figure:
    """What stays right whatever the attack, by L∞ radius, below the line of what is right at all; a panel a model."""
    networks = [network for network in models(evaluations) if network.robust]
    if not networks:
        return message("No attack within an L∞ radius was run.")
    with style():
        drawn, panels = panel_figure(len(networks), shared=True)
        for axes, network in zip(panels, networks, strict=True):
            robust = network.robust
            assert robust is not None
            clean = 100 * (1 - robust.misclassified / robust.samples)
            axes.axhline(clean, linewidth=1.2, **look(_CLEAN_MARK))
            shares = [100 * share for share in robust.accuracy]
            axes.fill_between([0, *robust.epsilons], [clean, *shares], color=RIGHT, alpha=0.18, linewidth=0)
            axes.plot([0, *robust.epsilons], [clean, *shares], **look(_RIGHT_MARK))
            name_panel(axes, label(network))
            axes.set_ylim(-4, 104)
            radii = [0.0, *([epsilon for epsilon in robust.epsilons if epsilon < GREY] or robust.epsilons)]
            axes.set_xlim(-0.03 * radii[-1], 1.03 * radii[-1])
            _log_ticks(axes, radii, most=4)
        drawn.supxlabel("L∞ radius (images are in [0, 1])", fontsize=12)
        drawn.supylabel("Right, % of all images", fontsize=12)
        legend(drawn, [handle(_RIGHT_MARK), handle(_CLEAN_MARK)])
    return drawn


def cw_distances(evaluations: Sequence[Evaluation]) -> Figure:
    """Mean distance that the attacks for the nearest sample need against temperature, a panel an attack.

    The level across is the undistilled network's. Where an attack did not reach every target, its success is written.
    """
    ran = [name for name in attacks.by_distance() if any(network.distance(name) for network in models(evaluations))]
    if not ran:
        return message("No attack for the nearest sample was run.")
    with style():
        drawn = figure(1.2 + 1.75 * len(ran))
        panels = list(drawn.subplots(len(ran), 1, sharex=True, squeeze=False).flat)
        where = NetworkAxis(evaluations)
        for axes, attack in zip(panels, ran, strict=True):
            for (case, mark), shift in zip(CASE_MARKS.items(), DODGE.values(), strict=True):
                lengths = [mean_distance(network, attack, case) for network in where.models]
                values = [nan if length is None else length for length in lengths]
                draw_by_network(axes, where, mark, values, shift=shift)
            axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
            axes.set_ylabel(_distance_label(where.models, attack))
            _missed(axes, where, attack)
            where.apply(axes, named=axes is panels[-1])
            axes.tick_params(axis="x", labelbottom=axes is panels[-1])
        legend(drawn, [handle(mark) for mark in CASE_MARKS.values()], columns=3)
    return drawn


def logit_scale(evaluations: Sequence[Evaluation]) -> Figure:
    """Mean absolute logit against temperature, both on log scales, beside the line that is proportional to T."""
    baseline = undistilled(evaluations)
    if not models(evaluations):
        return message("No model was evaluated.")
    with style():
        drawn = figure(4.2)
        axes = drawn.subplots()
        handles = [handle(_SCALE_MARK)]
        _draw_logits(axes, [baseline] if baseline else [], _SCALE_MARK, name="no distillation")
        _draw_logits(axes, distilled(evaluations), _SCALE_MARK)
        if others(evaluations):  # trained at T = 1
            _draw_logits(axes, others(evaluations), _OTHER_MARK, line=False)
            handles.append(handle(_OTHER_MARK, line=False))
        if controls(evaluations):
            _draw_logits(axes, controls(evaluations), _CONTROL_MARK, line=False)
            handles.append(handle(_CONTROL_MARK, line=False))
        if baseline:
            last = max([network.temperature for network in evaluations] + [10.0])
            start = baseline.mean_absolute_logit
            axes.plot([1, last], [start, last * start], zorder=1, **look(_LEVEL_MARK))
            handles.append(handle(_LEVEL_MARK))
        if published(evaluations[0].dataset):
            theirs = look(_SECOND_HAND_MARK, hollow=True, line=False)
            axes.plot([1, SECOND_HAND_TEMPERATURE], SECOND_HAND_LOGITS, zorder=1, **theirs)
            handles.append(handle(_SECOND_HAND_MARK, hollow=True, line=False))
        axes.set_xscale("log")
        axes.set_yscale("log")
        temperatures = sorted({1.0, *(network.temperature for network in evaluations)})
        _log_ticks(axes, temperatures)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("Temperature T of distillation")
        axes.set_ylabel("Mean |logit|")
        legend(drawn, handles)
    return drawn


def _draw_radii(axes: Axes, curve: BoundedFindings | RobustAccuracy, mark: Mark, *, width: float = 1.8) -> None:
    axes.plot(
        curve.epsilons,
        [100 * share for share in curve.success_by_epsilon],
        markersize=5,
        linewidth=width,
        solid_capstyle="round",
        zorder=1 if width > 2 else 2,
        **look(mark),
    )


def _radius_axis(axes: Axes, radii: Sequence[float]) -> None:
    if len(radii) > 1 and radii[0] > 0 and radii[-1] / radii[0] > 5:
        axes.set_xscale("log")
    _log_ticks(axes, radii)


def _log_ticks(axes: Axes, values: Sequence[float], *, most: int = 7) -> None:
    """Ticks at `values`, from the largest down, that leave each other the room of `most`."""
    log = axes.get_xscale() == "log"
    least = (max(values) / min(values)) ** (1 / most) if log else (max(values) - min(values)) / most
    shown: list[float] = []
    for value in sorted(values, reverse=True):
        if not shown or (shown[-1] / value >= least if log else shown[-1] - value >= least):
            shown.append(value)
    axes.set_xticks(shown, [f"{value:.2g}" if value < 100 else f"{value:g}" for value in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _distance_label(networks: Sequence[Evaluation], attack: str) -> str:
    """The norm, with the attack's name where it is none of Carlini and Wagner's."""
    norm = next(_NORMS.get(ran.norm, ran.norm) for network in networks if (ran := network.distance(attack)))
    return norm if attack in attacks.CARLINI_WAGNER else f"{title(attack)}:\n{norm}"


def _missed(axes: Axes, where: NetworkAxis, attack: str) -> None:
    """The success rate where it is not 100 %."""
    for network in where.models:
        distances = network.distance(attack)
        if distances and distances.successes < distances.pairs:
            axes.text(
                where.place(network),
                0.02,
                column_per_cent(distances.success_rate).replace(".0 %", " %"),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=10,
                color=INK,
            )


def _draw_logits(axes: Axes, networks: Sequence[Evaluation], mark: Mark, *, name: str = "", line: bool = True) -> None:
    if networks:
        crosses = {"markersize": 9, "markeredgewidth": 2} if mark is _CONTROL_MARK else {}
        named = {"label": name} if name else {}
        axes.plot(
            [network.temperature for network in networks],
            [network.mean_absolute_logit for network in networks],
            **look(mark, line=line) | crosses | named,
        )
