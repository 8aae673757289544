"""JSMA as in the paper: towards every other class, on each output (attacks/jsma.py)."""

from __future__ import annotations

from defensive_distillation.suite.families import by_budget
from defensive_distillation.suite.sections import TargetedJsma

ATTACK = by_budget(name="jsma", title="JSMA", order=10, settings=TargetedJsma, on_controls=True, by_class=True)
