"""What is damaged in a workspace is named with the command that removes it, and stops nothing else."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from defensive_distillation import artifacts
from defensive_distillation.config import experiment, plain
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.local.run_folder import RunFolder
from defensive_distillation_pipelines.local.workspace import Workspace
from support.chain import Chain

DAMAGED = {
    "half an object": b"{",
    "a list": b"[]",
    "a number": b"3",
    "a text": b'"x"',
    "sections that are none": b'{"train_teacher": 3}',
    "another encoding": b"\xff\xfe{}",
    "nested too deep": b"[" * 100_000,
    "nothing": b"",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One with two runs that have begun."""
    made = Workspace(tmp_path / "a workspace")
    made.create()
    for name in ("first", "second"):
        RunFolder(made, name).begin(experiment({}))
    return made


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    return said


def obey(said: str) -> None:
    """Does what a line says that removes what is damaged."""
    words = shlex.split(said[said.index(" rm ") :])
    subprocess.run(words[: words.index("removes")], check=True)


@pytest.mark.parametrize("verb", ["report", "run"])
@pytest.mark.parametrize("content", [*DAMAGED.values(), None], ids=[*DAMAGED, "a folder"])
def test_damaged_settings_of_a_run_are_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], content: bytes | None, verb: str
) -> None:
    file = workspace.root / "runs" / "first" / "config.json"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    name = ["--run", "first"] if verb == "run" else ["first"]
    said = refused(capsys, verb, *name, "--workspace", str(workspace.root))
    assert f"{file}: expected the settings of a run as JSON, got: " in said
    obey(said)
    assert workspace.runs() == ["second"]


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_progress_file_is_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = RunFolder(workspace, "first").progress / "attack.7.json"
    file.write_bytes(content)
    said = refused(capsys, "times", "first", "--workspace", str(workspace.root))
    assert f"{file}: expected what a step says of itself, got: " in said
    obey(said)
    assert "with a step that has ended" in refused(capsys, "times", "first", "--workspace", str(workspace.root))


@pytest.mark.parametrize("content", [*DAMAGED.values(), b'{"model": {"uri": 3}}', b'{"model": {}}'])
def test_a_damaged_entry_of_the_cache_is_forgotten_and_others_stay(workspace: Workspace, content: bytes) -> None:
    whole, damaged, folder = (workspace.cache / f"{name}.json" for name in ("whole", "damaged", "folder"))
    whole.write_text(json.dumps({"model": {"__kfp_artifact__": True, "uri": "/store/model"}}))
    damaged.write_bytes(content)
    folder.mkdir()
    workspace.forget_damaged()
    assert list(workspace.cache.iterdir()) == [whole]


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("place", ["other", ".other.draft-7"])
def test_a_damaged_manifest_stops_no_run_that_does_not_need_it(
    workspace: Workspace, chain: Chain, place: str, content: bytes
) -> None:
    shutil.copytree(chain.place("dataset"), workspace.store / "whole")
    damaged = workspace.store / place
    damaged.mkdir()
    (damaged / artifacts.MANIFEST).write_bytes(content)
    assert [stored.location for stored in workspace.stored().values()] == [str(workspace.store / "whole")]
    assert workspace.damaged() == ([] if place.startswith(".") else [damaged])


def test_a_damaged_artifact_of_a_run_is_named_with_what_removes_it(
    workspace: Workspace, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(workspace, "first")
    shutil.copytree(chain.place("report"), run.report)
    damaged = workspace.store / "an evaluation"
    shutil.copytree(chain.place("evaluation"), damaged)
    (damaged / artifacts.MANIFEST).write_bytes(b"{")
    said = refused(capsys, "report", "first", "--workspace", str(workspace.root))
    assert "is no longer in" in said
    obey(said)
    assert not damaged.exists()


def test_settings_that_are_read_are_those_that_were_written(workspace: Workspace) -> None:
    assert plain(RunFolder(workspace, "first").config()) == plain(experiment({}))
