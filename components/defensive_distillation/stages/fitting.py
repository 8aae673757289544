"""What the teacher's and the student's training have in common: checkpoints, curves, and the check that it worked."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.artifacts.tensors import pack, unpack, write_tensors
from defensive_distillation.config import TrainConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError, TrainingError
from defensive_distillation.evaluation.metrics import accuracy
from defensive_distillation.evaluation.results import Epoch
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import build, output_layer, predict, scale_output_layer
from defensive_distillation.networks.training import EpochResult, train
from defensive_distillation.runtime.stage import Result, Task
from defensive_distillation.runtime.stopwatch import timed
from defensive_distillation.tracking.recording import Recorder
from defensive_distillation.tracking.records import curve

C = TypeVar("C", bound=TrainConfig)
CHECKPOINT = "checkpoint.safetensors"
EVALUATION_BATCH = 500
LOG_INTERVAL = 10.0  # seconds between two records of a training's epochs


def fit(
    task: Task[C], dataset: Dataset, targets: Tensor, *, role: str, teacher_training: list[dict[str, Any]]
) -> Result:
    """Trains a network on `targets` (N, K), from the last checkpoint if there is one.

    Raises:
        TrainingError: if the loss is no longer finite, or the accuracy stayed near chance.
    """
    config = task.config
    device = compute.device(config.device, config.training_threads, tf32=config.tf32)
    seed = seeds.derive(config.seed, config.stage, config.temperature)
    model = build(
        config.architecture, dataset.num_classes, dataset.image_shape, dropout=config.dropout, seed=seed % 2**31
    )
    scale_output_layer(model, dataset.num_classes, config.temperature**config.output_gain_exponent)
    history, velocity = _restore(task, model)
    model = compute.on(device, model)
    images, labels = dataset.train_images.to(device), targets.to(device)
    task.progress.update(len(history), config.epochs, "epochs")
    log = EpochLog(task.tracker, task.label, prefix(task))
    for result, buffers in train(
        model,
        images,
        labels,
        temperature=config.temperature,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        decay=config.decay,
        decay_epochs=config.decay_epochs,
        seed=seed,
        mixed_precision=config.mixed_precision,
        finished_epochs=len(history),
        velocity=velocity,
    ):
        _require_finite(result, config)
        logits = _logits(model, dataset.test_images, device)
        history.append(
            {
                "epoch": result.epoch,
                "loss": result.loss,
                "train_accuracy": result.train_accuracy,
                "test_accuracy": accuracy(logits, dataset.test_labels),
            }
        )
        _save(task, model, buffers, history)
        log.add(history)
        task.progress.update(result.epoch, config.epochs, "epochs")
    train_accuracy = accuracy(_logits(model, dataset.train_images, device), dataset.train_labels)
    _require_progress(train_accuracy, dataset, config)
    facts = {
        "role": role,
        "architecture": config.architecture,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "output_layer": output_layer(model, dataset.num_classes),
        "dropout": config.dropout,
        "temperature": config.temperature,
        "training": history,
        "teacher_training": teacher_training,
        "train_accuracy": train_accuracy,
        "test_accuracy": history[-1]["test_accuracy"],
    }
    return Result(facts, lambda folder: write_tensors(folder, model.state_dict()))


def _logits(model: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    return predict(model.eval(), images, batch_size=EVALUATION_BATCH, device=device)


def _save(task: Task[C], model: nn.Module, buffers: Mapping[str, Tensor], history: list[dict[str, Any]]) -> None:
    tensors = {f"weights.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"velocity.{name}": value for name, value in buffers.items()}
    task.work.write(CHECKPOINT, pack({**tensors, "history": _as_bytes(history)}))


def _restore(task: Task[C], model: nn.Module) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Loads the last checkpoint into `model`; the epochs behind it, and the momentum's buffers."""
    content = task.work.read(CHECKPOINT)
    if content is None:
        return [], {}
    tensors = unpack(content, f"{task.work.location}/{CHECKPOINT}")
    history: list[dict[str, Any]] = json.loads(bytes(tensors.pop("history").tolist()))
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "velocity": {}}
    for name, tensor in tensors.items():
        part, _, parameter = name.partition(".")
        parts[part][parameter] = tensor
    try:
        model.load_state_dict(parts["weights"])
    except RuntimeError as error:
        raise ArtifactError(f"{task.work.location}: the checkpoint does not fit, remove it: {error}") from error
    return history, parts["velocity"]


def _as_bytes(history: list[dict[str, Any]]) -> Tensor:
    return torch.tensor(list(json.dumps(history).encode()), dtype=torch.uint8)


def _require_finite(result: EpochResult, config: TrainConfig) -> None:
    if not math.isfinite(result.loss):
        raise TrainingError(
            f"training at T = {config.temperature:g} diverged in epoch {result.epoch}: expected a finite loss, got "
            f"{result.loss}; lower learning_rate (now {config.learning_rate:g}) or momentum (now {config.momentum:g})"
        )


def _require_progress(train_accuracy: float, dataset: Dataset, config: TrainConfig) -> None:
    chance = float(torch.bincount(dataset.train_labels).max()) / len(dataset.train_labels)
    least = chance + config.minimum_progress * (1 - chance)
    if config.minimum_progress > 0 and train_accuracy < least:
        raise TrainingError(
            f"training at T = {config.temperature:g} stayed near chance: expected an accuracy of at least {least:.3f} "
            f"on the training images, got {train_accuracy:.3f}; raise epochs (now {config.epochs}), or change "
            f"learning_rate (now {config.learning_rate:g}) or output_gain_exponent (now "
            f"{config.output_gain_exponent:g}); minimum_progress sets the bar"
        )


def prefix(task: Task[C]) -> str:
    """Curves of the network that is attacked have plain names, those of its teacher begin with 'teacher_'."""
    return "teacher_" if task.config.stage == "train_teacher" and task.label != "baseline" else ""


class EpochLog:
    """Epochs on their way to MLflow: the first at once, those that follow in batches; `record` brings the last."""

    def __init__(self, recorder: Recorder | None, label: str, head: str) -> None:
        self._recorder = recorder
        self._label = label
        self._head = head
        self._logged: int | None = None  # epochs, from the last of an earlier start on
        self._at = 0.0

    @timed("recording")
    def add(self, history: list[dict[str, Any]]) -> None:
        """Logs what `history` has that is not logged yet, unless that was done a moment ago."""
        if self._recorder is None or time.monotonic() - self._at < LOG_INTERVAL:
            return
        first = len(history) - 1 if self._logged is None else self._logged
        rows = curve([Epoch(**epoch) for epoch in history[first:]], self._head)
        self._recorder.model_run(self._label).curves(rows, first_step=history[first]["epoch"])
        self._logged, self._at = len(history), time.monotonic()


def record(task: Task[C], artifact: Any) -> None:
    """Records a training in MLflow: parameters, and whatever part of the curves is not there yet."""
    assert task.tracker is not None
    run = task.tracker.model_run(task.label)
    head = prefix(task)
    settings = task.config.model_dump(mode="json", exclude={"temperature", "baseline_threads"})
    settings["threads"] = task.config.training_threads
    run.params({"temperature": task.config.temperature, "distilled": task.label != "baseline"})
    # the models' runs have the same parameters, so the settings of all teachers stand on the sweep's
    place, section = (
        (task.tracker.sweep_run(), "train_teacher") if head and not task.tracker.rerun else (run, "training")
    )
    place.params({f"{section}.{key}": value for key, value in settings.items()})
    run.curves(curve([Epoch(**epoch) for epoch in artifact.facts["training"]], head))
