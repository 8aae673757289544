from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from defensive_distillation.config import STAGES
from defensive_distillation.config.loading import PRESETS
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.commands.candidates import candidates
from defensive_distillation_pipelines.commands.completion import _SCRIPTS, script

RUNS = ("digits-1a2b3c", "photos-4d5e6f")


@pytest.fixture(autouse=True)
def _workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs in the usual workspace, one elsewhere."""
    for workspace, names in {"workspace": RUNS, "elsewhere": ("mnist-777777",)}.items():
        for name in names:
            folder = tmp_path / workspace / "runs" / name
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)


def words(line: str) -> list[str]:
    """The candidates for the end of a command line; one that ends in a blank has an empty last word."""
    given = shlex.split(line) + ([""] if not line or line.endswith(" ") else [])
    return [word for word, _ in candidates(cli.command_parser(), given)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("re", ["rerun", "report"]),
        ("run --pres", ["--preset"]),
        ("run --preset ", list(PRESETS)),
        ("run --preset mnist-", ["mnist-short"]),
        ("run --preset=mnist-", ["--preset=mnist-short"]),
        ("run --preset = mnist-", ["mnist-short"]),
        ("run --runner ", ["process", "docker"]),
        ("run --set attack.jsma.sou", ["attack.jsma.sources="]),
        ("run --set train.epo", ["train.epochs="]),
        ("run --set attack.jsma.sources=20 --pres", ["--preset"]),
        ("run --set attack.jsma.sources = 20 --pres", ["--preset"]),
        ("run --preset digits --pres", []),
        ("run --set a=b --set train_teacher.epo", ["train_teacher.epochs="]),
        ("run --defenses distillation,adv", ["distillation,adversarial_training"]),
        ("rerun ", list(STAGES)),
        ("rerun attack --set jsma.sou", ["jsma.sources="]),
        ("rerun attack --run digits --set jsma.sou", ["jsma.sources="]),
        ("rerun attack --run d", ["digits-1a2b3c"]),
        ("stage ", list(STAGES)),
        ("stage attack --jsma.sou", ["--jsma.sources"]),
        ("show p", ["photos-4d5e6f"]),
        ("show l", ["latest"]),
        ("show --workspace elsewhere m", ["mnist-777777"]),
        ("show --workspace=elsewhere m", ["mnist-777777"]),
        ("compare digits-1a2b3c p", ["photos-4d5e6f"]),
        ("clean --dry-run d", ["digits-1a2b3c"]),
        ("show digits-1a2b3c ", []),
        ("watch ", []),  # its runs are a cluster's
        ("run --config ", []),  # the shell knows files
        ("doctor --profile ", ["gpu", "cpu"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("nonsense ", list(cli.command_parser()._subparsers._group_actions[0].choices)),  # type: ignore[union-attr,arg-type]
    ],
)
def test_what_may_stand_next(line: str, expected: list[str]) -> None:
    assert sorted(words(line)) == sorted(expected)


def test_every_flag_of_every_verb_is_offered() -> None:
    verbs = words("")
    assert {"run", "audit", "list", "completion"} <= set(verbs)
    for verb in verbs:
        helped = cli.command_parser()._subparsers._group_actions[0].choices[verb]  # type: ignore[union-attr,index]
        flags = {name for action in helped._actions for name in action.option_strings if name.startswith("--")}
        assert set(words(f"{verb} --")) == flags - {"--of"}


def test_a_word_has_its_meaning_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["completion", "--of", "run", "--see"])
    assert capsys.readouterr().out == "--seed\tseed of the experiment\n"


@pytest.mark.parametrize("shell", _SCRIPTS)
def test_every_shell_has_a_script_that_it_can_read(shell: str, tmp_path: Path) -> None:
    text = script(shell)
    assert "completion --of" in text
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(text)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True)


def test_bash_completes_with_it(tmp_path: Path) -> None:
    """The program itself is a stand-in that shows what the shell asks of it and answers with two words."""
    asked = tmp_path / "defdistill"
    asked.write_text('#!/bin/sh\nprintf "%s|" "$@" >&2\nprintf "one=\\tmeaning\\n"\n')
    asked.chmod(0o755)
    line = f"COMP_WORDS=({asked} run --pre); COMP_CWORD=2; _defdistill; echo; echo ${{COMPREPLY[@]}}"
    text = script("bash").replace(" 2>/dev/null", "") + "compopt() { echo compopt $@; }\n" + line
    ended = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["compopt", "-o", "nospace", "one="]
    assert ended.stderr == "completion|--of|run|--pre|"
