"""The saliency map's best pair of features, found exactly without trying all (Papernot et al. 2015, Algorithm 3).

Of all pairs p < q the map wants the one that maximises -(α_p + α_q)(β_p + β_q) with α_p + α_q > 0 and β_p + β_q < 0.
Call α the gain and -β the drop of a feature, and B the value of some good pair. Feature p is in no better pair if

    w_p + max w < 2 √B    with w = λ gain + drop / λ,

for any λ > 0, since 2 √(x y) <= λ x + y / λ. A few passes over the features leave two or three of a hundred thousand.
Where gain and drop oppose each other too many are left. The value rises with the gain and the drop of each feature, so
one that two others beat in both is never needed: of those that are left, only the first two Pareto layers are, found in
O(D log D). All pairs of the rest are compared.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

MOST_PAIRS = 2**22  # that are held at once, over all samples
_STRETCHES = 16  # of the features, whose heaviest are tried with each other
_MANY = 512  # features at most that are tried for a better B where many are left
_FEW = 32  # features of which all pairs are compared without a look at their layers
_SORTED = 4096  # features of an image, up to which a sort costs less than bounds with a few passes


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
    gain, drop = _rated(alpha, beta, allowed, increase=increase)
    features, present = _columns(_promising(gain, drop))
    gain, drop = gain.gather(1, features), drop.gather(1, features)
    # of the image's features, not of those that the batch has left; their pairs are not many more
    heavy = functools.partial(_heavy, tried=min(_MANY, math.ceil(2 * alpha.shape[1] ** 0.5)))
    ways = (_undominated, heavy) if alpha.shape[1] <= _SORTED else (heavy, _undominated)
    for thin_out in ways:
        many = (present.sum(dim=1) > _FEW).nonzero().squeeze(1)  # sample by sample: a batch does not decide on ties
        if len(many):
            present[many] = thin_out(gain[many], drop[many], present[many])
    columns, present = _columns(present)
    p, q, value = _best_of_all(gain.gather(1, columns), drop.gather(1, columns), present)
    pair = features.gather(1, columns.gather(1, torch.stack((p, q), dim=1)))
    return pair[:, 0], pair[:, 1], value >= 0


def best_pair_of_few(
    alpha: Tensor, beta: Tensor, allowed: Tensor, *, increase: bool = True, few: int = _FEW
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`best_pair` by shapes that do not depend on the values, so that no device is waited for.

    Returns:
        p, q, valid: as of `best_pair`.
        known: (N,) bool; False where more than `few` features come into question, and nothing is said of the pair.
    """
    gain, drop = _rated(alpha, beta, allowed, increase=increase)
    promising = _promising(gain, drop)
    places = torch.arange(promising.shape[1], device=promising.device, dtype=gain.dtype)
    # the first of them, in their order; as few as there are features at most
    earliest = _only(promising, -places).topk(min(few, len(places)), dim=1)
    present, features = earliest.values.isfinite(), earliest.indices
    p, q, value = _best_of_all(gain.gather(1, features), drop.gather(1, features), present)
    p, q = features.gather(1, p[:, None]).squeeze(1), features.gather(1, q[:, None]).squeeze(1)
    return p, q, value >= 0, promising.sum(dim=1) <= few


def largest_pair(alpha: Tensor, allowed: Tensor, *, increase: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """`best_pair` where β = -α, as on probabilities, which sum to 1: simply the two largest α."""
    gain = _only(allowed, alpha if increase else -alpha)
    top, features = gain.topk(2, dim=1)
    p, q = features.min(dim=1).values, features.max(dim=1).values
    return p, q, top.sum(dim=1) > 0


def _rated(alpha: Tensor, beta: Tensor, allowed: Tensor, *, increase: bool) -> tuple[Tensor, Tensor]:
    """Gain and drop of each feature, (N, D); of one that is not allowed minus infinity, with which no pair is valid."""
    gain, drop = (alpha, -beta) if increase else (-alpha, beta)
    return _only(allowed, gain), _only(allowed, drop)


def _promising(gain: Tensor, drop: Tensor) -> Tensor:
    """Features that may belong to the best pair, (N, D) bool, by the bounds of two λ."""
    slope = _slope(*(part.amax(dim=1, keepdim=True) for part in (drop, gain)))
    weight = _weight(gain, drop, slope)
    p, value = _best_of_heaviest(gain, drop, weight)
    _, better, better_slope = _partner(gain, drop, p)
    value = torch.maximum(value, better)
    better_weight = _weight(gain, drop, better_slope)
    return _weighty(weight, gain, drop, value, slope) & _weighty(better_weight, gain, drop, value, better_slope)


def _best_of_heaviest(gain: Tensor, drop: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """One of the best pair among the heaviest feature of each stretch, and the value of that pair, or 0, (N, 1)."""
    length = max(1, weight.shape[1] // _STRETCHES)
    stretches = weight[:, : weight.shape[1] // length * length].unflatten(1, (-1, length))
    heaviest = stretches.argmax(dim=2) + length * torch.arange(stretches.shape[1], device=weight.device)
    gains, drops = gain.gather(1, heaviest), drop.gather(1, heaviest)
    p, _, value = _best_of_all(gains, drops, gains > -torch.inf)
    return heaviest.gather(1, p[:, None]), value.clamp(min=0)[:, None]


def _partner(gain: Tensor, drop: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best partner of feature `p`, the value of that pair, or 0 where p has none, and its λ, all (N, 1)."""
    gains, drops = (gain + gain.gather(1, p)).clamp_(min=0), (drop + drop.gather(1, p)).clamp_(min=0)
    best, q = (gains * drops).scatter_(1, p, 0.0).max(dim=1, keepdim=True)
    return q, best, _slope(drops.gather(1, q), gains.gather(1, q))


def _heavy(gain: Tensor, drop: Tensor, present: Tensor, *, tried: int) -> Tensor:
    """The same of features whose gain and drop oppose each other, so that hardly a pair has both: from `tried`."""
    # what no feature has alone no pair has: a sum's sign survives its rounding
    present = present & (_most(gain + drop, present) > 0)
    spread = [_only(present, part, 0.0).square().sum(dim=1, keepdim=True).sqrt() for part in (drop, gain)]
    slope = _slope(*spread)
    weight = _only(present, _weight(gain, drop, slope))
    heaviest = weight.topk(min(tried, weight.shape[1]), dim=1).indices
    value, better_slope = _best_of_some(gain, drop, present, heaviest)
    for each in (slope, better_slope):
        gain, drop = _only(present, gain), _only(present, drop)
        present = present & _weighty(_weight(gain, drop, each), gain, drop, value, each)
    return present


def _only(mask: Tensor, values: Tensor, otherwise: float = -torch.inf) -> Tensor:
    """`values` under the mask. A number given to torch.where would be copied to the device, which waits for it."""
    return torch.where(mask, values, values.new_full((), otherwise))


def _most(values: Tensor, present: Tensor) -> Tensor:
    return _only(present, values).amax(dim=1, keepdim=True)


def _weight(gain: Tensor, drop: Tensor, slope: Tensor) -> Tensor:
    return (slope * gain).add_(drop / slope)


def _slope(drop: Tensor, gain: Tensor) -> Tensor:
    """The λ at which the bound is tight for a pair with these sums; 1 where there is no such pair."""
    slope = (drop / gain).sqrt()
    return _only((drop > 0) & (gain > 0) & slope.isfinite() & (slope > 0), slope, 1.0)


def _best_of_some(gain: Tensor, drop: Tensor, present: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """B, the value of the best pair of some features (N, M), or 0, and its λ, both (N, 1)."""
    features = features.sort(dim=1).values
    real = present.gather(1, features)
    real[:, 1:] &= features[:, 1:] != features[:, :-1]  # each but once
    gain, drop = gain.gather(1, features), drop.gather(1, features)
    p, q, value = _best_of_all(gain, drop, real)
    pair = torch.stack((p, q), dim=1)
    sums = (part.gather(1, pair).sum(dim=1, keepdim=True) for part in (drop, gain))
    return value.clamp(min=0)[:, None], _slope(*sums)


def _weighty(weight: Tensor, gain: Tensor, drop: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """What with the heaviest partner might make a pair worth `value`, but for what rounding could hide, (N, D) bool.

    Gains and drops of what makes no pair at all are minus infinity.
    """
    least = 2 * value.sqrt()
    # λ gain and drop / λ may cancel; gains above -most gain and drops above -most drop are all that is left
    sizes = slope * gain.amax(dim=1, keepdim=True).abs() + drop.amax(dim=1, keepdim=True).abs() / slope
    margin = 32 * torch.finfo(weight.dtype).eps * (least + sizes)
    return weight >= least - margin - weight.amax(dim=1, keepdim=True)


def _undominated(gain: Tensor, drop: Tensor, present: Tensor) -> Tensor:
    """Features of the first two Pareto layers of those present, (N, M) bool."""
    order = _only(present, gain).argsort(dim=1, descending=True, stable=True)
    height = _only(present, drop).gather(1, order)
    highest = height.cummax(dim=1).values
    # the second highest so far: the old one, or the lesser of the newcomer and the old highest
    before = torch.nn.functional.pad(highest, (1, 0), value=-torch.inf)[:, :-1]
    second = torch.minimum(height, before).cummax(dim=1).values
    second_before = torch.nn.functional.pad(second, (1, 0), value=-torch.inf)[:, :-1]
    return torch.zeros_like(present).scatter(1, order, height > second_before)


def _columns(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The indices of what is marked in each row, in their order (N, M), and which of them are real (N, M)."""
    rows, columns = mask.nonzero(as_tuple=True)
    counts = mask.sum(dim=1)
    width = max(2, int(counts.max()))
    place = torch.arange(len(rows), device=mask.device) - (counts.cumsum(0) - counts)[rows]
    indices = columns.new_zeros(len(mask), width)
    indices[rows, place] = columns
    return indices, torch.arange(width, device=mask.device) < counts[:, None]


def _best_of_all(gain: Tensor, drop: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best pair of columns p < q of (N, M), and its value, all (N,); -1 where there is no valid pair."""
    count, width = gain.shape
    value = torch.full((count,), -1.0, dtype=gain.dtype, device=gain.device)
    p, q = torch.zeros((2, count), dtype=torch.int64, device=gain.device)
    height = max(1, MOST_PAIRS // (count * width))
    for start in range(0, width, height):
        rows = slice(start, start + height)
        gains = gain[:, rows, None] + gain[:, None, :]  # (N, R, M)
        drops = drop[:, rows, None] + drop[:, None, :]
        pairs = (present[:, rows, None] & present[:, None, :]).triu(1 + start) & (gains > 0) & (drops > 0)
        # a product of two tiny sums may underflow to 0, which is still better than no pair
        score, position = _only(pairs, gains * drops, -1.0).flatten(1).max(dim=1)
        better = score > value
        value = torch.where(better, score, value)
        p = torch.where(better, start + position // width, p)
        q = torch.where(better, position % width, q)
    return p, q, value
