"""Carlini and Wagner's attack in L0 (attacks/cw/)."""

from __future__ import annotations

from defensive_distillation.suite.families import by_distance

ATTACK = by_distance(name="cw_l0", title="C&W L0", order=70, norm="l0", dense=False)
