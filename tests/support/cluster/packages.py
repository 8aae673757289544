"""Compiled pipelines for a cluster: presets, and the variants that a user can ask for."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any, get_args

from defensive_distillation.config import experiment, loading
from defensive_distillation_pipelines.definitions.package import Package, package
from defensive_distillation_pipelines.definitions.resources import Profile, cluster
from defensive_distillation_pipelines.definitions.sweep import sweep

_FOLDER = Path(__file__).parents[2] / "cluster"
PRESETS = [(preset, profile) for preset in loading.PRESETS for profile in get_args(Profile)]
VARIANTS: dict[str, dict[str, Any]] = {
    "every attack a step": {"sets": ("attack_groups=each",)},
    "two shards": {"sets": ("attack.shards=2",)},
    "some attacks in steps": {"sets": ("attacks=jsma,fgsm,pgd", "attack_groups=jsma,fgsm+pgd", "attack.shards=2")},
    "a defense beside": {"defended": True},
    "a gate at the end": {"gate": True},
    "no more than two networks at once": {"parallelism": 2},
}
_DEFENSES = [{"defense": "distillation", "parameters": {"temperature": 7}}]


@functools.cache
def compiled(
    preset: str,
    profile: str = "cpu",
    *,
    sets: tuple[str, ...] = (),
    defended: bool = False,
    gate: bool = False,
    parallelism: int | None = None,
) -> Package:
    """The sweep for a cluster; compiled once."""
    values = loading.values(preset, None, list(sets)) | ({"defenses": _DEFENSES} if defended else {})
    asked = cluster(profile).model_copy(update={"parallelism": parallelism})
    return package(sweep(experiment(values), cluster=asked, work="auto", gate=gate))


def kept(name: str) -> Package:
    """A compiled pipeline of the past, from tests/cluster."""
    return Package(gzip.decompress((_FOLDER / f"{name}.yaml.gz").read_bytes()).decode())
