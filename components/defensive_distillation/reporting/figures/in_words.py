"""Every figure in words, for who cannot see it: a function a figure, of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from defensive_distillation.evaluation.results import AttackFindings, Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.measures import fooled_within, mean_distance, reported_radius, robust_within
from defensive_distillation.reporting.networks import arranged, defended, models, undistilled
from defensive_distillation.reporting.words import OUTPUTS, distance, label, listed, per_cent, points
from defensive_distillation.suite.registry import title


def figure_7(evaluations: Sequence[Evaluation]) -> str:
    """Success rates."""
    return f"JSMA success by temperature, {_by_output(evaluations, lambda attack: attack.success_rate)}."


def figure_8(evaluations: Sequence[Evaluation]) -> str:
    """Changes of accuracy."""
    baseline = undistilled(evaluations)
    if baseline is None:
        return "No change of accuracy to show: no network without distillation was evaluated."
    start = baseline.accuracy
    changes = listed(defended(evaluations), lambda network: points(network.accuracy - start))
    return f"Change of accuracy against {per_cent(start)} without distillation: {changes or 'no distilled network'}."


def figure_9(evaluations: Sequence[Evaluation]) -> str:
    """The first and the last bin."""

    def extremes(network: Evaluation) -> str:
        counts, samples = network.gradients_at_1.amplitude_counts, max(1, network.gradients_at_1.samples)
        return f"{per_cent(counts[0] / samples)} below 1e-40 and {per_cent(counts[-1] / samples)} above 1e-3"

    return f"Share of samples by mean gradient amplitude at T = 1: {_listed(evaluations, extremes)}."


def figure_10(evaluations: Sequence[Evaluation]) -> str:
    """Robustness, and the share of pairs that it counts at the budget."""
    return (
        f"Robustness as a share of the features, {_by_output(evaluations, lambda attack: attack.robustness)}. "
        "Share of pairs counted at the budget, "
        f"{_by_output(evaluations, lambda attack: attack.robustness_failures)}."
    )


def zero_gradients(evaluations: Sequence[Evaluation]) -> str:
    """Shares in both precisions."""

    def zero(network: Evaluation) -> str:
        at_1, at_t = network.gradients_at_1, network.gradients_at_temperature
        return (
            f"{per_cent(at_1.zero_share_float32)} in float32 and {per_cent(at_1.zero_share_float64)} in float64, "
            f"{per_cent(at_t.zero_share_float32)} on z/T"
        )

    return f"Samples with a gradient of exactly zero: {_listed(evaluations, zero)}."


def training_loss(evaluations: Sequence[Evaluation]) -> str:
    """After the last epoch."""
    losses = _listed(evaluations, lambda network: f"{network.training[-1].loss:.3g}" if network.training else None)
    return f"Loss by epoch; after the last epoch: {losses or 'none recorded'}."


def training_accuracy(evaluations: Sequence[Evaluation]) -> str:
    """After the last epoch."""
    ends = _listed(
        evaluations, lambda network: per_cent(network.training[-1].test_accuracy) if network.training else None
    )
    return f"Test accuracy by epoch; after the last epoch: {ends or 'none recorded'}."


def success_by_budget(evaluations: Sequence[Evaluation]) -> str:
    """At half the budget and at the whole."""

    def at_half(attack: AttackFindings) -> float:
        pairs = zip(attack.budgets, attack.success_by_budget, strict=True)
        return max((rate for budget, rate in pairs if 2 * budget <= attack.max_features), default=0.0)

    return (
        f"Success by budget. At half the budget, {_by_output(evaluations, at_half)}. "
        f"At the full budget, {_by_output(evaluations, lambda attack: attack.success_rate)}."
    )


def success_by_epsilon(evaluations: Sequence[Evaluation]) -> str:
    """Every attack at the reported radius."""
    parts = []
    for network in models(evaluations):
        radius = reported_radius(network)
        shares = [
            f"{title(bounded.name)} {per_cent(share)}"
            for bounded in network.bounded
            if (share := fooled_within(bounded, radius)) is not None
        ]
        if shares:
            parts.append(f"{label(network)} within {radius:g}: {', '.join(shares)}")
    return f"Images classified right that are fooled, by L∞ radius. {'; '.join(parts) or '0 attacks were run'}."


def robust_accuracy(evaluations: Sequence[Evaluation]) -> str:
    """Without an attack, and at the reported radius."""

    def value(network: Evaluation) -> str | None:
        radius = reported_radius(network)
        found = robust_within(network, radius)
        if found is None or network.robust is None:
            return None
        clean = 1 - network.robust.misclassified / network.robust.samples
        return f"{per_cent(clean)} without an attack, {per_cent(found[0])} within {radius:g}"

    return f"Images that stay right whatever the attack: {_listed(evaluations, value) or 'no attack was run'}."


def cw_distances(evaluations: Sequence[Evaluation]) -> str:
    """The average case."""

    def of(attack: str) -> Callable[[Evaluation], str | None]:
        def value(network: Evaluation) -> str | None:
            length = mean_distance(network, attack)
            return None if length is None else distance(length)

        return value

    parts = [
        f"{title(attack)}: {text}"
        for attack in attacks.by_distance()
        if (text := listed(models(evaluations), of(attack)))
    ]
    return f"Mean distance in the average case. {'; '.join(parts) or '0 attacks were run'}."


def logit_scale(evaluations: Sequence[Evaluation]) -> str:
    """Mean absolute logits."""
    text = listed(arranged(evaluations), lambda network: f"{network.mean_absolute_logit:.3g}")
    return f"Mean absolute logit: {text}."


def sample_grid(network: Evaluation, output: str, grid: Grid) -> str:
    """A sample grid's numbers in words."""
    attacked = int(grid.attacked.sum())
    reached = int((grid.success & grid.attacked).sum())
    return (
        f"Grid of adversarial samples against {label(network)}, JSMA on {OUTPUTS.get(output, output)}: samples shown "
        f"that reach their target class: {reached} of {attacked}. Rows are source classes, columns target classes."
    )


def example_sheet(network: Evaluation, examples: Examples) -> str:
    """What the sheet of examples shows, in words."""
    reached = [
        f"{title(attack)} {int(success.sum())}"
        for attack, success in zip(examples.attacks, examples.success, strict=True)
    ]
    return (
        f"The same {len(examples.labels)} test images under every attack on {label(network)}; how many of them fool "
        f"the network: {', '.join(reached)}."
    )


def _listed(evaluations: Sequence[Evaluation], value: Callable[[Evaluation], str | None]) -> str:
    return listed(models(evaluations), value)


def _by_output(evaluations: Sequence[Evaluation], value: Callable[[AttackFindings], float]) -> str:
    def of(output: str) -> Callable[[Evaluation], str | None]:
        return lambda network: per_cent(value(attack)) if (attack := network.attack(output)) else None

    parts = [f"on {name}: {text}" for output, name in OUTPUTS.items() if (text := _listed(evaluations, of(output)))]
    return "; ".join(parts) or "no attack was run"
