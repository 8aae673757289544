"""What of two evaluations of a network is compared, and how: pair by pair where the samples are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defensive_distillation.artifacts.evaluation import Measured, Pairs
from defensive_distillation.comparison.change import Change, Measure, direction_of, finite
from defensive_distillation.comparison.means import difference_of_means_interval, paired_mean_interval
from defensive_distillation.evaluation.intervals import difference_interval, paired_interval, wilson_interval
from defensive_distillation.evaluation.results import ROUNDING
from defensive_distillation.suite.registry import ATTACKS

_RANK = {"no": 0, "undecided": 1, "yes": 2}


def accuracy(before: Measured, after: Measured) -> Iterator[Change]:
    """Of the test images, one by one where they are the same."""
    yield _rates("accuracy", "", before, after, before.correct, after.correct, same=before.images == after.images)


def robust_accuracy(before: Measured, after: Measured) -> Iterator[Change]:
    """Within each radius below 1 of the attacks within balls: at 1 nothing is bounded."""
    radii = [epsilon for epsilon in _radii(before) | _radii(after) if epsilon < 1]
    differ = _differ(before.arguments, after.arguments)
    for epsilon in sorted(radii):
        of = f"{epsilon:g}"
        if epsilon not in _radii(before) & _radii(after):
            yield _missing("robust_accuracy", of, before, after, _robust(before, epsilon), _robust(after, epsilon))
            continue
        first, second = _within(before, epsilon), _within(after, epsilon)
        if differ:
            yield _incomparable("robust_accuracy", of, before, after, _mean(first), _mean(second), differ)
            continue
        assert before.errors is not None
        assert after.errors is not None
        same = before.images == after.images and np.array_equal(before.errors.source, after.errors.source)
        yield _rates("robust_accuracy", of, before, after, first, second, same=same)


def jsma_success(before: Measured, after: Measured) -> Iterator[Change]:
    """JSMA as in the paper, on each output, pair by pair."""

    def changed(name: str, one: Pairs, other: Pairs, same: bool) -> Change:
        return _rates("jsma_success", _variant(name), before, after, one.success, other.success, same=same)

    yield from _attacks("jsma_success", ("jsma",), before, after, called=_variant, value=_success, changed=changed)


def distances(before: Measured, after: Measured) -> Iterator[Change]:
    """The mean distance that each attack of Carlini and Wagner needs, over the sources."""

    def changed(name: str, one: Pairs, other: Pairs, same: bool) -> Change:
        return _distances(name, before, after, one, other, same=same)

    attacks = [name for name, attack in ATTACKS.items() if attack.family == "distance"]
    yield from _attacks("distance", attacks, before, after, called=str, value=_distance, changed=changed)


def masked(before: Measured, after: Measured) -> Iterator[Change]:
    """The verdict, which has an interval of its own: worse is from 'no' to 'yes', and the other way round better."""
    one, other = before.evaluation.masking, after.evaluation.masking
    rise = _RANK[other.masked] - _RANK[one.masked]
    yield Change(
        network=after.name,
        title=after.evaluation.model.title,
        measure="masked",
        of="",
        before=one.masked,
        after=other.masked,
        direction="worse" if rise == 2 else "better" if rise == -2 else "same",
        note="" if rise in (-2, 0, 2) else "an undecided verdict is no change",
    )


def _attacks(
    measure: Measure,
    attacks: Sequence[str],
    before: Measured,
    after: Measured,
    *,
    called: Callable[[str], str],
    value: Callable[[Pairs | None], float | None],
    changed: Callable[[str, Pairs, Pairs, bool], Change],
) -> Iterator[Change]:
    """Every variant of some attacks that either evaluation has, where both were run alike."""
    for name in _names(before, after, *attacks):
        one, other, of = _right(before, after, name), _right(after, before, name), called(name)
        if one is None or other is None:
            yield _missing(measure, of, before, after, value(one), value(other))
        elif not len(one.success) or not len(other.success):
            yield _incomparable(measure, of, before, after, None, None, "no attacked image is classified right")
        elif differ := _differ({name: before.arguments[name]}, {name: after.arguments[name]}):
            yield _incomparable(measure, of, before, after, value(one), value(other), differ)
        else:
            yield changed(name, one, other, before.images == after.images and _same_pairs(one, other))


def _right(measured: Measured, other: Measured, name: str) -> Pairs | None:
    """The pairs of images that are classified right, by both networks where the images are the same."""
    pairs = measured.pairs.get(name)
    if pairs is None:
        return None
    correct = measured.correct & other.correct if measured.images == other.images else measured.correct
    kept = correct[pairs.source]
    return Pairs(pairs.source[kept], pairs.target[kept], pairs.success[kept], pairs.distance[kept])


def _variant(name: str) -> str:
    return name.partition("/")[2]


def _rates(
    measure: Measure,
    of: str,
    before: Measured,
    after: Measured,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    *,
    same: bool,
) -> Change:
    """Two shares: Newcombe's interval for paired rates, or for independent ones."""
    if same:
        both, gained, lost = (int(one.sum()) for one in (second & first, second & ~first, ~second & first))
        interval = paired_interval(both, gained, lost, len(first) - both - gained - lost)
    else:
        (p, of_p), (q, of_q) = ((_mean(one), wilson_interval(int(one.sum()), len(one))) for one in (second, first))
        interval = difference_interval(p, of_p, q, of_q)
    return Change(
        network=after.name,
        title=after.evaluation.model.title,
        measure=measure,
        of=of,
        before=_mean(first),
        after=_mean(second),
        difference=(int(second.sum()) - int(first.sum())) / len(first) if same else _mean(second) - _mean(first),
        interval=interval,
        paired=same,
        samples=len(second),
        direction=direction_of(measure, interval),
    )


def _distances(name: str, before: Measured, after: Measured, one: Pairs, other: Pairs, *, same: bool) -> Change:
    """Two mean distances: over the pairs that both reach, where the pairs are the same; by source either way.

    A mean over other pairs cannot be compared: an attack that reaches the near ones alone has the smaller mean.
    """
    reached = one.success & other.success if same else None
    first, second = (_by_source(pairs, pairs.success if reached is None else reached) for pairs in (one, other))
    if not len(first) or not len(second):
        return _incomparable("distance", name, before, after, _distance(one), _distance(other), "no pair was reached")
    interval = paired_mean_interval(second - first) if same else difference_of_means_interval(second, first)
    few = min(len(first), len(second)) < 2
    return Change(
        network=after.name,
        title=after.evaluation.model.title,
        measure="distance",
        of=name,
        before=float(first.mean()),
        after=float(second.mean()),
        difference=float(second.mean() - first.mean()),
        interval=finite(interval),
        paired=same,
        samples=len(second),
        direction=direction_of("distance", interval),
        note="one source has no interval" if few else "",
    )


def _by_source(pairs: Pairs, reached: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean distance over the reached pairs of each source that has any (S,)."""
    sources, place = np.unique(pairs.source[reached], return_inverse=True)
    totals = np.bincount(place, weights=pairs.distance[reached].astype(np.float64), minlength=len(sources))
    return totals / np.maximum(1, np.bincount(place, minlength=len(sources)))


def _same_pairs(one: Pairs, other: Pairs) -> bool:
    return np.array_equal(one.source, other.source) and np.array_equal(one.target, other.target)


def _names(before: Measured, after: Measured, *attacks: str) -> list[str]:
    """The variants of some attacks that either evaluation has, the reference's first."""
    return [name for name in dict.fromkeys([*before.pairs, *after.pairs]) if name.partition("/")[0] in attacks]


def _differ(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> str:
    """What attacks were run differently with, '' for nothing."""
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            return f"{name} was run {'before' if name in before else 'after'} only"
        for key in dict.fromkeys([*before[name], *after[name]]):
            one, other = before[name].get(key), after[name].get(key)
            if one != other:
                return f"{name} had {key} {one} before, {other} after"
    return ""


def _missing(
    measure: Measure, of: str, before: Measured, after: Measured, one: float | None, other: float | None
) -> Change:
    return _incomparable(
        measure, of, before, after, one, other, f"measured {'after' if one is None else 'before'} only"
    )


def _incomparable(
    measure: Measure, of: str, before: Measured, after: Measured, one: float | None, other: float | None, why: str
) -> Change:
    title = after.evaluation.model.title
    lost = one is not None
    return Change(after.name, title, measure, of, one, other, direction="incomparable", note=why, lost=lost)


def _radii(measured: Measured) -> set[float]:
    return set(measured.evaluation.robust.epsilons) if measured.evaluation.robust else set()


def _within(measured: Measured, epsilon: float) -> NDArray[np.bool_]:
    """Which images are classified right whatever is done to them within a radius."""
    assert measured.errors is not None
    right: NDArray[np.bool_] = measured.errors.linf > epsilon + ROUNDING
    return right


def _robust(measured: Measured, epsilon: float) -> float | None:
    return _mean(_within(measured, epsilon)) if epsilon in _radii(measured) else None


def _success(pairs: Pairs | None) -> float | None:
    return None if pairs is None else _mean(pairs.success)


def _distance(pairs: Pairs | None) -> float | None:
    of_sources = None if pairs is None else _by_source(pairs, pairs.success)
    return None if of_sources is None or not len(of_sources) else float(of_sources.mean())


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else 0.0
