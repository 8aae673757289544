"""The page's pictures of adversarial samples, drawn as large as the page's size allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures import in_words
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.figures.samples import MAX_CLASSES, example_sheet, sample_grid
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.networks import chosen, models
from defensive_distillation.reporting.page.parts import Image, Shown
from defensive_distillation.reporting.parallel import on_all_cores
from defensive_distillation.reporting.words import OUTPUTS, count, counted, label

_GRID_DPI = 150.0
_MIN_DPI = 36.0

Samples = Mapping[str, Mapping[str, Grid]]


@dataclass(frozen=True)
class _Picture:
    """One sheet of samples before it is drawn: the examples, or the grid of one output of JSMA."""

    network: Evaluation
    samples: Grid | Examples
    output: str = ""

    @property
    def title(self) -> str:
        return f"JSMA on {OUTPUTS[self.output]}" if self.output else ""

    @property
    def caption(self) -> str:
        if isinstance(self.samples, Examples):
            total = len(self.samples.labels)
            few = f" The first {MAX_CLASSES} are shown." if total > MAX_CLASSES else ""
            return f"{counted(total, 'source')} under {counted(len(self.samples.attacks), 'attack')}.{few}"
        attacked = self.samples.attacked
        reached = int((self.samples.success & attacked).sum())
        return f"Samples that reach their target: {count(reached)} of {count(int(attacked.sum()))}."

    def drawn(self, dpi: float) -> Image:
        """The sheet as an image of the page."""
        if isinstance(self.samples, Examples):
            figure, alt, colours = example_sheet(self.samples), in_words.example_sheet(self.network, self.samples), 256
        else:
            figure, alt = sample_grid(self.samples), in_words.sample_grid(self.network, self.output, self.samples)
            colours = 256 if self.samples.images.shape[2] == 3 else 32
        return Image(png(figure, dpi=dpi, colours=colours), alt)


def sample_sections(
    ordered: Sequence[Evaluation], grids: Samples, examples: Mapping[str, Examples], room: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What every attack makes of the same sources, and the grids of JSMA, as large as fits into `room` bytes.

    Controls have none of their own: their decisions are the undistilled network's.
    """
    networks = models(ordered)
    sheets = [_Picture(network, examples[network.name]) for network in networks if network.name in examples]
    by_class = [
        _Picture(network, grids[network.name][output], output)
        for network in networks
        for output in OUTPUTS
        if output in grids.get(network.name, {})
    ]
    images = _fitting([*sheets, *by_class], room)
    first, here = chosen(ordered) or networks[0], [picture.network for picture, _ in zip(sheets, images, strict=False)]
    return (
        _section(sheets, images[: len(sheets)], first if first in here or not here else here[-1]),
        _section(by_class, images[len(sheets) :], first),
    )


def _fitting(wanted: Sequence[_Picture], room: int) -> list[Image]:
    """The pictures, smaller if they must be, and without the last if that is not enough."""
    dpi = _GRID_DPI
    images = on_all_cores(partial(_Picture.drawn, dpi=dpi), wanted)
    while (size := sum(image.length for image in images)) > room and dpi > _MIN_DPI:
        dpi = max(_MIN_DPI, dpi * min(0.85, 0.88 * sqrt(max(0, room) / size)))
        images = on_all_cores(partial(_Picture.drawn, dpi=dpi), wanted)
    while sum(image.length for image in images) > room:
        images.pop()
    return images


def _section(wanted: Sequence[_Picture], images: Sequence[Image], opened: Evaluation) -> dict[str, Any]:
    """A fold a network; nothing where nothing was wanted."""
    if not wanted:
        return {}
    folds: dict[str, list[Shown]] = {}
    for picture, image in zip(wanted, images, strict=False):
        folds.setdefault(label(picture.network), []).append(Shown(picture.title, image, picture.caption))
    total = len(wanted[0].samples.classes) if isinstance(wanted[0].samples, Grid) else 0
    return {
        "networks": [(name, name == label(opened), shown) for name, shown in folds.items()],
        "classes": f"{MAX_CLASSES} of {total}" if total > MAX_CLASSES else "",
        "left_out": len(wanted) - len(images),
    }
