"""Evaluations for the tests of the report, after the numbers measured on real MNIST (see the README)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from defensive_distillation.evaluation import AttackFindings, DatasetFacts, Epoch, Evaluation, Gradients
from defensive_distillation.reporting import Grid

DIGITS = tuple("0123456789")
MNIST = DatasetFacts(
    name="mnist", digest="5e" * 32, classes=DIGITS, image_shape=(1, 28, 28), train_images=10_000, test_images=10_000
)
CIFAR10 = DatasetFacts(
    name="cifar10",
    digest="c1" * 32,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
)


def wilson(successes: int, pairs: int) -> tuple[float, float]:
    """Wilson's 95 % score interval, as in the textbook."""
    z, p = 1.959963984540054, successes / pairs
    centre = (p + z * z / (2 * pairs)) / (1 + z * z / pairs)
    half = z / (1 + z * z / pairs) * sqrt(p * (1 - p) / pairs + z * z / (4 * pairs * pairs))
    return max(0.0, centre - half), min(1.0, centre + half)


def attack(
    output: str,
    successes: int,
    pairs: int = 180,
    *,
    temperature: float = 1.0,
    zero_gradient: int = 0,
    features: int = 784,
    changed: float = 38.0,
    max_features: int = 112,
) -> AttackFindings:
    budgets = tuple(range(0, max_features + 1, 4))
    rate = successes / pairs
    curve = tuple(rate * min(1.0, budget / max_features) ** 0.6 for budget in budgets)
    failures = 1 - rate
    return AttackFindings(
        attack="jsma",
        output=output,
        temperature=temperature,
        max_features=max_features,
        theta=1.0,
        pairs=pairs,
        successes=successes,
        success_rate=rate,
        success_interval=wilson(successes, pairs),
        mean_changed_features=changed if successes else None,
        mean_distortion=changed / features if successes else None,
        stop_reasons={
            "success": successes,
            "zero_gradient": zero_gradient,
            "budget": pairs - successes - zero_gradient,
            "no_pair": 0,
        },
        robustness=(rate * changed + failures * max_features) / features,
        robustness_failures=failures,
        budgets=budgets,
        success_by_budget=curve,
    )


def gradients(temperature: float, zero32: float, zero64: float, samples: int = 10_000) -> Gradients:
    """Amplitudes for which the share `zero32` lies below 1e-40 and the rest in the upper bins."""
    below = round(zero32 * samples)
    rest = samples - below
    middle = [rest // 20] * 7 if zero32 else [0, 0, 0, 0, 0, rest // 200, rest // 50]
    upper = (rest - sum(middle)) // 2
    counts = (below, *middle, upper, rest - sum(middle) - upper)
    return Gradients(
        temperature=temperature,
        samples=samples,
        amplitude_counts=counts,
        zero_share_float32=zero32,
        zero_share_float64=zero64,
        median_log10_amplitude=-60.0 if zero32 > 0.5 else -3.2,
    )


def epochs(last: float, *, number: int = 12, loss: float = 1.9) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            epoch=step,
            loss=loss * 0.72**step + 0.03,
            train_accuracy=last + 0.005 - 0.6 * 0.5**step,
            test_accuracy=last - 0.6 * 0.5**step,
        )
        for step in range(1, number + 1)
    )


def evaluation(
    temperature: float | None,
    *,
    probabilities: int | None,
    logits: int | None,
    scaled: int | None,
    accuracy: float = 0.968,
    logit: float = 5.8,
    zero32: float = 0.0,
    zero64: float = 0.0,
    pairs: int = 180,
    dataset: DatasetFacts = MNIST,
    confidence: float = 0.95,
    zero_gradient: int = 0,
    number_of_epochs: int = 12,
) -> Evaluation:
    """One model: `temperature` None is the network without distillation; an output of None was not attacked."""
    trained_at = 1.0 if temperature is None else temperature
    features = dataset.image_shape[0] * dataset.image_shape[1] * dataset.image_shape[2]
    attacks = []
    for output, successes in (("probabilities", probabilities), ("logits", logits), ("scaled", scaled)):
        if successes is not None:
            attacks.append(
                attack(
                    output,
                    successes,
                    pairs,
                    temperature=trained_at if output == "scaled" else 1.0,
                    zero_gradient=zero_gradient if output == "probabilities" else 0,
                    features=features,
                )
            )
    return Evaluation(
        name="baseline" if temperature is None else f"T={temperature:g}",
        distilled=temperature is not None,
        temperature=trained_at,
        architecture="papernot_mnist" if dataset.image_shape[0] == 1 else "papernot_cifar10",
        seed=0,
        dataset=dataset,
        accuracy=accuracy,
        train_accuracy=min(1.0, accuracy + 0.005),
        confidence=confidence,
        mean_absolute_logit=logit,
        training=epochs(accuracy, number=number_of_epochs),
        teacher_training=() if temperature is None else epochs(accuracy - 0.004, loss=2.3, number=number_of_epochs),
        gradients_at_1=gradients(1.0, zero32, zero64),
        gradients_at_temperature=gradients(trained_at, 0.0, 0.0),
        attacks=tuple(attacks),
    )


def measured(dataset: DatasetFacts = MNIST) -> list[Evaluation]:
    """Baseline, T = 20 and T = 100 as measured on real MNIST, in an order that means nothing."""
    return [
        evaluation(
            100,
            probabilities=1,
            logits=137,
            scaled=165,
            accuracy=0.951,
            logit=482.0,
            zero32=0.96,
            zero64=0.71,
            zero_gradient=179,
            confidence=0.941,
            dataset=dataset,
        ),
        evaluation(None, probabilities=153, logits=131, scaled=153, accuracy=0.987, confidence=0.975, dataset=dataset),
        evaluation(
            20,
            probabilities=3,
            logits=134,
            scaled=162,
            accuracy=0.968,
            logit=101.0,
            zero32=0.42,
            zero64=0.02,
            zero_gradient=175,
            confidence=0.962,
            dataset=dataset,
        ),
    ]


def sweep(dataset: DatasetFacts = MNIST) -> list[Evaluation]:
    """The paper's ten models."""
    temperatures = (1, 2, 5, 10, 20, 30, 40, 50, 100)
    on_probabilities = (160, 142, 60, 14, 3, 3, 2, 2, 1)
    models = [
        evaluation(
            t,
            probabilities=hit,
            logits=128 + step,
            scaled=hit if t == 1 else 156 + step,
            accuracy=0.988 - 0.0003 * t,
            logit=5.8 * t**0.96,
            zero32=max(0.0, 0.97 - 9.0 / t) if t > 5 else 0.0,
            zero64=max(0.0, 0.75 - 20.0 / t) if t > 20 else 0.0,
            zero_gradient=170 - hit if t > 5 else 0,
            confidence=0.96 + 0.0001 * t,
            dataset=dataset,
            number_of_epochs=50,
        )
        for step, (t, hit) in enumerate(zip(temperatures, on_probabilities, strict=True))
    ]
    baseline = evaluation(
        None, probabilities=153, logits=131, scaled=153, accuracy=0.987, dataset=dataset, number_of_epochs=50
    )
    return [baseline, *models]


def grid(
    classes: Sequence[str] = DIGITS,
    *,
    shape: tuple[int, int, int] = (1, 28, 28),
    rate: float = 0.8,
    seed: int = 0,
) -> Grid:
    """Random strokes: noise that compresses about as badly as photographs do."""
    random, total = np.random.default_rng(seed), len(classes)
    channels, height, width = shape
    coarse = random.integers(0, 256, (total, total, channels, -(-height // 4), -(-width // 4)), dtype=np.int64)
    smooth = coarse.repeat(4, axis=3).repeat(4, axis=4)[..., :height, :width]
    noise = random.integers(-40, 40, (total, total, *shape))
    images = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return Grid(
        images=images,
        success=random.random((total, total)) < rate,
        present=np.ones((total, total), dtype=np.bool_),
        classes=tuple(classes),
    )


def grids(evaluations: Sequence[Evaluation]) -> Mapping[str, Mapping[str, Grid]]:
    return {
        found.name: {
            made.output: grid(
                found.dataset.classes, shape=found.dataset.image_shape, rate=made.success_rate, seed=number
            )
            for number, made in enumerate(found.attacks)
        }
        for found in evaluations
    }
