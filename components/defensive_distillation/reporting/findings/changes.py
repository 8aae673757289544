"""What changed between two sweeps, in words and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.comparison.change import Change
from defensive_distillation.comparison.rules import Judged
from defensive_distillation.reporting.table import Row
from defensive_distillation.reporting.words import MASKED, OUTPUTS, count, distance, per_cent, points, points_range
from defensive_distillation.suite.registry import title

DIRECTIONS = {"better": "better", "worse": "worse", "same": "no clear change", "incomparable": "not comparable"}
DASH = "–"


def rows(judged: Sequence[Judged]) -> list[Row]:
    """One row a change; None where something was not measured."""
    return [_row(one) for one in judged]


def plain(changes: Sequence[Change]) -> list[Judged]:
    """Changes that no rule was put to."""
    return [Judged(change, None, fails=False) for change in changes]


def measured(change: Change) -> str:
    """What was measured: 'JSMA success on logits', 'robust accuracy within 0.1'."""
    if change.measure == "robust_accuracy":
        return f"robust accuracy within {change.of}"
    if change.measure == "jsma_success":
        return f"JSMA success on {OUTPUTS.get(change.of, change.of)}"
    if change.measure == "distance":
        return f"distance of {title(change.of)}"
    return {"accuracy": "accuracy", "masked": "gradients"}[change.measure]


def value(change: Change, number: float | str | None) -> str:
    """Before or after."""
    if number is None:
        return DASH
    if isinstance(number, str):
        return MASKED[number]
    return distance(number) if change.measure == "distance" else per_cent(number)


def difference(change: Change) -> str:
    """'−3.3 points', '+0.12'; a dash where there is none."""
    if change.difference is None:
        return DASH
    return _signed(change.difference) if change.measure == "distance" else points(change.difference)


def interval(change: Change) -> str:
    """'−5.1 to −1.5 points'; '' where there is none."""
    if change.interval is None:
        return ""
    if change.measure == "distance":
        return " to ".join(map(_signed, change.interval))
    return points_range(change.interval)


def limit(judged: Judged) -> str:
    """How much worse it may be: '2 points'; a dash where any is too much or none is heeded."""
    if judged.limit is None:
        return DASH
    return distance(judged.limit) if judged.change.measure == "distance" else points(judged.limit).lstrip("+")


def sentence(judged: Sequence[Judged] | None) -> str:
    """Why the gate passed or failed, in one line; None is a gate without a champion."""
    if judged is None:
        return "There is no champion to compare with, which is a pass; defdistill promote RUN makes a run the champion."
    failures = [one for one in judged if one.fails]
    if failures:
        more = f"; and {count(len(failures) - 1)} more" if len(failures) > 1 else ""
        return f"The sweep is worse than the champion: {_reason(failures[0])}{more}."
    networks = len({one.change.network for one in judged})
    seen = f"{count(len(judged))} measures of {networks} network{'s' if networks != 1 else ''} were compared"
    worse = sum(one.change.direction == "worse" for one in judged)
    better = sum(one.change.direction == "better" for one in judged)
    return (
        f"Nothing is worse than the champion's beyond what the rules allow: {seen}, {worse} clearly worse within "
        f"{'its limit' if worse == 1 else 'their limits'}, {better} clearly better."
    )


def _reason(judged: Judged) -> str:
    change = judged.change
    if change.direction == "incomparable":
        return f"{change.title}, {measured(change)} cannot be compared ({change.note})"
    seen = f"{value(change, change.after)} against {value(change, change.before)}"
    if change.difference is None:
        return f"{change.title}, {measured(change)}: {seen}"
    bound = f"95 % interval {interval(change)}" if change.interval else "no interval"
    return f"{change.title}, {measured(change)}: {seen} ({difference(change)}, {bound}; allowed {limit(judged)})"


def _row(judged: Judged) -> Row:
    change = judged.change
    low, high = change.interval or (None, None)
    return {
        "model": change.network,
        "measure": change.name,
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
        "difference_low": low,
        "difference_high": high,
        "paired": change.paired,
        "samples": change.samples,
        "change": change.direction,
        "limit": judged.limit,
        "fails": judged.fails,
        "note": change.note,
    }


def _signed(number: float) -> str:
    text = distance(abs(number))
    if not float(text.replace(",", "")):
        return "0"
    return f"−{text}" if number < 0 else f"+{text}"
