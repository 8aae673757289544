"""The networks of a sweep along x: the undistilled one, the distilled ones by temperature, those of other defenses."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures.drawing import FAINT, Mark, shorten_middle
from defensive_distillation.reporting.networks import is_distilled, is_other, models
from defensive_distillation.reporting.words import label


class NetworkAxis:
    """One place a network: 'none' for the one without distillation first, then T, then the titles of the others."""

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.models = models(evaluations)
        self._names = dict.fromkeys(_tick(network) for network in self.models)
        self._places = {name: place for place, name in enumerate(self._names)}

    def place(self, network: Evaluation) -> int:
        """Where `network` stands."""
        return self._places[_tick(network)]

    def apply(self, axes: Axes, *, named: bool = True) -> None:
        """Ticks, limits and label on the x axis of `axes`."""
        names = list(self._names)
        titled = any(map(is_other, self.models))  # titles take more room than temperatures
        crowded = len(names) > (6 if titled else 12)
        texts = [fill(name, 12) for name in names] if titled and not crowded else names
        size = 9 if titled or crowded else 11.5
        axes.set_xticks(range(len(names)), texts, rotation=90 if crowded else 0, fontsize=size)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.tick_params(axis="x", length=0)
        if "none" in names and len(names) > 1:
            axes.axvline(0.5, color=FAINT, linewidth=0.8, zorder=0)
        if named:
            axes.set_xlabel("Temperature T of distillation" + (" or other defense" if titled else ""))


def draw_by_network(
    axes: Axes,
    where: NetworkAxis,
    mark: Mark,
    values: Sequence[float],
    *,
    shift: float = 0.0,
    spread: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """One series, with the undistilled network's value as a level across the figure; other defenses have no line."""
    places = [where.place(network) + shift for network in where.models]
    first = sum(not network.defended for network in where.models)
    last = first + sum(map(is_distilled, where.models))
    parts: list[tuple[slice, str, str]] = [
        (slice(0, first), f"{mark.label}, no distillation", mark.dash),
        (slice(first, last), mark.label, mark.dash),
    ]
    if last < len(places):
        parts.append((slice(last, None), f"{mark.label}, other defenses", "none"))
    for part, name, dash in parts:
        axes.errorbar(
            places[part],
            values[part],
            yerr=[side[part] for side in spread] if spread else None,
            color=mark.colour,
            marker=mark.marker,
            linestyle=dash,
            capsize=3,
            elinewidth=1.2,
            label=name,
        )
    if first:
        axes.axhline(values[0], color=mark.colour, linewidth=0.9, linestyle=(0, (1, 3)), zorder=1)


def _tick(network: Evaluation) -> str:
    if is_distilled(network):
        return f"{network.temperature:g}"
    return shorten_middle(label(network), 30) if network.defended else "none"
