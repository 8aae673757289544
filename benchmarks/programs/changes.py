"""What each change brought to JSMA and to training: the paper's network from PyTorch's own layers to ours, by steps.

Every step keeps those before it. The network computes the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.work import CLASSES, MAX_FEATURES, SHAPES, network, pairs, plain
from defensive_distillation.attacks import jsma
from defensive_distillation.networks import compute
from defensive_distillation.networks.kernels.convolution import InputConvolution
from defensive_distillation.networks.training import train

ARCHITECTURE = "papernot_mnist"
STEPS = {
    "own": "PyTorch's own layers in the order of Table I",
    "layout": "+ channels last",
    "first": "+ our backward pass of the first convolution",
    "pooled": "+ rectified after pooling, in place",
    "kept": "+ freed memory kept for the next operator",
    "frozen": "+ no gradients of the weights",
    "remembered": "+ what two pixels do not change is remembered",
}
PAIRS, IMAGES, BATCH = 64, 512, 32


def prepare(name: str, *, kind: str, profiled: bool = False) -> Callable[[], dict[str, float]]:
    """The step `name` of `kind`, jsma or training; `profiled` adds the milliseconds of each operator."""
    run = {"jsma": _jsma, "training": _training}[kind](name)
    run()

    def profiling() -> dict[str, float]:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            counted = run()
        spent = {event.key: event.self_cpu_time_total / 1e3 for event in found.key_averages()}
        return {**counted, **{f"op {operator}": milliseconds for operator, milliseconds in spent.items()}}

    return profiling if profiled else run


def _model(name: str) -> nn.Module:
    changes = list(STEPS)[: list(STEPS).index(name) + 1]
    ours = network(ARCHITECTURE).requires_grad_("frozen" not in changes)
    if "kept" in changes:
        compute.keep_memory()
    if "pooled" in changes:
        return compute.on(torch.device("cpu"), ours)
    made = plain(ours)
    assert isinstance(made, nn.Sequential)
    if "first" in changes:
        library = made[0]
        assert isinstance(library, nn.Conv2d)
        first = InputConvolution(SHAPES[ARCHITECTURE][0], library.out_channels, 3)
        first.load_state_dict(library.state_dict())
        made[0] = first
    return made if name == "own" else compute.on(torch.device("cpu"), made)


class _AsItIs(nn.Module):
    """A network that is no sequence, to which an attack would give a form of its own, and remember what it said."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.network(images)
        return logits


def _jsma(name: str) -> Callable[[], dict[str, float]]:
    model = (_model(name) if name == "remembered" else _AsItIs(_model(name))).eval()
    images, targets = pairs(ARCHITECTURE, PAIRS)

    def run() -> dict[str, float]:
        jsma(model, images, targets, max_features=MAX_FEATURES, output="logits", batch_size=PAIRS)
        return {"work": float(PAIRS)}

    return run


def _training(name: str) -> Callable[[], dict[str, float]]:
    model = _model(name)
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (IMAGES, *SHAPES[ARCHITECTURE]), dtype=torch.uint8, generator=generator)
    labels = torch.eye(CLASSES)[torch.arange(IMAGES) % CLASSES]

    def run() -> dict[str, float]:
        # class 0's bias makes its loss large; a small step keeps every number finite
        for _ in train(
            model, images, labels, temperature=20.0, epochs=1, batch_size=BATCH, learning_rate=1e-6, momentum=0.5
        ):
            pass
        return {"work": float(IMAGES)}

    return run
