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

    def drawn(self, dpi: float) -> Image:
        """The sheet as an image of the page."""
        if isinstance(self.samples, Examples):
            figure, alt, colours = example_sheet(self.samples), in_words.example_sheet(self.found, self.samples), 256
        else:
            figure, alt = sample_grid(self.samples), in_words.sample_grid(self.found, self.kind, self.samples)
            colours = 256 if self.samples.images.shape[2] == 3 else 32
        return Image(png(figure, dpi=dpi, colours=colours), alt)


def sample_sections(
    ordered: Sequence[Evaluation], grids: Samples, examples: Mapping[str, Examples], room: int
) -> tuple[dict[str, Any], dict[str, Any]]:
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


def _examples(
    networks: Sequence[Evaluation],
    examples: Mapping[str, Examples],
    shown: Mapping[tuple[str, str], Image],
    first: Evaluation,
    *,
    left_out: int,
) -> dict[str, Any]:
    with_sheet = [found for found in networks if (found.name, "examples") in shown]
    opened = first if first in with_sheet else with_sheet[-1] if with_sheet else None
    sheets = [
        (label(found), found is opened, Shown("", shown[found.name, "examples"], _counted(examples[found.name])))
        for found in with_sheet
    ]
    return {"sheets": sheets, "left_out": left_out} if sheets else {}


def _counted(examples: Examples) -> str:
    total = len(examples.labels)
    few = f" The first {MAX_CLASSES} are shown." if total > MAX_CLASSES else ""
    return f"{total} sources under {len(examples.attacks)} attacks.{few}"


def _grids(
    networks: Sequence[Evaluation],
    grids: Samples,
    shown: Mapping[tuple[str, str], Image],
    first: Evaluation,
    *,
    left_out: int,
) -> dict[str, Any]:
    present = [grids[found.name] for found in networks if grids.get(found.name, {}).keys() & OUTPUTS.keys()]
    if not present:
        return {}
    by_model = [
        (
            label(found),
            found is first,
            [
                Shown(f"JSMA on {name}", shown[found.name, output], _reached(grids[found.name][output]))
                for output, name in OUTPUTS.items()
                if (found.name, output) in shown
            ],
        )
        for found in networks
    ]
    total = len(next(iter(present[0].values())).classes)
    return {
        "models": [model for model in by_model if model[2]],
        "classes": f"{MAX_CLASSES} of {total}" if total > MAX_CLASSES else "",
        "left_out": left_out,
    }


def _reached(grid: Grid) -> str:
    reached, attacked = int((grid.success & grid.attacked).sum()), int(grid.attacked.sum())
    return f"{count(reached)} of these {count(attacked)} samples reach their target."
