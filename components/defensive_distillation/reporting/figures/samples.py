"""Adversarial samples on one sheet: by source and target class, and by attack on the same sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from defensive_distillation.reporting.figures.drawing import INK, MUTED, WIDTH, figure, message, shorten_middle, style
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.suite.registry import attacker, title

MAX_CLASSES = 10  # of a sample grid, and sources of the examples; more would be too small to see

ATTACKERS = {"naive": "#b34700", "adaptive": "#6d1b44", "gradient-free": "#005a8f"}  # MARKS' colours, dark as letters


def sample_grid(grid: Grid) -> Figure:
    """Adversarial samples, source class down and target class across; originals framed on the diagonal.

    A sample that did not reach its target is dimmed and crossed; a pair that was not attacked is left blank. Of more
    than `MAX_CLASSES` classes the first are shown, and the figure says so.
    """
    total = len(grid.classes)
    shown = min(total, MAX_CLASSES)
    if not shown:
        return message("No samples.")
    with style():
        drawn = figure(WIDTH)
        axes = drawn.subplots()
        axes.grid(visible=False)
        part = (slice(shown), slice(shown))
        mosaic = _mosaic(grid.images[part], (grid.attacked & ~grid.success)[part], grid.present[part])
        axes.imshow(mosaic, extent=(0, shown, shown, 0), aspect="equal")
        _sample_marks(axes, grid, shown)
        axes.set_xlim(-0.04, shown + 0.04)
        axes.set_ylim(shown + 0.04, -0.04)
        _class_names(axes, grid.classes[:shown])
        more = "" if total == shown else f"  (first {shown} of {total} classes)"
        axes.set_xlabel("Target class" + more, labelpad=8, fontsize=13)
        axes.set_ylabel("Source class", fontsize=13)
        axes.xaxis.set_label_position("top")
        for spine in axes.spines.values():
            spine.set_visible(False)
    return drawn


def example_sheet(examples: Examples) -> Figure:
    """The same sources under every attack: one row an attack below the originals, one column a source.

    A sample that the network still classifies as it should is dimmed and crossed.
    """
    shown = min(len(examples.labels), MAX_CLASSES)
    if not shown or not examples.attacks:
        return message("No samples.")
    sheet = np.concatenate([examples.originals[None], examples.images])[:, :shown]  # (1 + A, S, C, H, W)
    failed = np.pad(~examples.success[:, :shown], ((1, 0), (0, 0)), constant_values=False)
    rows, width, height = len(sheet), *examples.originals.shape[:1:-1]
    with style():
        drawn = figure(0.55 + rows * (WIDTH - 2.0) / max(shown, 6) * height / width)
        axes = drawn.subplots()
        axes.grid(visible=False)
        axes.imshow(_mosaic(sheet, failed), extent=(0, shown, rows, 0), aspect=height / width)
        _crosses(axes, failed)
        axes.axhline(1, color=INK, linewidth=1.2)
        _class_names(axes, examples.labels[:shown], rows=False)
        names = ["original", *(title(attack) for attack in examples.attacks)]
        axes.set_yticks(np.arange(rows) + 0.5, names, fontsize=11)
        for text, attack in zip(axes.get_yticklabels()[1:], examples.attacks, strict=True):
            text.set_color(ATTACKERS[attacker(attack)])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_anchor("NW")  # the layout measures the names from there
        drawn.set_layout_engine("constrained", w_pad=0.12)  # inches, for letters are a bit wider at a low resolution
    return drawn


def _mosaic(
    images: NDArray[np.uint8], failed: NDArray[np.bool_], present: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Rows of images (R, S, C, H, W) as one RGB image with white gaps; failed samples dimmed, missing ones blank."""
    rows, columns = images.shape[:2]
    pixels = np.moveaxis(images, 2, -1)  # (R, S, H, W, C)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:-1], 3)).astype(np.float32)
    pixels = np.where(failed[..., None, None, None], 0.25 * pixels + 0.75 * 235, pixels)
    if present is not None:
        pixels = np.where(present[..., None, None, None], pixels, 250)
    height, width = pixels.shape[2:4]
    gap = max(1, round(0.06 * max(height, width)))
    padded = np.pad(pixels, ((0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)), constant_values=255)
    return (
        padded.transpose(0, 2, 1, 3, 4)
        .reshape(rows * (height + 2 * gap), columns * (width + 2 * gap), 3)
        .round()
        .astype(np.uint8)
    )


def _crosses(axes: Axes, cells: NDArray[np.bool_]) -> None:
    """A cross over each marked cell of (rows, columns), all in one line with gaps."""
    corner = np.argwhere(cells)[:, None, ::-1]  # (M, 1, 2), x first
    stroke = np.array([[0.12, 0.12], [0.88, 0.88], [np.nan, np.nan], [0.12, 0.88], [0.88, 0.12], [np.nan, np.nan]])
    axes.plot(*(corner + stroke).reshape(-1, 2).T, color=MUTED, linewidth=0.9)


def _sample_marks(axes: Axes, grid: Grid, shown: int) -> None:
    """A frame for the original, a cross for a failure, a dash for what was not attacked."""
    part = (slice(shown), slice(shown))
    diagonal, present = np.eye(shown, dtype=bool), grid.present[part]
    for source in np.flatnonzero((diagonal & present).any(axis=1)):
        corner = (source + 0.02, source + 0.02)
        axes.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor="#d55e00", lw=2.2))
    for source, target in np.argwhere(~present):
        axes.text(target + 0.5, source + 0.5, "–", ha="center", va="center", color=MUTED, fontsize=10)
    _crosses(axes, present & ~grid.success[part] & ~diagonal)


def _class_names(axes: Axes, classes: Sequence[str], *, rows: bool = True) -> None:
    """The classes above the columns, and beside the rows."""
    names = [shorten_middle(name, 11) for name in classes]
    long = max(len(name) for name in names) > 3
    places = np.arange(len(names)) + 0.5
    size = 13  # the page shows three grids side by side
    axes.set_xticks(places, names, rotation=45 if long else 0, ha="left" if long else "center", fontsize=size)
    if rows:
        axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    if long:
        for text in axes.get_xticklabels():
            text.set_rotation_mode("anchor")
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
