"""A network trained from its initial weights to its end, epoch by epoch, so that it can stop and go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError, TrainingError
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import build, predict, scale_output_layer
from defensive_distillation.networks.training import train

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on after an epoch."""

    weights: Mapping[str, Tensor]
    velocity: Mapping[str, Tensor]
    history: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Fitted:
    """A trained network."""

    model: nn.Module
    history: list[dict[str, Any]]
    train_accuracy: float


def fit(
    dataset: Dataset,
    targets: Tensor,
    *,
    architecture: str,
    temperature: float = 1.0,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    decay: float = 1.0,
    decay_epochs: int = 10,
    dropout: float = 0.5,
    output_gain_exponent: float = 0.75,
    mixed_precision: bool = False,
    minimum_progress: float = 0.1,
    seed: int,
    device: torch.device,
    resume: Checkpoint | None = None,
    on_epoch: Callable[[Checkpoint], None] | None = None,
) -> Fitted:
    """Trains a network on `targets` (N, K)."""
    model = build(architecture, dataset.num_classes, dataset.image_shape, dropout=dropout, seed=seed % 2**31)
    scale_output_layer(model, dataset.num_classes, temperature**output_gain_exponent)
    history: list[dict[str, Any]] = [dict(epoch) for epoch in resume.history] if resume else []
    if resume:
        try:
            model.load_state_dict(dict(resume.weights))
        except RuntimeError as error:
            raise ArtifactError(f"the checkpoint does not fit, remove it: {error}") from error
    model = compute.on(device, model)
    for result, buffers in train(
        model,
        dataset.train_images.to(device),
        targets.to(device),
        temperature=temperature,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        decay=decay,
        decay_epochs=decay_epochs,
        seed=seed,
        mixed_precision=mixed_precision,
        finished_epochs=len(history),
        velocity=resume.velocity if resume else {},
    ):
        if not math.isfinite(result.loss):
            raise TrainingError(
                f"training at T = {temperature:g} diverged in epoch {result.epoch}: expected a finite loss, got "
                f"{result.loss}; lower learning_rate (now {learning_rate:g}) or momentum (now {momentum:g})"
            )
        logits = predict(model.eval(), dataset.test_images, batch_size=EVALUATION_BATCH, device=device)
        history.append(
            {
                "epoch": result.epoch,
                "loss": result.loss,
                "train_accuracy": result.train_accuracy,
                "test_accuracy": float((logits.argmax(1) == dataset.test_labels).double().mean()),
            }
        )
        if on_epoch:
            on_epoch(Checkpoint(model.state_dict(), buffers, history))
    logits = predict(model.eval(), dataset.train_images, batch_size=EVALUATION_BATCH, device=device)
    train_accuracy = float((logits.argmax(1) == dataset.train_labels).double().mean())
    return Fitted(model, history, train_accuracy)
