"""More shards than an attack has samples are refused before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from defensive_distillation.config import loading
from defensive_distillation.datasets.sources import NAMED
from defensive_distillation.suite.execution import attack_calls
from defensive_distillation.suite.fitting import fitted
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation_pipelines.commands import cli
from support.datasets import loaded, one_side, two_sides, zipped

SOURCES = ("jsma.sources", "jsma_decreasing.sources", "jsma_untargeted.sources", "cw.sources", "bounded.samples")
TARGETS = ("jsma.targets", "jsma_decreasing.targets", "cw.targets")
DATA: dict[str, Callable[[Path], object]] = {
    "digits": lambda place: "digits",
    "a folder": two_sides,
    "an archive": lambda place: zipped(one_side(place), place.with_suffix(".zip")),
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "few sources": tuple(f"attack.{name}=3" for name in SOURCES),
    "few images": ("prepare_data.test_limit=11",),
    "few targets": tuple(f"attack.{name}=2" for name in SOURCES + TARGETS),
    "more targets than classes": tuple(f"attack.{name}={3 if name in SOURCES else 400}" for name in SOURCES + TARGETS),
    "what fits the data": ("attack.half_width=0.3",),
}


def most(name: str, assignments: list[str]) -> int:
    """How many samples the attack has once the images are there."""
    config = loading.load("digits", assignments=assignments)
    data = config.prepare_data
    source = data.source if data.source in NAMED else Path(data.source)
    dataset = loaded(source, test_limit=data.test_limit)
    attack = config.attack
    if attack.half_width is not None:
        attack = fitted(attack, dataset.test_images, dataset.num_classes)
    call = next(call for call in attack_calls(attack.model_copy(update={"attacks": (name,)}), 1.0, None))
    return len(call.pairs(dataset, 0)[0])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_takes_as_many_shards_as_it_has_samples(
    name: str, data: str, settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = DATA[data](tmp_path / "images")
    attacks = "transfer,square" if name == "transfer" else name  # from another network alone is refused
    assignments = [*SETTINGS[settings], f"prepare_data.source={place}", f"attacks={attacks}", "defenses=none"]
    flags = [word for one in assignments for word in ("--set", one)]
    samples = most(name, assignments)
    cli.main(["config", *flags, f"--set=attack.shards={samples}"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--workspace", str(tmp_path / "workspace"), *flags, f"--set=attack.shards={samples + 1}"])
    assert ended.value.code == 2
    refused = rf"attack\.shards: expected at most {samples}, the samples of {name} \(.*\d.*\), got {samples + 1}\n"
    assert re.fullmatch(f"defdistill: {refused}", capsys.readouterr().err)
    assert not (tmp_path / "workspace").exists()


def test_of_data_elsewhere_only_the_settings_tell(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--set=prepare_data.source=s3://bucket/photos", "--set=attack.jsma.sources=3", "--set=attacks=jsma")
    cli.main(["config", *flags, "--set=attack.shards=100"])
    with pytest.raises(SystemExit):
        cli.main(["config", *flags, "--set=attack.shards=100", "--set=attack.jsma.targets=2"])
    told = "expected at most 6, the samples of jsma (attack.jsma.sources = 3, 2 other classes each), got 100"
    assert told in capsys.readouterr().err
