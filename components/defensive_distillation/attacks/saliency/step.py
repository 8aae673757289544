"""One step of JSMA: the gradients of the saliency map, and whether a sample may move by the pair that it prefers.

`batch` and `slots` take step after step, each in its way, until every attempt has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import gradient_of, in_single, reached
from defensive_distillation.attacks.pair_search import best_pair, largest_pair
from defensive_distillation.attacks.result import StopReason
from defensive_distillation.networks.softmax import softmax_at

MOVES = -1  # instead of a StopReason, of a sample that goes on
Pairs = tuple[Tensor, Tensor, Tensor]  # features (N, 2), whether there is such a pair, whether that is known, (N,) bool


@dataclass(frozen=True)
class Climb:
    """How every sample climbs; `jsma` says what each means."""

    theta: float
    max_features: int
    output: str
    temperature: float
    clip: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Step:
    """What a step says of each sample."""

    logits: Tensor  # (N, K)
    reached: Tensor  # (N,) bool, whether its goal is
    reason: Tensor  # (N,) int8, why it ends, as a StopReason, or `MOVES`
    known: Tensor  # (N,) bool, whether the search is sure of the pair, and so of the reason
    moved: Tensor  # (N, D), the sample with both features of its pair changed
    passes: int  # backward passes that were spent on it


@dataclass(frozen=True, eq=False)
class Attempts:
    """Samples, and the class that each is led towards until it has reached that, or left another."""

    model: nn.Module
    images: Tensor  # (N, C, H, W), the sources
    targets: Tensor  # (N,) int64, the classes that are climbed towards
    labels: Tensor | None  # (N,) int64, the classes that are to be left; None: the targets are to be reached
    climb: Climb

    @property
    def goals(self) -> Tensor:
        """The classes that are to be left, or reached, (N,)."""
        return self.targets if self.labels is None else self.labels

    def step(
        self,
        forward: Callable[[Tensor], Tensor],
        x: Tensor,
        source: Tensor,
        target: Tensor,
        goal: Tensor,
        search: Callable[[Tensor, Tensor | None, Tensor, float], Pairs],
    ) -> Step:
        """One step of some of the samples.

        Args:
            forward: gives the logits of images (N, C, H, W).
            x: (N, D), the samples as they are.
            source: (N, D), as they began.
            target: (N,), of `targets`.
            goal: (N,), of `goals`.
            search: finds the pairs, see `preferred_pair`.
        """
        climb, images = self.climb, x.view(-1, *self.images.shape[1:])
        logits, alpha, beta = saliency(forward, images, target, climb.output, climb.temperature)
        at_goal = reached(logits, goal, targeted=self.labels is None)
        allowed = search_domain(x, climb.theta, climb.clip)
        pair, valid, known = search(alpha, beta, allowed, climb.theta)
        reason = verdicts(x, source, pair, valid, at_goal, alpha, beta, allowed, climb.max_features)
        passes = 1 if beta is None else 2
        return Step(logits, at_goal, reason, known, moved(x, pair, climb.theta, climb.clip), passes)


def saliency(
    forward: Callable[[Tensor], Tensor], images: Tensor, target: Tensor, output: str, temperature: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The logits (N, K), detached; α (N, D); and β (N, D), which is None where it is -α, as on probabilities.

    One backward pass on probabilities, two on logits: the sum of all outputs less the target's is the others'.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = in_single(forward(images))
        outputs = logits if output == "logits" else softmax_at(logits, temperature)
        wanted = outputs.gather(1, target[:, None]).sum()
        alpha = gradient_of(wanted, images, retain_graph=output == "logits")
        if output != "logits":
            return logits.detach(), alpha.flatten(1), None
        total = gradient_of(outputs.sum(), images)
    return logits.detach(), alpha.flatten(1), (total - alpha).flatten(1)


def search_domain(x: Tensor, theta: float, clip: tuple[float, float]) -> Tensor:
    """Γ, (N, D) bool: a saturated feature cannot move, nor one by a theta that is lost in rounding."""
    return (x + theta).clamp(*clip) != x


def preferred_pair(alpha: Tensor, beta: Tensor | None, allowed: Tensor, theta: float) -> Pairs:
    """The pair of each sample that the saliency map prefers, always known."""
    if beta is None:
        p, q, valid = largest_pair(alpha, allowed, increase=theta > 0)
    else:
        p, q, valid = best_pair(alpha, beta, allowed, increase=theta > 0)
    return torch.stack((p, q), dim=1), valid, torch.ones_like(valid)


def verdicts(
    x: Tensor,
    source: Tensor,
    pair: Tensor,
    valid: Tensor,
    reached: Tensor,
    alpha: Tensor,
    beta: Tensor | None,
    allowed: Tensor,
    max_features: int,
) -> Tensor:
    """Why each sample ends, as a StopReason, or `MOVES`. (N,) int8.

    Args:
        x: (N, D), the samples as they are.
        source: (N, D), as they began.
        pair: (N, 2), the features that the saliency map prefers.
        valid: (N,) bool, whether there is such a pair.
        reached: (N,) bool, whether the goal is reached.
        alpha: (N, D).
        beta: (N, D), or None where it is -α.
        allowed: (N, D) bool, Γ.
        max_features: the most features that may differ from the source.
    """
    changed = x != source
    would_change = changed.sum(1) + (~changed.gather(1, pair)).sum(1)
    flat = ((alpha == 0) if beta is None else (alpha == 0) & (beta == 0)) | ~allowed
    # not by torch.where: a number given to it is copied to the device, which waits for it
    reason = torch.full_like(would_change, MOVES, dtype=torch.int8)
    reason.masked_fill_(would_change > max_features, int(StopReason.BUDGET))
    reason.masked_fill_(~valid, int(StopReason.NO_PAIR))
    reason.masked_fill_(~valid & flat.all(1) & allowed.any(1), int(StopReason.ZERO_GRADIENT))
    return reason.masked_fill_(reached, int(StopReason.SUCCESS))


def moved(x: Tensor, pair: Tensor, theta: float, clip: tuple[float, float]) -> Tensor:
    """`x` with both features of each pair changed by theta, within the box; a new tensor."""
    return x.scatter(1, pair, x.gather(1, pair).add_(theta).clamp_(*clip))
