from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from defensive_distillation import __version__
from defensive_distillation.config import STAGES, StageConfig
from defensive_distillation.config.loading import PRESETS, described, section
from defensive_distillation_pipelines.commands import cli

COMMANDS = ("run", "submit", "watch", "stop", "schedule", "doctor", "compile", "rerun")
COMMANDS += ("stage", "list", "show", "report", "compare", "promote", "times", "ui", "config", "clean", "completion")
PROGRAM = str(Path(sys.executable).with_name("defdistill"))
HEAVY = {"torch", "torchvision", "kfp", "mlflow", "boto3", "matplotlib", "sklearn"}
TEXTS = {
    "source",
    "data_root",
    "architecture",
    "title",
    "configuration",
    "defense",
    "parameters",
    "experiment",
    "model",
    "weights",
    "name",
}  # settings that take any text
TRIES = 5  # another process may slow one down


def processor_seconds(command: list[str], folder: Path) -> float:
    """What a command takes on a machine with nothing else to do, as Python runs once it has its bytecode.

    Processor time instead of a clock's: the commands wait for nothing but the processor, and a busy machine would
    otherwise fail the test.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def takes_less_than(seconds: float, command: list[str], folder: Path) -> bool:
    """Whether a command is ever done in this processor time, on a machine that imports pydantic in a tenth of a second.

    The import is the measure of how fast the machine is now: no slower one gets less than its share.
    """
    importing = [sys.executable, "-c", "from pydantic import BaseModel"]
    return any(
        processor_seconds(command, folder) < seconds * max(1.0, 10 * processor_seconds(importing, folder))
        for _ in range(TRIES)
    )


def modules_after(folder: Path, *command: str) -> set[str]:
    """The packages that a process has imported when a command has ended."""
    code = (
        "import json, sys\n"
        "from defensive_distillation_pipelines.commands.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as exit_: assert not exit_.code\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def shown(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == code
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text of the help is broken into lines."""
    monkeypatch.setenv("COLUMNS", "1000")


def test_help_takes_less_than_half_a_second(tmp_path: Path) -> None:
    assert takes_less_than(0.5, [PROGRAM, "--help"], tmp_path)


def test_pressing_tab_takes_less_than_three_tenths_of_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the shells call it, which leave pydantic's plugins out."""
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
    assert takes_less_than(0.3, [PROGRAM, "completion", "--of", "run", "--set", "attack."], tmp_path)


def test_compiling_takes_less_than_two_seconds(tmp_path: Path) -> None:
    assert takes_less_than(2.0, [PROGRAM, "compile", "-o", "sweep.yaml"], tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["stage", "attack", "--help"],
        ["completion", "bash"],
        ["completion", "--of", "show", ""],
        ["config"],
    ],
    ids=" ".join,
)
def test_help_completion_and_settings_import_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    assert modules_after(tmp_path, *command) & HEAVY == set()


def test_compiling_imports_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    assert modules_after(tmp_path, "compile", "-o", "sweep.yaml") & HEAVY == {"kfp"}
    assert (tmp_path / "sweep.yaml").exists()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"defensive-distillation {__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, code=2) == shown(capsys, "--help")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), *(["stage", name] for name in STAGES)])
def test_every_help_has_an_example_of_its_own(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *command, "--help")
    example = re.search(r"^examples?:\n((?:  .+\n)+)", text, re.MULTILINE)
    assert example, text
    for line in example[1].splitlines():
        assert f"{' '.join(['defdistill', *command])} " in line + " "


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_summary_in_the_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(rf"^    {command} +[A-Z].+\.$", shown(capsys, "--help"), re.MULTILINE)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_examples_can_be_parsed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *([name] if name else []), "--help")
    lines = re.search(r"^examples:\n((?:  .+\n)+)", text, re.MULTILINE)
    assert lines
    for line in lines[1].splitlines():
        words = shlex.split(re.split(r" {2,}", line.strip())[0])
        words = words[words.index("defdistill") + 1 :]
        if "--help" not in words:
            cli.command_parser().parse_args(words)  # exits where it cannot


def flags(config: type[StageConfig]) -> dict[str, str]:
    return {f"--{name.replace('_', '-')}": description for name, _, description in leaves(config)}


def leaves(config: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo, str]]:
    """The settings of a model and of its sections: path, field and description."""
    for name, field in config.model_fields.items():
        if inner := section(field):
            yield from leaves(inner, f"{before}{name}.")
        else:
            yield before + name, field, described(field)


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_of_a_stage_is_a_flag_with_its_description(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"\n {4,}", " ", shown(capsys, "stage", stage, "--help"))
    for flag, description in flags(STAGES[stage]).items():
        assert re.search(rf"^  {re.escape(flag)}[ ,].*{re.escape(description)} \(default .+\)$", text, re.MULTILINE), (
            flag
        )
    for name in [*STAGES[stage].reads, "output", "work"]:
        assert re.search(rf"^  --{name.replace('_', '-')} PLACE", text, re.MULTILINE), name


@pytest.mark.parametrize("stage", STAGES)
def test_a_flag_reaches_its_setting(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    places = [word for name in STAGES[stage].reads for word in (f"--{name.replace('_', '-')}", "x")]
    for name, field, _ in leaves(STAGES[stage]):
        if field.annotation is not bool and name not in TEXTS:
            with pytest.raises(SystemExit) as ended:
                cli.main(["stage", stage, *places, "--output", "x", f"--{name.replace('_', '-')}", "wrong"])
            assert ended.value.code == 2
            expected = rf"defdistill: {stage}\.{re.escape(name)}(\.0)?: .*got (\['wrong'\]|'wrong')"
            assert re.match(expected, capsys.readouterr().err), name


def test_a_stage_is_also_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "defensive_distillation.stages.report"]
    helped = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert helped.stdout.startswith("usage: python -m defensive_distillation.stages.report ")
    assert "example:\n  python -m defensive_distillation.stages.report --evaluations" in helped.stdout
    assert all(flag in helped.stdout for flag in flags(STAGES["report"]))
    assert helped.stderr == ""
    failed = subprocess.run([*command, "--output", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.startswith("python -m defensive_distillation.stages.report: the following arguments are")
    assert failed.stderr.count("\n") == 1


def test_the_presets_are_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert ", ".join(PRESETS) in shown(capsys, "run", "--help")


def test_a_standard_output_that_is_full_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "compile", "-o", "sweep.yaml"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("defdistill: standard output: could not write: ")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "config"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_locale_without_a_sign_loses_no_result(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "compile", "-o", "größe.yaml"]
    plain = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=plain)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("compiled to gr")
    assert (tmp_path / "größe.yaml").is_file()
