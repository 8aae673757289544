"""The saliency map's best pair of features, found exactly in O(D log D) (Papernot et al. 2015, Algorithm 3).

Of all pairs p < q the map wants the one that maximises -(α_p + α_q)(β_p + β_q) with α_p + α_q > 0 and β_p + β_q < 0.
The objective rises with the α and the -β of each point. So a point that two others beat in both coordinates is never
needed: one of the two can take its place. Only the first two Pareto layers of the points (α, -β) are left, some tens
of thousands of features, and all pairs of those are compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST_PAIRS = 2**22  # that are held at once, over all samples


def best_pair(alpha: Tensor, beta: Tensor, allowed: Tensor, *, increase: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """The pair of allowed features that the saliency map prefers, for each sample.

    Args:
        alpha: (N, D), gradient of the target's output.
        beta: (N, D), gradient of the sum of all other outputs.
        allowed: (N, D) bool, the search domain Γ.
        increase: True where features grow (θ > 0); False turns both conditions round (θ < 0).

    Returns:
        p, q: (N,) int64 indices, p < q; meaningless where `valid` is False.
        valid: (N,) bool, whether any allowed pair satisfies both conditions.
    """
    gain, drop = (alpha, -beta) if increase else (-alpha, beta)
    features, present = _undominated(gain, drop, allowed)
    gain = gain.gather(1, features)
    drop = drop.gather(1, features)
    count, width = features.shape
    best = torch.full((count,), -1.0, dtype=gain.dtype, device=gain.device)
    first, second = torch.zeros_like(features[:, 0]), torch.zeros_like(features[:, 0])
    for rows in torch.arange(width, device=gain.device).split(max(1, MOST_PAIRS // (count * width))):
        gains = gain[:, rows, None] + gain[:, None, :]  # (N, R, M)
        drops = drop[:, rows, None] + drop[:, None, :]
        pairs = (present[:, rows, None] & present[:, None, :]).triu(1 + int(rows[0])) & (gains > 0) & (drops > 0)
        # a product of two tiny sums may underflow to 0, which is still better than no pair
        score, position = torch.where(pairs, gains * drops, -1.0).flatten(1).max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        first = torch.where(better, rows[0] + position // width, first)
        second = torch.where(better, position % width, second)
    p, q = features.gather(1, first[:, None]).squeeze(1), features.gather(1, second[:, None]).squeeze(1)
    return torch.minimum(p, q), torch.maximum(p, q), best >= 0


def largest_pair(alpha: Tensor, allowed: Tensor, *, increase: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """`best_pair` where β = -α, as on probabilities, which sum to 1: simply the two largest α."""
    gain = torch.where(allowed, alpha if increase else -alpha, -torch.inf)
    top, features = gain.topk(2, dim=1)
    p, q = features.min(dim=1).values, features.max(dim=1).values
    return p, q, top.sum(dim=1) > 0


def _undominated(gain: Tensor, drop: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Features of the first two Pareto layers: indices (N, M), and which of them are real (N, M)."""
    order = torch.where(allowed, gain, -torch.inf).argsort(dim=1, descending=True, stable=True)
    height = torch.where(allowed, drop, -torch.inf).gather(1, order)
    highest = height.cummax(dim=1).values
    # the second highest so far: the old one, or the lesser of the newcomer and the old highest
    before = torch.nn.functional.pad(highest, (1, 0), value=-torch.inf)[:, :-1]
    second = torch.minimum(height, before).cummax(dim=1).values
    second_before = torch.nn.functional.pad(second, (1, 0), value=-torch.inf)[:, :-1]
    keep = allowed.gather(1, order) & (height > second_before)
    width = max(2, int(keep.sum(dim=1).max()))
    position = keep.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
    return order.gather(1, position), keep.gather(1, position)
