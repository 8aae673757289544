"""The search for the best pair of features alone, as the features and their opposition grow."""

from __future__ import annotations

from benchmarks.page import measured, rounds_of
from benchmarks.programs.pair_search import CORRELATIONS, FEATURES
from benchmarks.race import Entry, race
from benchmarks.sections.plan import Plan, Section

ABOUT = """\
CPU milliseconds a sample, by the number of features and the correlation of α with β: near 1 a feature
that raises the target's output raises the others' as well, and hardly a pair is good in both."""


def _text(plan: Plan) -> str:
    rows, rounds = [], 0
    correlations = CORRELATIONS[1::2] if plan.fast else CORRELATIONS
    for features in FEATURES[::2] if plan.fast else FEATURES:
        entries = [Entry(f"{c:g}", "pair_search", str(c), {"features": features}) for c in correlations]
        found = race(entries, plan.rounds)
        rows.append([f"{features:,}", *(one.reason or f"{1e3 / one.rate:.1f}" for one in found)])
        rounds = rounds_of(found)
    return f"{ABOUT}\n\n{measured(['features', *(f'correlation {c:g}' for c in correlations)], rows, rounds)}"


SECTION = Section("The pair search alone", _text, fast=True)
