"""Which network is which: the sweep's models, the one without distillation, the controls, the one to look at first."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.results import Evaluation, in_order


def checked(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations in order, if they can stand in one report.

    Raises:
        InputError: for none at all, controls alone, two of the same name, two baselines, or more than one dataset.
    """
    if not evaluations:
        raise InputError("evaluations: expected at least one, got none")
    names = [network.name for network in evaluations]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"evaluations: expected one for each model, got more of {', '.join(map(repr, repeated))}")
    if not models(evaluations):
        raise InputError("evaluations: expected a model, got controls only")
    if sum(not network.defended for network in models(evaluations)) > 1:
        raise InputError("evaluations: expected one model without distillation, got more")
    digests = {network.dataset.digest: network.dataset.name for network in evaluations}
    if len(digests) > 1:
        raise InputError(f"evaluations: expected one dataset, got {len(digests)}: {', '.join(digests.values())}")
    return arranged(evaluations)


def arranged(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The models, then the controls: the order of every table."""
    return [*models(evaluations), *controls(evaluations)]


def models(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The sweep's models, the one without distillation first, other defenses last; the controls are none of them."""
    return sorted((network for network in in_order(evaluations) if not network.control), key=is_other)


def controls(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The undistilled network with its logits multiplied by T, by T."""
    return [network for network in in_order(evaluations) if network.control]


def defended(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The distilled networks, then those of other defenses."""
    return [network for network in models(evaluations) if network.defended]


def distilled(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The distilled networks, by temperature."""
    return [network for network in models(evaluations) if is_distilled(network)]


def others(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The networks of other defenses than distillation, which have no temperature."""
    return [network for network in models(evaluations) if is_other(network)]


def imported(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Networks of somebody's own, of which no training is known."""
    return [network for network in models(evaluations) if network.model.role == "imported"]


def undistilled(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The network without distillation, as it was trained."""
    return next((network for network in models(evaluations) if not network.defended), None)


def is_distilled(network: Evaluation) -> bool:
    """Whether the defense is distillation, of which the paper and most sentences tell."""
    return network.defended and network.model.defense == "distillation"


def chosen(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The distilled network to look at first: where JSMA gains most by z/T."""
    candidates = distilled(evaluations)
    if not candidates:
        return None
    return max(
        candidates,
        key=lambda network: (
            network.masking.difference is not None,
            network.masking.difference or 0.0,
            network.masking.masked == "yes",
        ),
    )


def is_other(network: Evaluation) -> bool:
    """Whether the defense is another one than distillation."""
    return network.defended and not is_distilled(network)
