"""Evaluations for the tests of the report, after the numbers measured on real MNIST (see the README)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from defensive_distillation.defenses import distillation
from defensive_distillation.evaluation.results import (
    AttackFindings,
    BoundedFindings,
    Case,
    Condition,
    DatasetFacts,
    DistanceFindings,
    Epoch,
    Evaluation,
    Gradients,
    Masking,
    RobustAccuracy,
    TransferFindings,
    WorstCase,
)
from defensive_distillation.evaluation.verdict import masking
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.reporting import Examples, Grid

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
    kind: str = "jsma",
) -> AttackFindings:
    budgets = tuple(range(0, max_features + 1, 4))
    rate = successes / pairs
    curve = tuple(rate * min(1.0, budget / max_features) ** 0.6 for budget in budgets)
    failures = 1 - rate
    return AttackFindings(
        attack=kind,
        output=output,
        temperature=temperature,
        max_features=max_features,
        theta=-1.0 if kind == "jsma_decreasing" else 1.0,
        sources=pairs if kind == "jsma_untargeted" else max(1, pairs // 9),
        misclassified=MISCLASSIFIED,
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
    conditions: Sequence[Condition] = (),
    control: bool = False,
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
        model=BASELINE
        if temperature is None
        else (distillation.control if control else distillation.student)(trained_at),
        architecture="papernot_mnist" if dataset.image_shape[0] == 1 else "papernot_cifar10",
        seed=0,
        dataset=dataset,
        accuracy=accuracy,
        train_accuracy=min(1.0, accuracy + 0.005),
        confidence=confidence,
        mean_absolute_logit=logit,
        training=epochs(accuracy, number=number_of_epochs),
        teacher_training=()
        if temperature is None or control
        else epochs(accuracy - 0.004, loss=2.3, number=number_of_epochs),
        gradients_at_1=gradients(1.0, zero32, zero64),
        gradients_at_temperature=gradients(trained_at, 0.0, 0.0),
        attacks=tuple(attacks),
        conditions=tuple(conditions),
        masking=judged(probabilities, scaled, pairs, conditions, same=trained_at == 1 and not control),
    )


def judged(
    probabilities: int | None,
    scaled: int | None,
    pairs: int,
    conditions: Sequence[Condition] = (),
    *,
    same: bool = False,
) -> Masking:
    """The rule's verdict if every pair that the weaker attack fools is fooled by the stronger one too."""
    first = probabilities if same else scaled
    if probabilities is None or first is None:
        return masking.judge(None, conditions, same=same)
    both = min(probabilities, first)
    counts = (both, first - both, probabilities - both, pairs - max(probabilities, first))
    return masking.judge(counts, conditions, same=same)


RADII = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
MISCLASSIFIED = 3  # of the attacked images


def bounded(name: str, shares: Sequence[float], samples: int = 100, *, zero: float = 0.0) -> BoundedFindings:
    """An attack called 'pgd/margin' and so on, by its shares at `RADII`."""
    attack_, _, loss = name.partition("/")
    hits = tuple(round(share * samples) for share in shares)
    stopped = round(zero * samples)
    return BoundedFindings(
        attack=attack_,
        loss=loss or "none",
        sources=samples,
        misclassified=MISCLASSIFIED,
        epsilons=RADII[: len(shares)],
        successes=hits,
        success_by_epsilon=tuple(max(hits[: place + 1]) / samples for place in range(len(hits))),
        stop_reasons={"success": hits[-1], "zero_gradient": stopped, "budget": samples - hits[-1] - stopped},
        gradient_evaluations=0.0 if attack_ in ("square", "noise") else 1.0 if attack_ == "fgsm" else 37.5,
    )


def robust(*right: int) -> RobustAccuracy:
    """Of 103 images 3 misclassified, and `right` robust at each of `RADII`."""
    samples = 100 + MISCLASSIFIED
    return RobustAccuracy(
        samples=samples,
        misclassified=MISCLASSIFIED,
        epsilons=RADII,
        right=right,
        fooled=tuple(100 - number for number in right),
        accuracy=tuple(number / samples for number in right),
        intervals=tuple(wilson(number, samples) for number in right),
    )


def distances(
    attack_: str, best: float, average: float, worst: float, *, pairs: int = 90, successes: int | None = None
) -> DistanceFindings:
    """An attack of Carlini and Wagner that reaches every target, unless told otherwise."""
    hits = pairs if successes is None else successes
    rate = hits / pairs
    return DistanceFindings(
        attack=attack_,
        norm=attack_.removeprefix("cw_"),
        sources=pairs // 9,
        misclassified=MISCLASSIFIED,
        in_eight_bits=0.524 if hits else None,
        pairs=pairs,
        successes=hits,
        success_rate=rate,
        success_interval=wilson(hits, pairs),
        best=Case(success_rate=1.0 if hits else 0.0, mean_distance=best if hits else None),
        average=Case(success_rate=rate, mean_distance=average if hits else None),
        worst=Case(success_rate=float(hits == pairs), mean_distance=worst if hits else None),
        stop_reasons={"success": hits, "budget": pairs - hits},
        gradient_evaluations=5_400.0 if attack_ == "cw_l2" else 21_000.0,
    )


CONDITION_NAMES = ("iterated", "black_box", "transfer", "noise", "unbounded", "monotone")


def conditions(*failed: str) -> tuple[Condition, ...]:
    """All twelve; those that are named as 'naive unbounded' fail."""
    return tuple(
        Condition(
            name=name,
            attacker=attacker,  # type: ignore[arg-type]
            passed=f"{attacker} {name}" not in failed,
            sentence=f"{name} of the {attacker} attacker: 12 of 100 samples against 97 of 100",
            meaning=""
            if f"{attacker} {name}" not in failed
            else "the gradients are masked"
            if attacker == "naive"
            else "the attack is broken",
        )
        for attacker in ("naive", "adaptive")
        for name in CONDITION_NAMES
    )


def with_suite(
    found: Evaluation, *, masked: float, farther: float = 1.0, failed: Sequence[str] = (), missed: int = 0
) -> Evaluation:
    """`found` under every attack.

    Args:
        found: an evaluation of JSMA alone.
        masked: share of the samples whose gradient of the softmax at T = 1 is zero.
        farther: how many times as far C&W must go as on the undistilled network.
        failed: conditions that fail, as 'naive unbounded'.
        missed: pairs that C&W's L0 attack does not fool.
    """
    open_, size = 1 - masked, found.attacks[0].pairs
    scaled = found.attack("scaled")
    ran = conditions(*failed)
    suite = (
        bounded("fgsm/cross_entropy", [open_ * share for share in (0.04, 0.2, 0.6, 0.8, 0.85, 0.9)]),
        bounded("pgd/cross_entropy", [open_ * share for share in (0.05, 0.4, 0.95, 1, 1, 1)], zero=masked),
        bounded("fgsm/margin", (0.04, 0.19, 0.55, 0.75, 0.84, 0.9)),
        bounded("pgd/margin", (0.06, 0.42, 0.96, 1, 1, 1)),
        bounded("pgd/scaled", (0.05, 0.4, 0.95, 1, 1, 1)),
        bounded("square/margin", (0.03, 0.2, 0.75, 0.97, 1, 1)),
        bounded("noise", (0.0, 0.01, 0.02, 0.04, 0.2, 0.6)),
    )
    plain = found.attack("probabilities")
    return found.model_copy(
        update={
            "attacks": (
                *found.attacks,
                attack("scaled", 60, size, temperature=found.temperature, kind="jsma_decreasing"),
                attack("scaled", 20, size // 9, temperature=found.temperature, kind="jsma_untargeted"),
            ),
            "bounded": suite,
            "distances": (
                distances("cw_l2", 1.21 * farther, 1.87 * farther, 2.55 * farther),
                distances("cw_l0", 9.4 * farther, 16.2 * farther, 24.8 * farther, successes=90 - missed),
                distances("cw_linf", 0.131 * farther, 0.177 * farther, 0.216 * farther),
            ),
            "transfer": TransferFindings(
                surrogate="baseline",
                sources=90,
                misclassified=MISCLASSIFIED,
                confidences=(0.0, 5.0, 10.0, 20.0),
                successes=(9, 31, 58, 74),
                surrogate_successes=(90, 90, 90, 88),
                mean_l2=(1.9, 2.3, 2.8, 3.9),
            )
            if found.defended
            else None,
            "worst_case": WorstCase(
                attacks=(
                    "jsma/probabilities",
                    "jsma/scaled",
                    "pgd/margin",
                    "cw_l2",
                    "cw_l0",
                    "cw_linf",
                    "square/margin",
                ),
                sources=10,
                fooled=10,
                mean_l0=7.1 * farther,
                mean_l2=1.1 * farther,
                mean_linf=0.11 * farther,
                nearest={"cw_l2": 9, "cw_l0": 0, "pgd/margin": 1},
            ),
            "robust": robust(90, 50, 0, 0, 0, 0),
            "conditions": ran,
            "masking": judged(
                plain.successes if plain else None,
                scaled.successes if scaled else None,
                size,
                ran,
                same=found.temperature == 1,
            ),
        }
    )


def control(temperature: float, *, probabilities: int = 3, zero32: float = 0.5) -> Evaluation:
    """The undistilled network of `measured` with its logits multiplied by T."""
    return evaluation(
        temperature,
        probabilities=probabilities,
        logits=131,
        scaled=153,
        accuracy=0.987,
        logit=5.8 * temperature,
        zero32=zero32,
        zero64=zero32 / 2,
        zero_gradient=170,
        control=True,
    )


NAIVE_FAILURES = ("naive iterated", "naive black_box", "naive unbounded")


def complete() -> list[Evaluation]:
    """`measured` and its controls under every attack; one adaptive condition fails, and C&W's L0 misses a pair."""
    cold, baseline, warm = measured()
    return [
        with_suite(cold, masked=0.96, farther=1.25, failed=NAIVE_FAILURES),
        with_suite(control(100, probabilities=2, zero32=0.94), masked=0.94, failed=NAIVE_FAILURES),
        with_suite(baseline, masked=0.0),
        with_suite(control(20), masked=0.6, failed=NAIVE_FAILURES[:1]),
        with_suite(warm, masked=0.5, farther=1.1, failed=("naive unbounded", "adaptive iterated"), missed=1),
    ]


EXAMPLE_ATTACKS = (
    *("jsma/probabilities", "jsma/logits", "jsma/scaled", "jsma_decreasing/scaled", "jsma_untargeted/scaled"),
    *("fgsm/cross_entropy", "fgsm/margin", "pgd/cross_entropy", "pgd/margin", "cw_l2", "cw_l0", "cw_linf"),
    *("square/margin", "transfer", "noise"),
)


def examples(
    labels: Sequence[str] = DIGITS,
    *,
    shape: tuple[int, int, int] = (1, 28, 28),
    attacks: Sequence[str] = EXAMPLE_ATTACKS,
    seed: int = 0,
) -> Examples:
    """Strokes under every attack; naive attacks and noise fail."""
    made = grid(labels, shape=shape, seed=seed)
    originals = made.images[0]
    random = np.random.default_rng(seed)
    images = np.stack(
        [np.clip(originals + random.integers(-30, 30, originals.shape), 0, 255).astype(np.uint8) for _ in attacks]
    )
    fooled = [not (name == "noise" or name.endswith(("probabilities", "cross_entropy"))) for name in attacks]
    return Examples(
        originals=originals,
        images=images,
        success=np.repeat(np.array(fooled, dtype=np.bool_)[:, None], len(labels), axis=1),
        attacks=tuple(attacks),
        labels=tuple(labels),
    )


def one_of_a_kind() -> Evaluation:
    """JSMA, one bounded attack, one for the nearest sample, and the worst case."""
    suite = with_suite(measured()[0], masked=0.9)
    part = {
        "bounded": suite.bounded[:1],
        "distances": suite.distances[1:2],
        "worst_case": suite.worst_case,
        "robust": suite.robust,
    }
    return evaluation(20, probabilities=3, logits=4, scaled=5).model_copy(update=part)


def smoothed() -> Evaluation:
    """A network of another defense than distillation, under every attack."""
    model = ModelId(
        role="defended",
        defense="label_smoothing",
        parameters={"share": 0.1},
        label="label_smoothing share=0.1",
        title="label smoothing, share 0.1",
    )
    found = evaluation(1, probabilities=140, logits=141, scaled=140, accuracy=0.985, logit=4.2, zero32=0.03)
    named = found.model_copy(update={"model": model, "teacher_training": ()})
    return with_suite(named, masked=0.03, farther=1.05, failed=("naive noise",))


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
            for number, made in enumerate(found.jsma)
        }
        for found in evaluations
    }
