"""What stages leave in an outbox reaches MLflow as if they had said it there, whoever is killed in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation.tracking import mlflow_runs as tracking
from defensive_distillation.tracking import outbox
from defensive_distillation.tracking.mlflow_runs import Tracker
from defensive_distillation.tracking.outbox import OUTBOX, Outbox
from defensive_distillation.tracking.recording import Recorder
from support import mlflow_server
from support.recording import STAGES, children, files, record, values

if TYPE_CHECKING:
    from mlflow.entities import Run

    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

OF_A_RUN = {"mlflow.parentRunId", "defdistill.pipeline_run", "defdistill.turn", "defdistill.identity"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"


def delivery(uri: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "defensive_distillation.tracking.mlflow_runs", uri, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def delivered(uri: str, folder: Path) -> None:
    """Ends the input at once, so that what waits is delivered and no more."""
    process = delivery(uri, folder)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "")


def say(recorder: Recorder) -> None:
    """Everything that can be said, some of it twice."""
    run = recorder.model_run("T=20")
    run.params({"epochs": 5, "rate": 0.25, "name": "é / ü"})
    run.params({"epochs": 6})
    run.curves([{"loss": 1.0, "accuracy": None}, {"loss": 0.5, "accuracy": 0.25}])
    run.curves([{"loss": 0.5, "accuracy": 0.25}], first_step=2)
    run.metrics({"loss": 1e-300, "missing": None}, step=3)
    run.tags({"one": "1"})
    run.tags({"one": "2"})
    run.files({"a/b.bin": bytes(range(256)), "c.txt": b""})
    run.ended()
    recorder.sweep_run().params({"models": "T=20"})
    recorder.sweep_run().ended("FAILED")


def what_mlflow_has(tracker: Tracker) -> dict[str, Any]:
    def of(run: Run) -> dict[str, Any]:
        tags = {key: value for key, value in run.data.tags.items() if key not in OF_A_RUN}
        tags.pop("mlflow.runName")
        return {
            "status": run.info.status,
            "params": run.data.params,
            "values": values(tracker.client, run),
            "tags": tags,
            "files": files(tracker.client, run.info.run_id),
        }

    return {"": of(tracker.client.get_run(tracker.parent_id)), **{k: of(run) for k, run in children(tracker).items()}}


def test_whatever_is_said_reaches_mlflow_as_if_it_had_been_said_there(database: str, tmp_path: Path) -> None:
    say(Outbox(tmp_path, "through an outbox"))
    delivered(database, tmp_path)
    assert list(tmp_path.iterdir()) == []
    say(Tracker(database, "directly"))
    found = what_mlflow_has(Tracker(database, "through an outbox"))
    assert found == what_mlflow_has(Tracker(database, "directly"))
    assert found["T=20"]["params"] == {"epochs": "5", "rate": "0.25", "name": "é / ü"}
    assert found["T=20"]["values"]["loss"] == [(1, 1.0), (2, 0.5), (3, 1e-300)]
    assert found["T=20"]["files"] == {"a/b.bin": 256, "c.txt": 0}
    assert found[""]["status"] == "FAILED"


@pytest.mark.slow
def test_stages_are_recorded_as_if_they_had_spoken_to_mlflow_themselves(
    database: str, chain: Chain, tmp_path: Path
) -> None:
    for name in STAGES:
        record(chain, name, Outbox(tmp_path, "digits-outbox"))
        record(chain, name, Tracker(database, "digits-direct"))
    record(chain, "attack", Outbox(tmp_path, "digits-outbox", rerun="again"))
    record(chain, "attack", Tracker(database, "digits-direct", rerun="again"))
    delivered(database, tmp_path)
    found = what_mlflow_has(Tracker(database, "digits-outbox"))
    assert found == what_mlflow_has(Tracker(database, "digits-direct"))
    assert set(found) == {"", "baseline", "T=20", "control T=20", "T=20 again"}
    assert "report/report.html" in found[""]["files"]


def test_what_is_said_while_the_process_runs_arrives_in_seconds(database: str, tmp_path: Path) -> None:
    process = delivery(database, tmp_path)
    try:
        Outbox(tmp_path, "live").model_run("T=20").metrics({"accuracy": 0.5})
        deadline = time.monotonic() + 60  # MLflow's import and a database that another test may hold
        while list(outbox.waiting(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert process.poll() is None
        assert children(Tracker(database, "live"))["T=20"].data.metrics == {"accuracy": 0.5}
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_killed_delivery_is_gone_on_with_and_says_nothing_twice(database: str, tmp_path: Path) -> None:
    run = Outbox(tmp_path, "killed").model_run("T=20")
    count = 200
    for step in range(count):
        run.metrics({"loss": float(step)}, step)
    process = delivery(database, tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.json"))) > count - 3:  # counted unread: they go as they are delivered
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = len(list(outbox.waiting(tmp_path)))
    assert 0 < left < count
    delivered(database, tmp_path)
    tracker = Tracker(database, "killed")
    assert values(tracker.client, children(tracker)["T=20"])["loss"] == [(step, float(step)) for step in range(count)]


def test_half_a_letter_is_no_letter(tmp_path: Path) -> None:
    run = Outbox(tmp_path, "half").sweep_run()
    run.tags({"one": "1"})
    whole = next(tmp_path.iterdir())
    (tmp_path / f".{whole.name}").write_text(whole.read_text()[:10])  # its writer was killed
    assert [(letter.call, letter.arguments) for letter in outbox.waiting(tmp_path)] == [("tags", [{"one": "1"}])]


def test_what_a_server_does_not_take_keeps_waiting(tmp_path: Path) -> None:
    say(Outbox(tmp_path / "outbox", "down"))
    before = sorted(tmp_path.rglob("*.json"))
    with mlflow_server.running(tmp_path / "server") as address, mlflow_server.Gate(address) as gate:
        gate.shut()
        process = delivery(gate.address, tmp_path / "outbox")
        said, _ = process.communicate(timeout=tracking.TIME_LIMIT)
        assert process.returncode == tracking.TrackingError.exit_code
        assert said.startswith(f"MLflow at {gate.address} did not take the results: no answer (Connection refused)")
        assert said.count("\n") == 1
        assert sorted((tmp_path / "outbox").rglob("*.json")) == before
        gate.open()
        delivered(gate.address, tmp_path / "outbox")
        assert what_mlflow_has(Tracker(gate.address, "down"))["T=20"]["params"]["epochs"] == "5"


def test_a_step_with_an_outbox_never_imports_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from defensive_distillation.tracking.mlflow_runs import tracker; "
        "tracker(rerun='again').model_run('T=20').params({'epochs': 3}); sys.exit('mlflow' in sys.modules)"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("KFP_RUN_ID", "quick")
    monkeypatch.setenv(OUTBOX, str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    (letter,) = outbox.waiting(tmp_path)
    assert (letter.pipeline_run, letter.rerun, letter.label, letter.call) == ("quick", "again", "T=20", "params")
