"""How a training is kept so that it goes on after a kill, and told of while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from defensive_distillation.artifacts.tensors import pack, unpack
from defensive_distillation.config import TrainConfig
from defensive_distillation.networks.fit import Checkpoint
from defensive_distillation.runtime.stage import Task
from defensive_distillation.runtime.stopwatch import phase
from defensive_distillation.tracking import INTERVAL


def resumable(task: Task[Any], name: str = "") -> dict[str, Any]:
    """The arguments `resume` and `on_epoch` of `fit`: a training called `name` goes on from its last epoch."""
    file = f"checkpoint{name and '-' + name}.safetensors"
    resume = _read(task, file)
    config: TrainConfig = task.config
    task.progress.update(len(resume.history) if resume else 0, config.epochs, "epochs")
    return {"resume": resume, "on_epoch": _told(task, file)}


def _told(task: Task[Any], file: str) -> Callable[[Checkpoint], None]:
    recorded = -INTERVAL

    def on_epoch(checkpoint: Checkpoint) -> None:
        nonlocal recorded
        history = list(checkpoint.history)
        task.work.write(file, _packed(checkpoint))
        task.progress.update(len(history), task.config.epochs, "epochs", history=history)
        if task.recorder is not None and task.model is not None and time.monotonic() - recorded >= INTERVAL:
            with phase("recording"):
                task.recorder.epochs(task.model, history)
            recorded = time.monotonic()

    return on_epoch


def _packed(checkpoint: Checkpoint) -> bytes:
    tensors = {f"weights.{name}": value for name, value in checkpoint.weights.items()}
    tensors |= {f"velocity.{name}": value for name, value in checkpoint.velocity.items()}
    history = torch.tensor(list(json.dumps(list(checkpoint.history)).encode()), dtype=torch.uint8)
    return pack({**tensors, "history": history})


def _read(task: Task[Any], file: str) -> Checkpoint | None:
    content = task.work.read(file)
    if content is None:
        return None
    tensors = unpack(content, f"{task.work.location}/{file}")
    history: list[Mapping[str, float]] = json.loads(bytes(tensors.pop("history").tolist()))
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "velocity": {}}
    for name, tensor in tensors.items():
        part, _, parameter = name.partition(".")
        parts[part][parameter] = tensor
    return Checkpoint(parts["weights"], parts["velocity"], history)
