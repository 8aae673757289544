"""What stands with each figure: how to read it, and its numbers in words for who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.networks import defended, models, undistilled
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, published
from defensive_distillation.reporting.words import OUTPUTS, count, label, listed, per_cent, points
from defensive_distillation.suite import title


def grid_alt(found: Evaluation, output: str, grid: Grid) -> str:
    """A sample grid's numbers in words."""
    attacked = int(grid.attacked.sum())
    reached = int((grid.success & grid.attacked).sum())
    return (
        f"Grid of adversarial samples against {label(found)}, JSMA on {OUTPUTS.get(output, output)}: {reached} of "
        f"{attacked} samples shown reach their target class. Rows are source classes, columns target classes."
    )


def examples_alt(found: Evaluation, examples: Examples) -> str:
    """What the sheet of examples shows, in words."""
    reached = [
        f"{title(attack)} {int(success.sum())}"
        for attack, success in zip(examples.attacks, examples.success, strict=True)
    ]
    return (
        f"The same {len(examples.labels)} test images under every attack on {label(found)}; how many of them fool the "
        f"network: {', '.join(reached)}."
    )


def _listed(evaluations: Sequence[Evaluation], value: Callable[[Evaluation], str | None]) -> str:
    return listed(models(evaluations), value)


def _by_output(evaluations: Sequence[Evaluation], value: Callable[[AttackFindings], float]) -> str:
    def of(output: str) -> Callable[[Evaluation], str | None]:
        return lambda found: per_cent(value(attack)) if (attack := found.attack(output)) else None

    parts = [f"on {name}: {text}" for output, name in OUTPUTS.items() if (text := _listed(evaluations, of(output)))]
    return "; ".join(parts) or "no attack was run"


def figure_7(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    numbers = published(evaluations[0].dataset)
    theirs = (
        f" Hollow diamonds: the paper's values for {numbers.title}, attacked on the probabilities." if numbers else ""
    )
    return (
        "Share of source-target pairs that JSMA brings into the target class; bars are 95 % Wilson intervals. Left, "
        "'none': the network without distillation, its level dotted across. The paper's attack is the circles. Where "
        "circles fall and triangles stay up, the gradient is masked and the network is no harder to fool." + theirs
    )


def figure_7_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""
    return f"JSMA success by temperature, {_by_output(evaluations, lambda attack: attack.success_rate)}."


def figure_8(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    images = evaluations[0].dataset.test_images
    return (
        "Accuracy on clean test images less that of the network without distillation. The band is what the paper "
        f"reports for both its datasets: less than {100 * ACCURACY_VARIATION:.2f} points either way. One of the "
        f"{count(images)} test images is {100 / images:.2g} points."
    )


def figure_8_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""
    baseline = undistilled(evaluations)
    if baseline is None:
        return "No change of accuracy to show: no network without distillation was evaluated."
    start = baseline.accuracy
    changes = listed(defended(evaluations), lambda found: points(found.accuracy - start))
    return f"Change of accuracy against {per_cent(start)} without distillation: {changes or 'no distilled network'}."


def figure_9(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    has_counts = any((numbers := published(found.dataset)) and numbers.amplitudes_of(found) for found in evaluations)
    theirs = " In brackets: the shares that the paper publishes." if has_counts else ""
    return (
        "Each row is a model; each cell the share of samples, in per cent, whose mean gradient amplitude lies between "
        "the two values below it. Computed in log space, so that amplitudes far below float32's smallest number are "
        "counted where they belong. Mass that moves left with T is a saturated softmax, not a robust network." + theirs
    )


def figure_9_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""

    def extremes(found: Evaluation) -> str:
        counts, samples = found.gradients_at_1.amplitude_counts, max(1, found.gradients_at_1.samples)
        return f"{per_cent(counts[0] / samples)} below 1e-40 and {per_cent(counts[-1] / samples)} above 1e-3"

    return f"Share of samples by mean gradient amplitude at T = 1: {_listed(evaluations, extremes)}."


def figure_10(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    numbers = published(evaluations[0].dataset)
    gain = f" The paper's gain on {numbers.title}: +{100 * numbers.robustness_gain:.0f} %." if numbers else ""
    return (
        "Above: the mean change that JSMA needs, as a share of the features (Eq. 10). Below: the share of pairs that "
        "it could not fool at all. They are counted as if the whole budget had just been enough, so a masked gradient "
        "reads as robustness: trust a value above only as far as the one below is small." + gain
    )


def figure_10_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""
    return (
        f"Robustness as a share of the features, {_by_output(evaluations, lambda attack: attack.robustness)}. "
        "Share of pairs counted at the budget, "
        f"{_by_output(evaluations, lambda attack: attack.robustness_failures)}."
    )


def zero_gradients(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    return (
        "Samples whose gradient of the probabilities is exactly zero, so that JSMA cannot take a step. Once the logits "
        "are divided by the training's T the gradient is back."
    )


def zero_gradients_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""

    def zero(found: Evaluation) -> str:
        at_1, at_t = found.gradients_at_1, found.gradients_at_temperature
        return (
            f"{per_cent(at_1.zero_share_float32)} in float32 and {per_cent(at_1.zero_share_float64)} in float64, "
            f"{per_cent(at_t.zero_share_float32)} on z/T"
        )

    return f"Samples with a gradient of exactly zero: {_listed(evaluations, zero)}."


def training_loss(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    return (
        "Cross-entropy at the training's temperature. The teacher learns hard labels, the distilled network the "
        "teacher's probabilities, so the two curves' levels are not comparable; their shapes are. A curve that has not "
        "flattened was stopped early."
    )


def training_loss_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""
    losses = _listed(evaluations, lambda found: f"{found.training[-1].loss:.3g}" if found.training else None)
    return f"Loss by epoch; after the last epoch: {losses or 'none recorded'}."


def training_accuracy(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    return (
        "Accuracy on the test images after each pass over the training images. A distilled network that ends clearly "
        "below its teacher has not learnt what the teacher knows."
    )


def training_accuracy_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""
    ends = _listed(evaluations, lambda found: per_cent(found.training[-1].test_accuracy) if found.training else None)
    return f"Test accuracy by epoch; after the last epoch: {ends or 'none recorded'}."


def success_by_budget(evaluations: Sequence[Evaluation]) -> str:
    """Under the figure."""
    return (
        "Success rate if JSMA had been stopped after fewer changed features. A curve never falls as the budget grows. "
        "One that is flat from the start never took a step; one that still rises at the right end is short of budget."
    )


def success_by_budget_alt(evaluations: Sequence[Evaluation]) -> str:
    """The figure in numbers."""

    def at_half(attack: AttackFindings) -> float:
        pairs = zip(attack.budgets, attack.success_by_budget, strict=True)
        return max((rate for budget, rate in pairs if 2 * budget <= attack.max_features), default=0.0)

    return (
        f"Success by budget. At half the budget, {_by_output(evaluations, at_half)}. "
        f"At the full budget, {_by_output(evaluations, lambda attack: attack.success_rate)}."
    )
