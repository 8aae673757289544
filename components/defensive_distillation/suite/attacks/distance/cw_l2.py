"""Carlini and Wagner's attack in L2 (attacks/cw/)."""

from __future__ import annotations

from defensive_distillation.suite.families import by_distance

ATTACK = by_distance(name="cw_l2", title="C&W L2", order=60, norm="l2", on_controls=True)
