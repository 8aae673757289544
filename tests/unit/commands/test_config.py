from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from defensive_distillation.config.loading import PRESETS
from defensive_distillation_pipelines.commands import cli

FLAGS = {
    "nothing": (),
    **{preset: ("--preset", preset) for preset in PRESETS},
    "temperatures and sections": ("--temperatures", "1,20", "--set", "attack.jsma.targets=3", "--seed", "7"),
    "groups": ("--set", "attacks=jsma,fgsm", "--set", "attack_groups=each"),
    "small numbers": ("--set", "train.learning_rate=1e-5", "--set", "train_student.momentum=0"),
    "defenses": ("--defenses", "adversarial_training:epsilon=0.2:steps=10,label_smoothing"),
    "no defense": ("--defenses", "none"),
    "data of one's own": ("--set", "prepare_data.source=/photos/ünï:code #1.zip", "--set", "report.title='a: b'"),
    "an audited model": ("--set", "import_model.model=torchvision:resnet18", "--set", "import_model.weights=weights"),
}


def printed(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    cli.main(["config", *flags])
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.mark.parametrize("name", FLAGS)
def test_what_is_printed_gives_itself_again_byte_for_byte(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"some")  # only their digest is taken
    first = printed(capsys, *FLAGS[name])
    file = tmp_path / "settings.yaml"
    file.write_text(first)
    assert printed(capsys, "--config", str(file)) == first
    assert json.loads(printed(capsys, "--json", "--config", str(file))) == yaml.safe_load(first)


def test_a_flag_is_among_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    found = yaml.safe_load(printed(capsys, "--temperatures", "5", "--set", "attack.jsma.sources=3"))
    assert (found["temperatures"], found["attack"]["jsma"]["sources"]) == ([5.0], 3)
