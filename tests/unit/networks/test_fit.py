"""A network from its first weights to its last, on sixty small images of three brightnesses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError, InputError, TrainingError
from defensive_distillation.networks.architectures import accuracy, build, predict, scale_output_layer
from defensive_distillation.networks.architectures.radial_basis import place
from defensive_distillation.networks.fit import Checkpoint, Fitted, fit
from defensive_distillation.networks.objectives.adversarial import Adversarial
from defensive_distillation.networks.objectives.contractive import Contractive
from defensive_distillation.networks.objectives.denoising import Denoising
from defensive_distillation.networks.training import train

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "architecture": "papernot_mnist",
    "temperature": 4.0,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.05,
    "momentum": 0.9,
    "decay": 0.5,
    "decay_epochs": 1,
    "minimum_progress": 0.0,
    "seed": 2**40 + 5,
    "device": CPU,
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    noise = torch.randint(0, 60, (60, 1, 16, 16), generator=generator)
    images = (noise + 80 * labels[:, None, None, None]).to(torch.uint8)
    return Dataset("brightness", ("dark", "middling", "bright"), images[:48], labels[:48], images[48:], labels[48:])


@pytest.fixture(scope="module")
def targets(dataset: Dataset) -> Tensor:
    return one_hot(dataset.train_labels, 3).float()


def stored(checkpoint: Checkpoint) -> Checkpoint:
    copies = [
        {name: value.clone() for name, value in part.items()} for part in (checkpoint.weights, checkpoint.velocity)
    ]
    return Checkpoint(*copies, [dict(epoch) for epoch in checkpoint.history])


@pytest.fixture(scope="module")
def whole(dataset: Dataset, targets: Tensor) -> tuple[Fitted, list[Checkpoint]]:
    """A training that is never stopped, and its checkpoints."""
    checkpoints: list[Checkpoint] = []
    fitted = fit(dataset, targets, **SETTINGS, on_epoch=lambda checkpoint: checkpoints.append(stored(checkpoint)))
    return fitted, checkpoints


def assert_same(found: Fitted, expected: Fitted) -> None:
    assert found.history == expected.history
    assert found.train_accuracy == expected.train_accuracy
    for name, value in expected.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value), name


def test_it_is_built_scaled_and_trained_from_its_seed(
    dataset: Dataset, targets: Tensor, whole: tuple[Fitted, list[Checkpoint]]
) -> None:
    model = build("papernot_mnist", 3, (1, 16, 16), seed=5)  # 2^40 + 5, as a seed of the first weights
    scale_output_layer(model, 3, 4.0**0.75)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    names = ("temperature", "epochs", "batch_size", "learning_rate", "momentum", "decay", "decay_epochs", "seed")
    settings = {name: SETTINGS[name] for name in names}
    history = []
    for result, _ in train(model, dataset.train_images, targets, **settings):
        logits = predict(model.eval(), dataset.test_images, batch_size=12, device=CPU)
        history.append((result.epoch, result.loss, result.train_accuracy, accuracy(logits, dataset.test_labels)))
    fitted, checkpoints = whole
    assert [tuple(epoch.values()) for epoch in fitted.history] == history
    assert list(fitted.history[0]) == ["epoch", "loss", "train_accuracy", "test_accuracy"]
    assert all(torch.equal(fitted.model.state_dict()[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in fitted.model.modules())
    logits = predict(model, dataset.train_images, batch_size=48, device=CPU)
    assert fitted.train_accuracy == accuracy(logits, dataset.train_labels)
    assert [list(checkpoint.history) for checkpoint in checkpoints] == [fitted.history[: n + 1] for n in range(3)]


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_training_that_is_resumed_ends_with_the_same_bytes(
    dataset: Dataset, targets: Tensor, whole: tuple[Fitted, list[Checkpoint]], stopped_after: int
) -> None:
    fitted, checkpoints = whole
    later: list[Checkpoint] = []
    resumed = fit(
        *(dataset, targets),
        **SETTINGS,
        resume=checkpoints[stopped_after - 1],
        on_epoch=lambda checkpoint: later.append(stored(checkpoint)),
    )
    assert_same(resumed, fitted)
    assert len(later) == 3 - stopped_after
    for ours, theirs in zip(later, checkpoints[stopped_after:], strict=True):
        assert ours.history == theirs.history
        assert set(ours.velocity) == set(theirs.velocity)
        assert all(torch.equal(ours.velocity[name], value) for name, value in theirs.velocity.items())


OBJECTIVES = {
    "adversarial": {"objective": Adversarial(epsilon=0.1, steps=2, step_size=0.5, random_start=True, warm_up=0.5)},
    "contractive": {"objective": Contractive(weight=0.01)},
    "denoising": {"architecture": "denoised:papernot_mnist", "objective": Denoising(noise=0.1, rate=0.1)},
    "radial basis": {"architecture": "rbf:6"},
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_training_with_an_objective_of_its_own_goes_on_with_the_same_bytes(
    dataset: Dataset, targets: Tensor, name: str
) -> None:
    def start(model: nn.Module) -> None:
        if name == "radial basis":
            place(model, dataset.train_images.float() / 255, dataset.train_labels, width=2.0, gain=3.0)

    settings = {**SETTINGS, "temperature": 1.0, **OBJECTIVES[name], "start": start}
    checkpoints: list[Checkpoint] = []
    whole = fit(dataset, targets, **settings, on_epoch=lambda checkpoint: checkpoints.append(stored(checkpoint)))
    assert whole.architecture == settings["architecture"]
    for stopped in checkpoints[:2]:
        assert_same(fit(dataset, targets, **settings, resume=stopped), whole)


def test_a_checkpoint_is_left_as_it_was(
    dataset: Dataset, targets: Tensor, whole: tuple[Fitted, list[Checkpoint]]
) -> None:
    before = stored(whole[1][0])
    fit(dataset, targets, **SETTINGS, resume=whole[1][0])
    after = whole[1][0]
    assert after.history == before.history
    for ours, theirs in ((after.weights, before.weights), (after.velocity, before.velocity)):
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_checkpoint_of_another_network_is_refused(dataset: Dataset, targets: Tensor) -> None:
    other = build("papernot_cifar10", 3, (1, 16, 16)).state_dict()
    with pytest.raises(ArtifactError, match=r"the checkpoint does not fit, remove it: .*\s.*size mismatch"):
        fit(dataset, targets, **SETTINGS, resume=Checkpoint(other, {}, []))


def test_an_architecture_that_does_not_exist_is_refused(dataset: Dataset, targets: Tensor) -> None:
    with pytest.raises(InputError, match="architecture: expected papernot_mnist"):
        fit(dataset, targets, **{**SETTINGS, "architecture": "papernot"})


def test_a_training_that_diverges_fails_and_names_the_knobs(dataset: Dataset, targets: Tensor) -> None:
    seen: list[Checkpoint] = []
    message = (
        r"at T = 4 diverged in epoch 1: expected a finite loss, got nan; lower learning_rate \(now 1e\+06\) or mom"
    )
    with pytest.raises(TrainingError, match=message):
        fit(dataset, targets, **{**SETTINGS, "learning_rate": 1e6}, on_epoch=seen.append)
    assert not seen, "no checkpoint of weights that are of no use"


def test_a_training_that_stays_near_chance_fails_and_names_the_knobs(dataset: Dataset, targets: Tensor) -> None:
    """A third of the images are of the largest class: half of the way from there to 1 is two thirds."""
    settings = {**SETTINGS, "epochs": 1, "learning_rate": 1e-9}
    message = r"T = 4 stayed near chance: expected an accuracy of at least 0\.667 .* raise epochs \(now 1\), or change "
    message += r"learning_rate \(now 1e-09\) or output_gain_exponent \(now 0\.75\); minimum_progress sets the bar"
    with pytest.raises(TrainingError, match=message):
        fit(dataset, targets, **{**settings, "minimum_progress": 0.5})
    assert fit(dataset, targets, **settings).train_accuracy < 2 / 3, "0 lets all pass"
