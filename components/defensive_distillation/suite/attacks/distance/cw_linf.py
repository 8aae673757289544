"""Carlini and Wagner's attack in L∞ (attacks/cw/)."""

from __future__ import annotations

from defensive_distillation.suite.families import by_distance

ATTACK = by_distance(name="cw_linf", title="C&W L∞", order=80, norm="linf")
