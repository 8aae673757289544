"""What stands with each figure: its title, how to read it, and its numbers in words for who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting import captions_adaptive, figures, figures_adaptive
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.networks import distilled, models, undistilled
from defensive_distillation.reporting.paper import ACCURACY_VARIATION, published
from defensive_distillation.reporting.words import OUTPUTS, attack_name, count, label, listed, per_cent, points


@dataclass(frozen=True)
class Exhibit:
    """One figure as the page and the folder show it."""

    name: str  # of the file and of the anchor
    title: str
    draw: Callable[[Sequence[Evaluation]], Figure]
    caption: Callable[[Sequence[Evaluation]], str]
    alt: Callable[[Sequence[Evaluation]], str]


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
        f"{attack_name(attack)} {int(success.sum())}"
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


def _title_of_paper(evaluations: Sequence[Evaluation]) -> str | None:
    numbers = published(evaluations[0].dataset)
    return numbers.title if numbers else None


def _caption_7(evaluations: Sequence[Evaluation]) -> str:
    title = _title_of_paper(evaluations)
    theirs = f" Hollow diamonds: the paper's values for {title}, attacked on the probabilities." if title else ""
    return (
        "Share of source-target pairs that JSMA brings into the target class; bars are 95 % Wilson intervals. Left, "
        "'none': the network without distillation, its level dotted across. The paper's attack is the circles. Where "
        "circles fall and triangles stay up, the gradient is masked and the network is no harder to fool." + theirs
    )


def _alt_7(evaluations: Sequence[Evaluation]) -> str:
    return f"JSMA success by temperature, {_by_output(evaluations, lambda attack: attack.success_rate)}."


def _caption_8(evaluations: Sequence[Evaluation]) -> str:
    images = evaluations[0].dataset.test_images
    return (
        "Accuracy on clean test images less that of the network without distillation. The band is what the paper "
        f"reports for both its datasets: less than {100 * ACCURACY_VARIATION:.2f} points either way. One of the "
        f"{count(images)} test images is {100 / images:.2g} points."
    )


def _alt_8(evaluations: Sequence[Evaluation]) -> str:
    baseline = undistilled(evaluations)
    if baseline is None:
        return "No change of accuracy to show: no network without distillation was evaluated."
    start = baseline.accuracy
    changes = listed(distilled(evaluations), lambda found: points(found.accuracy - start))
    return f"Change of accuracy against {per_cent(start)} without distillation: {changes or 'no distilled network'}."


def _caption_9(evaluations: Sequence[Evaluation]) -> str:
    has_counts = any((numbers := published(found.dataset)) and numbers.amplitudes_of(found) for found in evaluations)
    theirs = " In brackets: the shares that the paper publishes." if has_counts else ""
    return (
        "Each row is a model; each cell the share of samples, in per cent, whose mean gradient amplitude lies between "
        "the two values below it. Computed in log space, so that amplitudes far below float32's smallest number are "
        "counted where they belong. Mass that moves left with T is a saturated softmax, not a robust network." + theirs
    )


def _alt_9(evaluations: Sequence[Evaluation]) -> str:
    def extremes(found: Evaluation) -> str:
        counts, samples = found.gradients_at_1.amplitude_counts, max(1, found.gradients_at_1.samples)
        return f"{per_cent(counts[0] / samples)} below 1e-40 and {per_cent(counts[-1] / samples)} above 1e-3"

    return f"Share of samples by mean gradient amplitude at T = 1: {_listed(evaluations, extremes)}."


def _caption_10(evaluations: Sequence[Evaluation]) -> str:
    numbers = published(evaluations[0].dataset)
    gain = f" The paper's gain on {numbers.title}: +{100 * numbers.robustness_gain:.0f} %." if numbers else ""
    return (
        "Above: the mean change that JSMA needs, as a share of the features (Eq. 10). Below: the share of pairs that "
        "it could not fool at all. They are counted as if the whole budget had just been enough, so a masked gradient "
        "reads as robustness: trust a value above only as far as the one below is small." + gain
    )


def _alt_10(evaluations: Sequence[Evaluation]) -> str:
    return (
        f"Robustness as a share of the features, {_by_output(evaluations, lambda attack: attack.robustness)}. "
        "Share of pairs counted at the budget, "
        f"{_by_output(evaluations, lambda attack: attack.robustness_failures)}."
    )


def _caption_zero(evaluations: Sequence[Evaluation]) -> str:
    return (
        "Samples whose gradient of the probabilities is exactly zero, so that JSMA cannot take a step. Once the logits "
        "are divided by the training's T the gradient is back."
    )


def _alt_zero(evaluations: Sequence[Evaluation]) -> str:
    def zero(found: Evaluation) -> str:
        at_1, at_t = found.gradients_at_1, found.gradients_at_temperature
        return (
            f"{per_cent(at_1.zero_share_float32)} in float32 and {per_cent(at_1.zero_share_float64)} in float64, "
            f"{per_cent(at_t.zero_share_float32)} on z/T"
        )

    return f"Samples with a gradient of exactly zero: {_listed(evaluations, zero)}."


def _caption_loss(evaluations: Sequence[Evaluation]) -> str:
    return (
        "Cross-entropy at the training's temperature. The teacher learns hard labels, the distilled network the "
        "teacher's probabilities, so the two curves' levels are not comparable; their shapes are. A curve that has not "
        "flattened was stopped early."
    )


def _alt_loss(evaluations: Sequence[Evaluation]) -> str:
    losses = _listed(evaluations, lambda found: f"{found.training[-1].loss:.3g}" if found.training else None)
    return f"Loss by epoch; after the last epoch: {losses or 'none recorded'}."


def _caption_accuracy(evaluations: Sequence[Evaluation]) -> str:
    return (
        "Accuracy on the test images after each pass over the training images. A distilled network that ends clearly "
        "below its teacher has not learnt what the teacher knows."
    )


def _alt_accuracy(evaluations: Sequence[Evaluation]) -> str:
    ends = _listed(evaluations, lambda found: per_cent(found.training[-1].test_accuracy) if found.training else None)
    return f"Test accuracy by epoch; after the last epoch: {ends or 'none recorded'}."


def _caption_budget(evaluations: Sequence[Evaluation]) -> str:
    return (
        "Success rate if JSMA had been stopped after fewer changed features. A curve never falls as the budget grows. "
        "One that is flat from the start never took a step; one that still rises at the right end is short of budget."
    )


def _alt_budget(evaluations: Sequence[Evaluation]) -> str:
    def at_half(attack: AttackFindings) -> float:
        pairs = zip(attack.budgets, attack.success_by_budget, strict=True)
        return max((rate for budget, rate in pairs if 2 * budget <= attack.max_features), default=0.0)

    return (
        f"Success by budget. At half the budget, {_by_output(evaluations, at_half)}. "
        f"At the full budget, {_by_output(evaluations, lambda attack: attack.success_rate)}."
    )


EXHIBITS = (
    Exhibit("figure_7", "Success rate of the attack (Figure 7)", figures.figure_7, _caption_7, _alt_7),
    Exhibit("figure_8", "Cost in accuracy (Figure 8)", figures.figure_8, _caption_8, _alt_8),
    Exhibit("figure_9", "Sensitivity: amplitude of the gradients (Figure 9)", figures.figure_9, _caption_9, _alt_9),
    Exhibit("figure_10", "Robustness (Figure 10, Eq. 10)", figures.figure_10, _caption_10, _alt_10),
    Exhibit("success_by_budget", "JSMA by budget", figures.success_by_budget, _caption_budget, _alt_budget),
    Exhibit(
        "success_by_epsilon",
        "Bounded attacks by L∞ radius",
        figures_adaptive.success_by_epsilon,
        captions_adaptive.epsilon,
        captions_adaptive.epsilon_alt,
    ),
    Exhibit(
        "cw_distances",
        "Distance to the nearest adversarial sample",
        figures_adaptive.cw_distances,
        captions_adaptive.distances,
        captions_adaptive.distances_alt,
    ),
    Exhibit(
        "logit_scale",
        "The size of the logits",
        figures_adaptive.logit_scale,
        captions_adaptive.logits,
        captions_adaptive.logits_alt,
    ),
    Exhibit("zero_gradients", "Zero gradients", figures.zero_gradients, _caption_zero, _alt_zero),
    Exhibit(
        "training_accuracy",
        "Training: accuracy",
        lambda evaluations: figures.training_curves(evaluations, "accuracy"),
        _caption_accuracy,
        _alt_accuracy,
    ),
    Exhibit(
        "training_loss",
        "Training: loss",
        lambda evaluations: figures.training_curves(evaluations, "loss"),
        _caption_loss,
        _alt_loss,
    ),
)
