"""What stands in a workspace: listed, shown, told as settings, and cleaned."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from defensive_distillation import artifacts
from defensive_distillation.config import loading
from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.local.run_folder import RunFolder, default_name, existing_run
from defensive_distillation_pipelines.local.workspace import Workspace
from support.chain import Chain, lay_out

Call = Callable[..., str]


@pytest.fixture(scope="module")
def first(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two finished runs that share everything."""
    root = tmp_path_factory.mktemp("runs") / "workspace"
    for number, run in enumerate(lay_out(chain, root, "digits-old", "digits-new")):
        started(run, 100 * 86400 - number)
    return root


@pytest.fixture
def workspace(first: Path, tmp_path: Path) -> Workspace:
    """The same for one test."""
    shutil.copytree(first, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def call(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        command = [*words, "--workspace", str(workspace.root)]
        if not code:
            cli.main(command)
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
        assert ended.value.code == code
        return capsys.readouterr().err

    return call


def started(run: RunFolder, seconds_ago: float) -> None:
    at = time.time() - seconds_ago
    os.utime(run.path / "config.json", (at, at))


def begun(workspace: Workspace, name: str, **said: Any) -> RunFolder:
    """A run that has begun, and what a step of it says."""
    run = RunFolder(workspace, name)
    run.begin(loading.load("digits", None, ["temperatures=5", "seed=3"]))
    if said:
        status = Status.model_validate({"stage": "train_teacher", "log": "a.log", **said})
        (run.progress / "train_teacher.1.json").write_text(status.model_dump_json())
    return run


def entry(call: Call, name: str) -> dict[str, Any]:
    return next(run for run in json.loads(call("list", "--json"))["runs"] if run["run"] == name)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def artifact(workspace: Workspace, name: str, **inputs: list[str]) -> artifacts.Artifact:
    """An artifact as a step leaves it in the store, with what Kubeflow leaves beside it."""
    place = workspace.store / "pipeline-2026" / name
    place.mkdir(parents=True)
    (place / "executor_output.json").write_text("{}")
    (workspace.cache / f"{name}.json").write_text(
        json.dumps({"model": {"__kfp_artifact__": True, "uri": f"pipeline-2026/{name}/model", "name": "model"}})
    )
    return artifacts.write(
        str(place / "model"),
        kind="model",
        stage="train_teacher",
        code="c",
        config={"name": name},
        inputs=inputs,
        facts={},
        write_files=lambda folder: (folder / "tensors.safetensors").write_bytes(b"x" * 1_000_000),
    )


def in_terminal(answer: str, *words: str) -> str:
    """What a command shows whose input and output are a terminal of 80 columns."""
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdin=below, stdout=below, stderr=below, env=environment):
        os.close(below)
        os.write(above, answer.encode())
        said = b""
        with contextlib.suppress(OSError):  # Linux tells so that nobody writes any more
            while more := os.read(above, 65536):
                said += more
    os.close(above)
    return said.decode().replace("\r\n", "\n")


STATES: dict[str, tuple[dict[str, Any], str, str]] = {  # what a step said last, the state of the run, and why
    "nothing was said": ({}, "stopped", ""),
    "a step was at work": ({"state": "running"}, "stopped", ""),
    "a step was done": ({"state": "done"}, "stopped", ""),
    "a step failed": ({"state": "failed", "message": "diverged"}, "failed", "train_teacher: diverged; log: a.log"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_run_stands_as_its_last_start_ended(case: str, workspace: Workspace, call: Call) -> None:
    said, state, why = STATES[case]
    begun(workspace, "one", **said)
    assert entry(call, "one")["state"] == state
    shown = json.loads(call("show", "one", "--json"))
    assert (shown["state"], shown["failure"] or "") == (state, why)
    assert why in call("show", "one")


def test_a_run_that_a_process_works_at_runs(workspace: Workspace, call: Call) -> None:
    run = begun(workspace, "one", state="running")
    with FileLock(run.path / ".lock"):
        assert entry(call, "one")["state"] == "running"
    assert entry(call, "one")["state"] == "stopped"


def test_why_a_run_failed_is_kept_until_it_starts_again(workspace: Workspace, call: Call) -> None:
    run = begun(workspace, "one", state="running")
    run.failure.write_text("train_teacher was killed; log: a.log\n")  # no step could say so itself
    assert "why:     train_teacher was killed; log: a.log\n" in call("show", "one")
    run.begin(run.config())
    assert entry(call, "one")["state"] == "stopped"


def test_the_list_has_the_latest_first_with_what_each_found(workspace: Workspace, call: Call) -> None:
    begun(workspace, "photos", state="running")
    head, _, *lines = call("list").splitlines()
    assert head.split() == ["run", "state", "started", "networks", "accuracy", "gradients", "size"]
    assert [line.split()[:2] for line in lines] == [
        ["photos", "stopped"],
        ["digits-new", "finished"],
        ["digits-old", "finished"],
    ]
    found = entry(call, "digits-new")
    table = json.loads((RunFolder(workspace, "digits-new").report / "sweep.json").read_text())
    assert found["headline"] == table["findings"]["headline"]
    assert found["accuracy"] == next(row["accuracy"] for row in table["rows"] if row["model"] == "baseline")
    assert found["networks"] == "T = 20"
    assert entry(call, "photos")["networks"] == "T = 5"
    assert found["bytes"] == pytest.approx(sum(p.stat().st_size for p in files(workspace.store)), rel=0.5)


def test_one_damaged_run_does_not_hide_the_others(workspace: Workspace, call: Call) -> None:
    run = begun(workspace, "broken")
    (run.path / "config.json").write_text("{")
    shutil.copytree(RunFolder(workspace, "digits-new").report, run.report)
    (run.report / "sweep.json").write_text("[")
    next(workspace.store.rglob("manifest.json")).write_text("{")
    assert entry(call, "broken")["networks"] == "settings that cannot be read"
    assert "digits-old" in call("list")


def test_an_empty_workspace_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["list", "--workspace", str(tmp_path)])
    assert "start one with defdistill run" in capsys.readouterr().out


def test_a_run_is_shown_with_settings_steps_table_and_places(workspace: Workspace, call: Call) -> None:
    said = call("show", "digits-n")
    assert said.startswith("digits-new  finished  started ")
    assert "  temperatures = 20.0\n" in said
    assert "JSMA success, %" in said
    for place in ("report:  ", "logs:    ", "MLflow:  "):
        assert place in said
    shown = json.loads(call("show", "latest", "--json"))
    assert [network["model"] for network in shown["networks"]] == ["baseline", "T=20", "control T=20"]
    assert shown["settings"]["temperatures"] == [20.0]


def test_the_settings_of_a_run_make_the_same_run_again(workspace: Workspace, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(call("config", "--run", "digits-new"))
    assert default_name(loading.load("digits", str(file))) == default_name(existing_run(workspace, "latest").config())


@pytest.mark.parametrize("verb", [("show",), ("report",), ("clean", "--dry-run"), ("config", "--run")], ids=" ".join)
@pytest.mark.parametrize(("name", "run"), [("digits-o", "digits-old"), ("latest", "digits-new")])
def test_a_run_is_known_by_its_beginning(
    verb: tuple[str, ...], name: str, run: str, call: Call, workspace: Workspace
) -> None:
    told = json.loads(call(*verb, name, "--json"))
    settings = json.loads(json.dumps(loading.load("digits").model_dump(mode="json")))
    assert run in (told.get("run"), *told.get("runs", ())) or told.keys() == settings.keys()


@pytest.mark.parametrize("verb", ["show", "report", "times", "clean", "promote"])
def test_the_beginning_of_two_runs_is_none(verb: str, call: Call) -> None:
    said = call(verb, "digits", code=2)
    assert "run: expected the beginning of one run, got 'digits', of digits-old, digits-new" in said


def test_nothing_goes_of_what_a_run_uses(workspace: Workspace, call: Call) -> None:
    before = files(workspace.root)
    assert call("clean") == "nothing can go\n"
    assert files(workspace.root) == before


def test_what_no_run_uses_goes_with_its_entry_in_the_index(workspace: Workspace, call: Call) -> None:
    before = files(workspace.root)
    artifact(workspace, "lost")
    work = workspace.work / ("0" * 32)
    work.mkdir()
    (work / "checkpoint.safetensors").write_bytes(b"x" * 2_000_000)
    draft = workspace.store / "pipeline-2026" / "killed" / ".model.draft-7"
    draft.mkdir(parents=True)
    (draft / "tensors.safetensors").write_bytes(b"x")
    made = files(workspace.root)
    would = json.loads(call("clean", "--dry-run", "--json"))
    assert files(workspace.root) == made
    assert {kind["kind"].partition(":")[0]: kind["number"] for kind in would["kinds"]} == {
        "artifacts that no run uses": 1,
        "unfinished work of steps": 1,
        "entries of Kubeflow's index": 1,
    }
    assert would["bytes"] == pytest.approx(3_000_000, rel=0.01)
    assert not would["freed"]
    said = call("clean")
    assert re.search(r"^artifacts that no run uses +1 +1\.0 MB$", said, re.MULTILINE)
    assert said.endswith("freed 3.0 MB; MLflow's records stay\n")
    assert files(workspace.root) == before
    assert not list((workspace.store).glob("pipeline-2026"))


def test_what_a_start_or_a_rerun_made_stays_with_its_run(workspace: Workspace, call: Call) -> None:
    run = begun(workspace, "one")
    below = artifact(workspace, "below")
    for place, name in ((run, "made"), (run.again, "again")):
        made = artifact(workspace, name, dataset=[below.digest])
        place.clear()
        status = Status(stage="train_teacher", state="done", artifact=made.location)
        (place.progress / "train_teacher.1.json").write_text(status.model_dump_json())
    assert call("clean") == "nothing can go\n"
    run.begin(run.config())  # another start forgets what the first said
    run.again.clear()
    assert call("clean") == "nothing can go\n"
    assert json.loads(call("clean", "one", "--json"))["kinds"][1]["number"] == 3


def test_a_run_goes_with_what_only_it_uses(workspace: Workspace, call: Call) -> None:
    store = files(workspace.store)
    call("clean", "digits-old")
    assert workspace.runs() == ["digits-new"]
    assert not RunFolder(workspace, "digits-old").path.exists()
    assert files(workspace.store) == store, "the other run uses it, too"
    lost = artifact(workspace, "lost")
    call("clean", "digits-new")
    assert files(workspace.store) == {path for path in files(Path(lost.location).parent) if path.is_file()}, (
        "what was of no run before is not of this one"
    )
    assert workspace.runs() == []


def test_old_runs_go_by_their_age_and_all_with_everything(workspace: Workspace, call: Call) -> None:
    started(RunFolder(workspace, "digits-new"), 86400)
    assert json.loads(call("clean", "--older-than", "30", "--json"))["runs"] == ["digits-old"]
    artifact(workspace, "lost")
    call("clean", "--all")
    assert files(workspace.root) == set()


def test_what_others_put_there_stays(workspace: Workspace, call: Call, tmp_path: Path) -> None:
    kept = [
        RunFolder(workspace, "digits-new").path / "notes.txt",
        RunFolder(workspace, "digits-new").report / "notes.txt",
        workspace.store / "mine.txt",
        workspace.store / "dataset" / "mine.txt",
        workspace.work / "mine" / "checkpoint.safetensors",
        workspace.cache / "mine.json",
        workspace.root / "mlflow.db",
        workspace.root / "runs" / "not-a-run" / "file",
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "checkpoint.safetensors").write_text("mine")
    (workspace.work / ("1" * 32)).symlink_to(outside)
    call("clean", "--all", "--yes")
    assert {path for path in files(workspace.root) if not path.is_symlink()} >= set(kept)
    assert (outside / "checkpoint.safetensors").read_text() == "mine"
    assert not [path for path in files(workspace.root) if path.name in ("manifest.json", "config.json")]


def test_nothing_that_a_running_run_may_use_goes(workspace: Workspace, call: Call) -> None:
    artifact(workspace, "lost")
    store = files(workspace.store)
    with FileLock(RunFolder(workspace, "digits-new").path / ".lock"):
        said = call("clean", "digits-new", code=2)
        assert "run digits-new: expected one that is not running, a process is at work on it" in said
        assert "left as they are while digits-new is running: artifacts, unfinished work\n" in call("clean", "--all")
    assert workspace.runs() == ["digits-new"]
    assert files(workspace.store) == store


def test_no_run_starts_while_a_workspace_is_cleaned(workspace: Workspace, call: Call) -> None:
    with FileLock(workspace.cleaning):
        said = call("run", "--run", "another", code=2)
        assert "is being cleaned; start again when that has ended" in said
        assert not (workspace.root / "runs" / "another").exists()
        assert "is being cleaned by another process" in call("clean", code=2)


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("\n", False), ("no\n", False)])
def test_in_a_terminal_it_asks_once(answer: str, goes: bool, workspace: Workspace, call: Call) -> None:
    artifact(workspace, "lost")
    said = in_terminal(answer, "clean", "--workspace", str(workspace.root))
    assert "would free 1.0 MB" in said
    assert said.count("remove it? [y/N]") == 1
    assert ("nothing was removed" in said) == (not goes)
    assert (call("clean") == "nothing can go\n") == goes


def test_in_a_terminal_states_have_colours_and_a_table_fits(workspace: Workspace) -> None:
    said = in_terminal("", "list", "--workspace", str(workspace.root))
    assert "\x1b[32mfinished\x1b[0m" in said
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert max(map(len, plain.splitlines())) <= 80
