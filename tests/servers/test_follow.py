"""The recording process of a local run records what its steps finish, whoever is killed in between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import ArtifactError, TrackingError
from defensive_distillation.tracking import follow
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation.tracking.status import Status, statuses
from support.recording import children, files, values

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

TEACHER, STUDENT = distillation.teacher(20.0), distillation.student(20.0)


def say(run_dir: Path, **status: Any) -> None:
    """Writes what a step says of itself."""
    said = Status(**status)
    (run_dir / "progress").mkdir(exist_ok=True)
    (run_dir / "progress" / f"{said.task}.{said.pid}.json").write_text(said.model_dump_json())


def following(uri: str, run_dir: Path) -> tuple[subprocess.Popen[str], str]:
    """A recording process, and the id of the parent run that it has printed."""
    command = [sys.executable, "-W", "ignore", "-m", "defensive_distillation.tracking.follow", "live"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen(
        [*command, str(run_dir)], env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_killed_process_is_gone_on_with_and_nothing_is_lost_or_there_twice(chain: Chain, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    training = artifacts.read_manifest(chain.place("teacher-20")).facts["training"]
    process, parent = following(uri, tmp_path)
    try:
        say(tmp_path, stage="prepare_data", state="done", artifact=chain.place("dataset"))
        say(tmp_path, stage="train_teacher", model=TEACHER, state="running", history=training[:2])
        tree = RunTree(uri, "live", alone=True)
        assert tree.parent_id == parent
        deadline = time.monotonic() + 60
        while "T=20" not in children(tree) or not children(tree)["T=20"].data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.kill()
        process.communicate()

    process, again = following(uri, tmp_path)
    say(tmp_path, stage="train_teacher", model=TEACHER, state="done", artifact=chain.place("teacher-20"))
    failed = distillation.student(50.0)
    say(tmp_path, stage="train_student", model=failed, state="failed", message="diverged", history=training[:1])
    more = [chain.place("attack-control"), "FAILED", chain.place("dataset")]
    said = process.communicate("\n".join(more), timeout=120)
    assert (process.returncode, *said, again) == (0, "", "", parent)
    found = children(tree)
    assert set(found) == {"T=20", "control T=20", "T=50"}
    assert values(tree.client, found["T=50"])["loss"] == [(1, training[0]["loss"])]
    assert (found["T=50"].info.status, found["T=50"].data.tags["defdistill.reason"]) == ("FAILED", "diverged")
    losses = values(tree.client, found["T=20"])["teacher_loss"]
    assert sorted(losses) == [(epoch["epoch"], epoch["loss"]) for epoch in training]
    run = tree.client.get_run(parent)
    assert (run.info.status, run.data.params["dataset"]) == ("FAILED", "digits")
    assert run.data.tags["defdistill.reason"] == "diverged"
    assert [one.info.status for one in found.values()] == ["FAILED"] * 3  # nothing says RUNNING for ever
    assert run.data.tags["defdistill.artifact.prepare_data"] == chain.place("dataset")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def begin(monkeypatch: pytest.MonkeyPatch, uri: str, *arguments: str, lines: str = "") -> None:
    """Runs the process's program here, with `lines` as its whole standard input."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    reading, writing = os.pipe()
    os.write(writing, lines.encode())
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "argv", ["follow", *arguments])
        follow.main()


def test_a_run_that_failed_goes_on_and_ends(
    database: str, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begin(monkeypatch, database, "failed", str(tmp_path), lines="FAILED\n")
    tree = RunTree(database, "failed", alone=True)
    assert tree.client.get_run(tree.parent_id).info.status == "FAILED"
    begin(monkeypatch, database, "failed", str(tmp_path))  # and ends before it is done
    stopped = tree.client.get_run(tree.parent_id)
    assert (stopped.info.status, stopped.data.tags["defdistill.reason"]) == ("KILLED", "the run was stopped")
    say(tmp_path, stage="report", state="done", artifact=chain.place("report"))
    begin(monkeypatch, database, "failed", str(tmp_path))
    finished = tree.client.get_run(tree.parent_id)
    assert finished.info.status == "FINISHED"
    assert "defdistill.reason" not in finished.data.tags
    assert capfd.readouterr() == (f"{tree.parent_id}\n" * 3, "")

    begin(monkeypatch, database, "failed", str(tmp_path), "--rerun", "rerun report", lines="FAILED\n")
    assert tree.client.get_run(tree.parent_id).info.status == "FINISHED"
    assert "report/report.html" in files(tree.client, children(tree)["rerun report"].info.run_id)


def test_what_cannot_be_recorded_is_said_in_one_line(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for uri, artifact, code, line in (
        ("http://127.0.0.1:9", "", TrackingError.exit_code, "MLflow at http://127.0.0.1:9 did not take the results: "),
        (database, str(tmp_path / "gone"), ArtifactError.exit_code, f"{tmp_path}/gone: expected an artifact, found"),
    ):
        with pytest.raises(SystemExit) as ended:
            begin(monkeypatch, uri, "down", str(tmp_path), lines=artifact)
        said = capfd.readouterr().err
        assert ended.value.code == code
        assert said.startswith(line)
        assert said.count("\n") == 1


def test_what_is_done_stays_done_when_the_step_is_started_again(tmp_path: Path) -> None:
    say(tmp_path, stage="attack", part="fgsm 2of4", state="done", artifact="there", pid=1)
    say(tmp_path, stage="attack", part="fgsm 2of4", state="running", pid=2)
    (tmp_path / "progress" / "attack.3.tmp").write_text("{")  # not whole yet
    (known,) = statuses(tmp_path / "progress").values()
    assert (known.state, known.artifact, known.title) == ("done", "there", "attack fgsm 2of4")
    assert statuses(tmp_path / "none") == {}


def test_the_seconds_of_a_training_are_recorded_and_those_of_one_that_was_there_are_not(
    chain: Chain, tmp_path: Path
) -> None:
    tree = RunTree(f"sqlite:///{tmp_path}/mlflow.db", "timed", alone=True)
    training = artifacts.read_manifest(chain.place("teacher-20")).facts["training"]
    seconds = {"reading": 1.0, "computing": 2.5}
    done: dict[str, Any] = {"state": "done", "seconds": seconds}
    say(tmp_path, stage="train_teacher", model=TEACHER, artifact=chain.place("teacher-20"), history=training, **done)
    say(tmp_path, stage="train_student", model=STUDENT, artifact=chain.place("student"), **done)
    follow.Follower(tree, tmp_path).look()
    metrics = children(tree)["T=20"].data.metrics
    assert metrics["teacher_training_cpu_seconds"] == 2.5
    assert "training_cpu_seconds" not in metrics
