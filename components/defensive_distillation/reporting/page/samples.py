"""The page's pictures of adversarial samples, drawn as large as the page's size allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures.exhibits import examples_alt, grid_alt
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.figures.samples import MAX_CLASSES, example_sheet, sample_grid
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.page.parts import Html, fold, image, join, tag
from defensive_distillation.reporting.networks import chosen, models
from defensive_distillation.reporting.parallel import on_all_cores
from defensive_distillation.reporting.words import OUTPUTS, count, label

_GRID_DPI = 150.0
_MIN_DPI = 36.0

Samples = Mapping[str, Mapping[str, Grid]]


@dataclass(frozen=True)
class _Picture:
    """One sheet of samples before it is drawn."""

    found: Evaluation
    kind: str  # an output of JSMA, or 'examples'
    samples: Grid | Examples

    @property
    def key(self) -> tuple[str, str]:
        return self.found.name, self.kind

    def drawn(self, dpi: float) -> Html:
        """The sheet as an image of the page."""
        if isinstance(self.samples, Examples):
            figure, alt, colours = example_sheet(self.samples), examples_alt(self.found, self.samples), 256
        else:
            figure, alt = sample_grid(self.samples), grid_alt(self.found, self.kind, self.samples)
            colours = 256 if self.samples.images.shape[2] == 3 else 32
        return image(png(figure, dpi=dpi, colours=colours), alt)


def sample_sections(
    ordered: Sequence[Evaluation], grids: Samples, examples: Mapping[str, Examples], room: int
) -> tuple[Html, Html]:
    """What every attack makes of the same sources, and the grids of JSMA, as large as fits into `room` bytes.

    Controls have none of their own: their decisions are the undistilled network's.
    """
    networks = models(ordered)
    wanted = [_Picture(found, "examples", examples[found.name]) for found in networks if found.name in examples]
    sheets = len(wanted)
    wanted += [
        _Picture(found, output, grids[found.name][output])
        for found in networks
        for output in OUTPUTS
        if output in grids.get(found.name, {})
    ]
    images = _fitting(wanted, room)
    shown = {picture.key: drawn for picture, drawn in zip(wanted, images, strict=False)}
    left_out = len(wanted) - len(images)
    first = chosen(ordered) or networks[0]
    return (
        _examples(networks, examples, shown, first, left_out=max(0, sheets - len(images))),
        _grids(networks, grids, shown, first, left_out=min(left_out, len(wanted) - sheets)),
    )


def _fitting(wanted: Sequence[_Picture], room: int) -> list[Html]:
    """The pictures, smaller if they must be, and without the last if that is not enough."""

    def drawn(dpi: float) -> list[Html]:
        return on_all_cores(lambda picture: picture.drawn(dpi), wanted)

    dpi = _GRID_DPI
    images = drawn(dpi)
    while (size := sum(map(len, images))) > room and dpi > _MIN_DPI:
        dpi = max(_MIN_DPI, dpi * min(0.85, 0.88 * sqrt(max(0, room) / size)))
        images = drawn(dpi)
    while sum(map(len, images)) > room:
        images.pop()
    return images


def _examples(
    networks: Sequence[Evaluation],
    examples: Mapping[str, Examples],
    shown: Mapping[tuple[str, str], Html],
    first: Evaluation,
    *,
    left_out: int,
) -> Html:
    with_sheet = [found for found in networks if (found.name, "examples") in shown]
    if not with_sheet:
        return Html("")
    opened = first if first in with_sheet else with_sheet[-1]
    words = (
        "Every row is one attack on the same test images, which stand above the line. Orange names attacks through the "
        "softmax at T = 1, as in the paper; green those that know the defense; blue those that use no gradient of the "
        "network. A sample that fools nobody is dimmed and crossed out."
    )
    if left_out:
        words += f" {left_out} more sheets were left out to keep this page small."
    sheets = [
        fold(
            label(found),
            tag("figure", shown[found.name, "examples"], tag("figcaption", _counted(examples[found.name]))),
            is_open=found is opened,
        )
        for found in with_sheet
    ]
    return join([tag("p", words), *sheets])


def _counted(examples: Examples) -> str:
    total = len(examples.labels)
    few = f" The first {MAX_CLASSES} are shown." if total > MAX_CLASSES else ""
    return f"{total} sources under {len(examples.attacks)} attacks.{few}"


def _grids(
    networks: Sequence[Evaluation],
    grids: Samples,
    shown: Mapping[tuple[str, str], Html],
    first: Evaluation,
    *,
    left_out: int,
) -> Html:
    present = [(found, output) for found in networks for output in grids.get(found.name, {}) if output in OUTPUTS]
    if not present:
        return Html("")
    parts = [_grids_intro(grids[present[0][0].name][present[0][1]], left_out)]
    for found in networks:
        here = [
            (output, grids[found.name][output], shown[found.name, output])
            for output in OUTPUTS
            if (found.name, output) in shown
        ]
        if here:
            parts.append(_model_grids(found, here, is_open=found is first))
    return join(parts)


def _grids_intro(grid: Grid, left_out: int) -> Html:
    words = (
        "One sample for each source class (row) and target class (column), with the originals framed on the diagonal. "
        "A sample that did not reach its target is dimmed and crossed out; a dash is a pair that was not attacked."
    )
    if len(grid.classes) > MAX_CLASSES:
        words += f" The first {MAX_CLASSES} of {len(grid.classes)} classes are shown."
    if left_out:
        words += f" {left_out} more grids were left out to keep this page small."
    return tag("p", words)


def _model_grids(found: Evaluation, here: Sequence[tuple[str, Grid, Html]], *, is_open: bool) -> Html:
    cells = [
        tag("figure", tag("h3", f"JSMA on {OUTPUTS[output]}"), drawn, tag("figcaption", _reached(grid)))
        for output, grid, drawn in here
    ]
    return fold(label(found), tag("div", *cells, class_="grids"), is_open=is_open)


def _reached(grid: Grid) -> str:
    reached, attacked = int((grid.success & grid.attacked).sum()), int(grid.attacked.sum())
    return f"{count(reached)} of these {count(attacked)} samples reach their target."
