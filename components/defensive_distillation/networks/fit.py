"""A network from its first weights to its last: built, trained on any targets, and checked to have learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError, TrainingError
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import accuracy, build, predict, scale_output_layer
from defensive_distillation.networks.objectives.objective import Objective
from defensive_distillation.networks.training import train

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on after an epoch.

    The tensors that `fit` hands out are those that the next epoch changes: store them before it goes on.
    """

    weights: Mapping[str, Tensor]  # the network's state, by name
    velocity: Mapping[str, Tensor]  # the momentum's buffers, by parameter name
    history: Sequence[Mapping[str, float]]  # of the epochs so far, see `Fitted`


@dataclass(frozen=True)
class Fitted:
    """A trained network."""

    model: nn.Module  # on the device, in evaluation mode
    architecture: str  # see `architectures.build`
    history: list[dict[str, Any]]  # one entry an epoch: epoch (from 1), loss, train_accuracy, test_accuracy
    train_accuracy: float  # after the last epoch, without dropout
    passes: int  # of the training images through the network, forward and backward


def fit(
    dataset: Dataset,
    targets: Tensor,
    *,
    architecture: str,
    objective: Objective | None = None,
    start: Callable[[nn.Module], None] | None = None,
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
    """Builds a network and trains it on the dataset's training images.

    A training that is resumed from a checkpoint ends with the same bytes as one that was never stopped.

    Args:
        dataset: of which the training images are learned; the test images are only looked at.
        targets: (N, K), rows sum to 1: soft labels, or one-hot hard labels.
        architecture: see `architectures.build`, as `dropout`.
        objective: see `training.train`.
        start: changes the first weights, before any training.
        temperature: see `training.train`, as all down to `decay_epochs`, and `mixed_precision`.
        epochs: passes over the training images in all.
        batch_size: images in a step.
        learning_rate: of the first epochs.
        momentum: of the first epochs.
        decay: factor on learning rate and momentum.
        decay_epochs: epochs between two decays.
        dropout: rate after the fully connected layers.
        output_gain_exponent: the first weights of the last layer are multiplied by T to this power.
        mixed_precision: computes the passes in bfloat16.
        minimum_progress: share of the way from chance to accuracy 1 that a training must cover; 0 lets all pass.
        seed: of the first weights, the order of the images, and the dropout.
        device: where to compute.
        resume: the training goes on from here.
        on_epoch: called after each epoch with the checkpoint, whose history includes that epoch.

    Raises:
        TrainingError: if the loss is no longer finite, or the accuracy stayed near chance.
        ArtifactError: for a checkpoint of another network.
        InputError: for an architecture that does not exist or does not take the images.
    """
    model = build(architecture, dataset.num_classes, dataset.image_shape, dropout=dropout, seed=seed % 2**31)
    scale_output_layer(model, dataset.num_classes, temperature**output_gain_exponent)
    if resume:
        _load(model, resume.weights)
    elif start:
        start(model)
    model = compute.on(device, model)
    history: list[dict[str, Any]] = [dict(epoch) for epoch in resume.history] if resume else []
    for result, velocity in train(
        model,
        dataset.train_images.to(device),
        targets.to(device),
        temperature=temperature,
        objective=objective,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        decay=decay,
        decay_epochs=decay_epochs,
        seed=seed,
        mixed_precision=mixed_precision,
        finished_epochs=len(history),
        velocity=resume.velocity if resume else None,
    ):
        if not math.isfinite(result.loss):
            raise TrainingError(
                f"training at T = {temperature:g} diverged in epoch {result.epoch}: expected a finite loss, got "
                f"{result.loss}; lower learning_rate (now {learning_rate:g}) or momentum (now {momentum:g})"
            )
        test_accuracy = _accuracy(model, dataset.test_images, dataset.test_labels, device)
        history.append({**asdict(result), "test_accuracy": test_accuracy})
        if on_epoch:
            on_epoch(Checkpoint(model.state_dict(), velocity, tuple(history)))
    train_accuracy = _accuracy(model, dataset.train_images, dataset.train_labels, device)
    least = _least_accuracy(dataset.train_labels, minimum_progress)
    if minimum_progress > 0 and train_accuracy < least:
        raise TrainingError(
            f"training at T = {temperature:g} stayed near chance: expected an accuracy of at least {least:.3f} "
            f"on the training images, got {train_accuracy:.3f}; raise epochs (now {epochs}), or change "
            f"learning_rate (now {learning_rate:g}) or output_gain_exponent (now "
            f"{output_gain_exponent:g}); minimum_progress sets the bar"
        )
    passes = epochs * (objective.passes if objective else 1)
    return Fitted(model, architecture, history, train_accuracy, passes)


def _load(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"the checkpoint does not fit, remove it: {error}") from error


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device) -> float:
    """Of the model in evaluation mode, in which it stays."""
    return accuracy(predict(model.eval(), images, batch_size=EVALUATION_BATCH, device=device), labels)


def _least_accuracy(labels: Tensor, progress: float) -> float:
    """The accuracy that covers `progress` of the way from chance, the share of the largest class, to 1."""
    chance = float(torch.bincount(labels).max()) / len(labels)
    return chance + progress * (1 - chance)
