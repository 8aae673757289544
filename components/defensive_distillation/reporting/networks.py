"""Which network is which: the sweep's models, the one without distillation, the controls, the one to look at first."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation, in_order


def models(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The sweep's models in order, the one without distillation first; the controls are none of them."""
    return [found for found in in_order(evaluations) if not found.control]


def controls(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The undistilled network with its logits multiplied by T, by T."""
    return [found for found in in_order(evaluations) if found.control]


def distilled(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The distilled networks, by temperature."""
    return [found for found in models(evaluations) if found.defended]


def undistilled(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The network without distillation, as it was trained."""
    return next((found for found in models(evaluations) if not found.defended), None)


def chosen(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The distilled network to look at first: where JSMA gains most by z/T."""
    candidates = distilled(evaluations)
    if not candidates:
        return None
    return max(
        candidates,
        key=lambda found: (
            found.masking.difference is not None,
            found.masking.difference or 0.0,
            found.masking.masked == "yes",
        ),
    )
