"""The convolutions of as many steps of JSMA as a pair takes, with nothing between, before or after them: its limit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.work import STEPS, convolutions
from defensive_distillation.networks import compute


def prepare(name: str, *, architecture: str, count: int, batch: int) -> Callable[[], dict[str, float]]:
    """Of `count` pairs, for each of their steps all four convolutions three times, on a device as our attack has it.

    Three times `forwards`, or forwards once and `backwards` to their images twice, which are as many operations.
    """
    device = compute.device("cpu", 1)
    layers = [
        (compute.on(device, copy.deepcopy(layer)).requires_grad_(False), shape)
        for layer, shape in convolutions(architecture)
    ]
    step = {"forwards": _forwards, "backwards": _backwards}[name]
    batches = [
        [(layer, torch.rand(size, *shape).to(memory_format=torch.channels_last)) for layer, shape in layers]
        for size in (min(batch, count - start) for start in range(0, count, batch))
    ]
    step(batches[0])

    def run() -> dict[str, float]:
        for work in batches * (STEPS + 1):
            step(work)
        return {"work": float(count)}

    return run


def _forwards(work: list[tuple[nn.Module, Tensor]]) -> None:
    for layer, images in work:
        for _ in range(3):
            layer(images)


def _backwards(work: list[tuple[nn.Module, Tensor]]) -> None:
    for layer, images in work:
        output = layer(images.requires_grad_())
        for again in (True, False):
            torch.autograd.grad(output, images, output.detach(), retain_graph=again)
