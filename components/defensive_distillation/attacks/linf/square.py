"""Square attack, gradient-free and by score (Andriushchenko et al. 2020, https://arxiv.org/abs/1912.00049)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.given import attack
from defensive_distillation.attacks.linf.ball import require_ball
from defensive_distillation.attacks.network import attacked_in_batches, logits_of, margin, reached, require_attackable
from defensive_distillation.attacks.randomness import random_signs, require_seeds, uniform
from defensive_distillation.attacks.result import AttackResult, success_or_budget
from defensive_distillation.errors import InputError

# the share of an image that a square covers is halved after these of 10,000 queries (Section 3.3)
_HALVED_AFTER = (10, 50, 200, 500, 1_000, 2_000, 4_000, 6_000, 8_000)


@attack
@torch.no_grad()
def square(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    queries: int = 1_000,
    initial_share: float = 0.8,
    targeted: bool = False,
    clip: tuple[float, float] = (0.0, 1.0),
    seeds: Tensor | None = None,
    batch_size: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> AttackResult:
    """Random squares of ±ε, kept where they lower the margin: no gradient is taken, so none can be masked.

    Begins with vertical stripes (Algorithm 1), then tries ever smaller squares (Algorithm 2).

    Deviation: a square that would change nothing is not drawn again until it does, it is tried with the opposite signs.

    Args:
        model: returns logits (N, K); a function, or a module in evaluation mode.
        images: sources (N, C, H, W), or (N, ...) of any other shape, within `clip`, float.
        labels: (N,) int64, the true classes; with `targeted`, the classes to reach.
        epsilon: radius of the L∞ ball, above 0.
        queries: forward passes a sample, at least 1; the source's own is not counted.
        initial_share: of an image that the first squares cover, in (0, 1]; p in the paper.
        targeted: whether `labels` are to be reached, or left.
        clip: the box (lo, hi).
        seeds: (N,) int64, one a sample; None means 0, 1, ….
        batch_size: samples in the network at once; None means 128 on a CPU, and elsewhere up to 4,096.
        on_finished: called with the number of samples that have ended, whenever it grows.

    Returns:
        The first adversarial sample that was met, else the one of the smallest margin; no gradient evaluations.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, or a bad argument.
    """
    require_attackable(model, images, labels, clip, batch_size, name="labels")
    require_ball(epsilon, "margin", 1.0)
    if queries < 1:
        raise InputError(f"queries: expected at least 1, got {queries}")
    if not 0 < initial_share <= 1:
        raise InputError(f"initial_share: expected above 0 and at most 1, got {initial_share}")
    seeds = require_seeds(seeds, len(images))
    search = functools.partial(
        _search, model, epsilon=epsilon, queries=queries, initial_share=initial_share, targeted=targeted, clip=clip
    )
    return attacked_in_batches(search, images, labels, seeds, batch_size=batch_size, on_finished=on_finished)


def _search(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    seeds: Tensor,
    *,
    epsilon: float,
    queries: int,
    initial_share: float,
    targeted: bool,
    clip: tuple[float, float],
) -> AttackResult:
    channels, height, width = images.shape[1:]
    logits = logits_of(model, images)
    success, smallest = reached(logits, classes, targeted=targeted), margin(logits, classes, targeted=targeted)
    best = images.clone()
    stripes = uniform(seeds, (channels, 1, width), images)
    draws = uniform(seeds, (queries, 2 + channels), images, stream=1)  # row, column, and a sign for each channel
    rows, columns = (torch.arange(side, device=images.device) for side in (height, width))
    active = (~success).nonzero().squeeze(1)
    for query in range(queries):
        if not len(active):
            break
        source, current = images[active], best[active]
        if query == 0:
            candidate = (source + epsilon * random_signs(stripes[active])).clamp(*clip)
        else:
            side = square_side(initial_share, query - 1, queries, height, width)
            draw = draws[active, query]
            top, left = ((draw[:, n] * (max(length - side, 0) + 1)).long() for n, length in ((0, height), (1, width)))
            inside = ((rows >= top[:, None]) & (rows < top[:, None] + side))[:, None, :, None] & (
                (columns >= left[:, None]) & (columns < left[:, None] + side)
            )[:, None, None, :]
            change = epsilon * random_signs(draw[:, 2:])[:, :, None, None]
            candidate = torch.where(inside, (source + change).clamp(*clip), current)
            same = (candidate == current).flatten(1).all(1)[:, None, None, None]
            candidate = torch.where(inside & same, (source - change).clamp(*clip), candidate)
        logits = logits_of(model, candidate)
        value = margin(logits, classes[active], targeted=targeted)
        done = reached(logits, classes[active], targeted=targeted)
        better = done | (value < smallest[active]) | (query == 0)
        best[active] = torch.where(better[:, None, None, None], candidate, current)
        smallest[active] = torch.where(better, value, smallest[active])
        success[active] = done
        active = active[~done]
    return AttackResult.of(images, best, success, success_or_budget(success), torch.zeros_like(classes))


def square_side(initial_share: float, query: int, queries: int, height: int, width: int) -> int:
    """Side of the square at a query (from 0): of initial_share · H · W pixels, halved as `queries` go by.

    Where H is 1, as of inputs that are no images, the length of a stretch of so many.
    """
    place = query * 10_000 // queries
    share: float = initial_share / 2 ** sum(place > after for after in _HALVED_AFTER)
    if height == 1:
        return max(round(share * width), 1)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)
