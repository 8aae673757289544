"""The convolutions of as many steps of JSMA as a pair takes, with nothing between, before or after them: its limit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.work import STEPS, convolutions


def prepare(name: str, *, architecture: str, count: int, batch: int) -> Callable[[], dict[str, float]]:
    """Of `count` pairs, for each of their steps all four convolutions three times, channels last.

    Three times `forwards`, or forwards once and `backwards` to their images twice, which are as many operations.
    """
    layers = [
        (copy.deepcopy(layer).to(memory_format=torch.channels_last).requires_grad_(False), shape)
        for layer, shape in convolutions(architecture)
    ]
    step = {"forwards": _forwards, "backwards": _backwards}[name]
    work = [(layer, _images(min(batch, count), shape)) for layer, shape in layers]
    rest = [(layer, images[: count % batch]) for layer, images in work]
    passes = (STEPS + 1) * ([work] * (count // batch) + [rest] * bool(count % batch))
    step(work)

    def run() -> dict[str, float]:
        for once in passes:
            step(once)
        return {"work": float(count)}

    return run


def _images(count: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.rand(count, *shape).to(memory_format=torch.channels_last)


def _forwards(work: list[tuple[nn.Conv2d, Tensor]]) -> None:
    with torch.no_grad():
        for layer, images in work:
            for _ in range(3):
                layer(images)


def _backwards(work: list[tuple[nn.Conv2d, Tensor]]) -> None:
    for layer, images in work:
        output = layer(images.requires_grad_())
        for again in (True, False):
            torch.autograd.grad(output, images, output.detach(), retain_graph=again)
