"""What no setting may be, whichever it is and wherever it comes from; and files that would not end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from defensive_distillation.config import experiment, loading, stage_config
from defensive_distillation.errors import ConfigurationError, InputError, first_line
from defensive_distillation.networks.architectures import PAPERNOT
from defensive_distillation.networks.forms import OWN, check_architecture, torchvision_names
from defensive_distillation.settings import LARGEST
from defensive_distillation_pipelines.commands.cli import command_parser
from defensive_distillation_pipelines.commands.parser import settings_of
from defensive_distillation_pipelines.definitions.resources import cluster

NUMBERS = [  # settings that are numbers, at the top, in a stage, in a section, in a list, of a defense
    ("seed", ("seed",), False),
    ("temperatures", ("temperatures",), True),
    ("train_teacher.epochs", ("train_teacher", "epochs"), False),
    ("attack.jsma.sources", ("attack", "jsma", "sources"), False),
    ("attack.bounded.epsilons", ("attack", "bounded", "epsilons"), True),
    ("gate.accuracy.tolerance", ("gate", "accuracy", "tolerance"), False),
]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "expected a number, got True"),
        ("٣", "expected a number in the digits 0 to 9, got '٣'"),
        ("²", "expected a number in the digits 0 to 9, got '²'"),
    ],
)
@pytest.mark.parametrize(("name", "path", "several"), NUMBERS)
def test_what_is_no_number_is_refused_wherever_one_is_expected(
    name: str, path: tuple[str, ...], several: bool, value: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        experiment(loading.nested(path, [value] if several else value))
    assert str(refused.value) == f"{name}: {message}"


@pytest.mark.parametrize("form", [int, str])
@pytest.mark.parametrize("path", [path for _, path, several in NUMBERS if not several and path[-1] != "tolerance"])
def test_an_integer_that_pytorch_has_no_room_for_is_refused(path: tuple[str, ...], form: type) -> None:
    experiment(loading.nested(path, form(LARGEST)))
    for large in (LARGEST + 1, 10**400):
        with pytest.raises(ConfigurationError, match=rf"expected an integer of at most {LARGEST}, got \S") as refused:
            experiment(loading.nested(path, form(large)))
        assert len(str(refused.value)) < 200


TEXTS = [("report", "title"), ("prepare_data", "source"), ("prepare_data", "data_root"), ("import_model", "weights")]


@pytest.mark.parametrize("text", ["{{$.pipeline_job_name}}", "{{workflow.uid}}", "\udcff", "\x1b[31m", "\0"])
@pytest.mark.parametrize(("stage", "key"), TEXTS)
def test_a_text_that_would_not_arrive_as_it_is_is_refused(stage: str, key: str, text: str) -> None:
    for whole, given in ((True, {stage: {key: f"a {text}"}}), (False, {key: f"a {text}"})):
        with pytest.raises(ConfigurationError, match=rf"^{stage}\.{key}: expected a text without "):
            experiment(given) if whole else stage_config(stage, given)


def test_other_texts_are_taken() -> None:
    title = "Größe {T} in zwei\nZeilen, قطة"
    assert experiment({"report": {"title": title}}).report.title == title


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_teacher": {"threads": 10**6}}, "threads: expected less than or equal to 1024"),
        ({"train_teacher": {"device": "cuda:99999999999"}}, "device: .*pattern"),
        ({"train_teacher": {"device": "cuda:٣"}}, "device: .*pattern"),
        ({"attack": {"cw": {"learning_rate": 1e308}}}, "learning_rate: expected less than or equal to 1000000"),
        ({"attack": {"cw": {"initial_constant": 1e-46}}}, "initial_constant: expected greater than or equal to"),
        ({"attack": {"cw": {"constant_factor": 1.0000001}}}, "constant_factor: expected greater than or equal to"),
        ({"attack": {"shards": 100_000}}, r"^attack\.shards: expected at most 5000 steps of attacks .*, got 1000000$"),
        ({"name": "a" * 300}, "name: String should have at most 63 characters, got 'aaaa.*…$"),
        ({"temperatures": [20, 20.0000001]}, "each network may stand once, repeated: T=20"),
        (
            {"train_teacher": {"architecture": "resnet18"}},
            r"^train_teacher\.architecture: expected .*, got 'resnet18'; torchvision's would be torchvision:resnet18$",
        ),
        ({"train_teacher": {"architecture": "denoised:x:y"}}, "denoised:ARCHITECTURE, got 'x:y'$"),
        ({"train_teacher": [1] * 10_000}, r"train_teacher: expected a valid dict.*\.\.\.\]$"),
    ],
)
def test_a_setting_out_of_its_range_is_named_before_anything_begins(values: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        experiment(values)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("attack.retries=3000000000", "attack.retries: expected less than or equal to 100"),
        ("attack.gpu_count=٣", "attack.gpu_count: .*digits 0 to 9"),
        ("attack.memory=٣Gi", "attack.memory: .*pattern"),
        ('attack.tolerations=[{"tolerationSeconds": NaN}]', "expected a number that JSON has, got NaN"),
        ("image=of/{{workflow.uid}}", "image: expected a text without"),
    ],
)
def test_what_a_cluster_is_asked_for_is_checked_alike(assignment: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cluster(assignments=[assignment])


def test_every_architecture_of_our_own_has_a_form() -> None:
    assert set(OWN) == set(PAPERNOT)
    for name in (*OWN, "torchvision:resnet18", "rbf:30", "denoised:denoised:papernot_mnist"):
        check_architecture(name)
    for name in ("", "rbf", "denoised:", "timm:x"):
        with pytest.raises(InputError, match="architecture: expected papernot_mnist"):
            check_architecture(name)


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: 1\nseed: 2\n", "the key 'seed' stands twice .*line 1"),
        ("train:\n  epochs: 1\n  epochs: 2\n", "the key 'epochs' stands twice .*line 2"),
        ("temperatures: !!set {1, 2}\n", "tag:yaml.org,2002:set"),
        ("report: {title: !!binary aGFsbG8=}\n", "tag:yaml.org,2002:binary"),
        ("temperatures: &a [*a]\n", "expected at most 100,000 values"),
        (BOMB, "expected at most 100,000 values"),
        ("[" * 10_000, "expected YAML or TOML, got: "),
    ],
)
def test_a_file_that_is_no_settings_is_named_in_a_short_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message) as refused:
        loading.read_file(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert len(str(refused.value)) < 400


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigurationError, match="expected a YAML or TOML file, got a pipe or a device"):
        loading.read_file(tmp_path / "pipe.yaml")


def test_aliases_merges_and_dates_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("attack: {jsma: &one {sources: 3}, cw: {<<: *one, steps: 2}}\nreport: {title: 2020-01-01}\n")
    read = loading.read_file(file)
    assert read["attack"] == {"jsma": {"sources": 3}, "cw": {"sources": 3, "steps": 2}}
    assert read["report"]["title"] == "2020-01-01"


@pytest.mark.parametrize("sign", ["\x1b", "\u202e", "\udcff", "\x07"])
def test_no_message_reaches_the_terminal_with_signs_that_steer_it(sign: str) -> None:
    line = first_line(ValueError(f"cat{sign}[31m/0.png: expected an image"))
    assert line.isprintable()
    assert line.startswith("cat\\")
    assert line.endswith("[31m/0.png: expected an image")


def test_torchvisions_names_are_known_without_it() -> None:
    from torchvision import models

    assert list(torchvision_names()) == sorted(models.list_models(module=models))
    with pytest.raises(ConfigurationError, match=r"a torchvision classifier such as resnet18, .*, got 'resnet19'"):
        stage_config("train_teacher", {"architecture": "torchvision:resnet19"})


def test_a_fault_of_a_file_names_the_file_and_the_key_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for content, said in (
        ("attack:\n  jsma:\n    sources: -3\n", f"{file}: attack.jsma.sources: expected greater than or equal to 1"),
        ("nope: 1\n", f"{file}: nope: expected a setting"),
    ):
        file.write_text(content)
        with pytest.raises(ConfigurationError) as caught:
            settings_of(command_parser().parse_args(["run", "--config", str(file)]))
        assert str(caught.value).startswith(said)
        assert str(caught.value).count(str(file)) == 1
    with pytest.raises(ConfigurationError, match=r"^seed: "):
        settings_of(command_parser().parse_args(["run", "--config", str(file), "--seed", "x"]))
