"""One epoch at batch 128 by every loop: work is images. Dropout, momentum and the data's random order are the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.work import CLASSES, SHAPES, plain
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input, build
from defensive_distillation.networks.softmax import soft_cross_entropy
from defensive_distillation.networks.training import train

BATCH, RATE, MOMENTUM = 128, 0.1, 0.5


def prepare(name: str, *, architecture: str, count: int, device: str = "cpu") -> Callable[[], dict[str, float]]:
    """The loop `name` over `count` random images, warmed up on two batches."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (count, *SHAPES[architecture]), dtype=torch.uint8, generator=generator)
    labels = torch.eye(CLASSES)[torch.arange(count) % CLASSES]
    loop = {
        "ours": lambda: _ours(architecture),
        "bare": lambda: _bare(architecture),
        "plain": lambda: _plain(architecture, device),
        "lightning": lambda: _lightning(architecture, device),
    }[name]()
    loop(images[: 2 * BATCH], labels[: 2 * BATCH])
    steps = _Steps()

    def run() -> dict[str, float]:
        steps.seconds, start = 0.0, time.process_time()
        loop(images, labels)
        return {"work": float(count), "outside": 1 - steps.seconds / (time.process_time() - start)}

    return run


class _Steps:
    """Processor seconds from the begin of each forward pass to the end of the optimiser's step after it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0
        nn.modules.module.register_module_forward_pre_hook(self._forward)
        register_optimizer_step_post_hook(self._stepped)

    def _forward(self, module: nn.Module, _: object) -> None:
        if isinstance(module, nn.Sequential):  # the network, not its layers
            self._start = time.process_time()

    def _stepped(self, *_: object) -> None:
        self.seconds += time.process_time() - self._start


def _ours(architecture: str) -> Callable[[Tensor, Tensor], None]:
    model = compute.on(compute.device("cpu", 1), build(architecture, CLASSES, SHAPES[architecture]))

    def loop(images: Tensor, labels: Tensor) -> None:
        options: dict[str, Any] = {"batch_size": BATCH, "learning_rate": RATE, "momentum": MOMENTUM}
        for _ in train(model, images, labels, temperature=20.0, epochs=1, **options):
            pass

    return loop


def _bare(architecture: str) -> Callable[[Tensor, Tensor], None]:
    """Forward, backward and step on one batch that is there already: what no loop can beat with the same kernels."""
    model = compute.on(compute.device("cpu", 1), build(architecture, CLASSES, SHAPES[architecture]))
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)

    def loop(images: Tensor, labels: Tensor) -> None:
        x, y = as_input(images[:BATCH]).to(memory_format=torch.channels_last), labels[:BATCH]
        for _ in range(-(-len(images) // BATCH)):
            loss = soft_cross_entropy(model(x), y, 20.0)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    return loop


def _plain(architecture: str, device: str) -> Callable[[Tensor, Tensor], None]:
    """The loop of PyTorch's tutorials: DataLoader, its own layers, as they come."""
    model = plain(build(architecture, CLASSES, SHAPES[architecture])).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)

    def loop(images: Tensor, labels: Tensor) -> None:
        for batch in _loader(images, labels):
            x, y = (each.to(device) for each in batch)
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x) / 20.0, y)
            loss.backward()
            optimiser.step()

    return loop


def _lightning(architecture: str, device: str) -> Callable[[Tensor, Tensor], None]:
    import logging

    import lightning

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = plain(build(architecture, CLASSES, SHAPES[architecture]))

        def training_step(self, batch: Any, _: int) -> Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.model(x) / 20.0, y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    module = Module()

    def loop(images: Tensor, labels: Tensor) -> None:
        lightning.Trainer(max_epochs=1, accelerator="cpu" if device == "cpu" else "gpu", **quiet).fit(
            module, _loader(images, labels)
        )

    return loop


def _loader(images: Tensor, labels: Tensor) -> Any:
    dataset = torch.utils.data.TensorDataset(as_input(images), labels)
    return torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
