"""The last step of a run on a cluster: MLflow, Kubeflow's API and the object store are real servers."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation.artifacts import storage
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import TrackingError
from defensive_distillation.model_id import BASELINE
from defensive_distillation.runtime import unfinished
from defensive_distillation.runtime.kubeflow.artifact import Given
from defensive_distillation.runtime.kubeflow.finish import finish
from defensive_distillation.runtime.stage import Work
from defensive_distillation.tracking import run_tree
from defensive_distillation.tracking.mlflow_runs import REASON
from defensive_distillation.tracking.records import StepRecorder
from defensive_distillation.tracking.run_tree import RunTree

if TYPE_CHECKING:
    from mlflow.entities import Run

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

RECORDED = Path(__file__).parents[1] / "cluster" / "recorded"
STUDENT = distillation.student(20.0)
NAME = "digits-at-night"  # of the run, as people know it


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run, which the environment of its steps has; there is no MLflow and no API of Kubeflow's."""
    for name in ("MLFLOW_TRACKING_URI", "ML_PIPELINE_SERVICE_HOST", "ML_PIPELINE_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(run_tree, "SETTLING", 0)  # no other process is at work on the run
    run = secrets.token_hex(8)
    monkeypatch.setenv("KFP_RUN_ID", run)
    return run


@pytest.fixture
def sweep(run: str, server: str, monkeypatch: pytest.MonkeyPatch) -> RunTree:
    """A run with a network that is finished, and one that is at work."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    tree = RunTree(server, run)
    tree.model(BASELINE).ended()
    tree.model(STUDENT)
    return tree


@contextmanager
def kubeflow(answers: Mapping[str, Any]) -> Iterator[str]:
    """An API of Kubeflow's that answers what a real one has, by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            found = answers.get(self.path)
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{served.server_port}"
        finally:
            served.shutdown()
            thread.join()


def recorded(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    return answer


def ended(tmp_path: Path, state: str, step: Mapping[str, Any] | None = None, uri: str = "") -> dict[str, str]:
    """Runs the last step after all others ended in `state`; what it has written."""
    output = Given("ending", uri or str(tmp_path / "ending"))
    finish({"state": state, "error_message": None}, NAME, step or {}, output)
    written: dict[str, str] = json.loads(storage.read_bytes(storage.join(output.path, "ending.json")))
    return written


def runs(tree: RunTree) -> tuple[Run, dict[str, Run]]:
    """The run of the sweep, and those of its networks."""
    return tree.client.get_run(tree.parent_id), {run.info.run_name: run for run in tree.children()}


def test_a_run_that_succeeded_is_finished_and_has_its_own_name(
    sweep: RunTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(tmp_path, "COMPLETE") == {"state": "FINISHED", "reason": ""}
    parent, models = runs(sweep)
    assert (parent.info.run_name, parent.info.status) == (NAME, "FINISHED")
    assert {run.info.status for run in models.values()} == {"FINISHED"}
    assert not [run for run in (parent, *models.values()) if REASON in run.data.tags]
    assert capsys.readouterr().out == f"{NAME}: FINISHED\n"


def test_a_run_that_failed_says_why_on_itself_and_on_what_was_still_open(
    sweep: RunTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = distillation.student(50.0)
    StepRecorder(sweep).failed(failed, "train_student-T=50: training at T = 50 diverged")
    reason = "train_student-T=50: training at T = 50 diverged"
    assert ended(tmp_path, "FAILED") == {"state": "FAILED", "reason": reason}
    parent, models = runs(sweep)
    assert (parent.info.run_name, parent.info.status, parent.data.tags[REASON]) == (NAME, "FAILED", reason)
    assert {name: run.info.status for name, run in models.items()} == {
        **{"baseline": "FINISHED", "T=20": "FAILED", "T=50": "FAILED"}
    }
    assert REASON not in models["baseline"].data.tags
    assert capsys.readouterr().out == f"{NAME}: FAILED, {reason}\n"


def test_a_step_for_the_sweep_as_a_whole_that_failed_after_the_report_is_the_reason(
    sweep: RunTree, tmp_path: Path
) -> None:
    sweep.sweep().ended()  # as the report does
    StepRecorder(sweep).failed(None, "gate: the network got worse")
    assert ended(tmp_path, "FAILED")["reason"] == "gate: the network got worse"
    assert runs(sweep)[0].info.status == "FAILED"


def test_a_reason_of_a_step_that_went_well_when_it_was_tried_again_is_none(sweep: RunTree, tmp_path: Path) -> None:
    StepRecorder(sweep).failed(STUDENT, "attack-T=20: no answer of the object store")
    sweep.model(STUDENT).ended()
    assert REASON not in runs(sweep)[1]["T=20"].data.tags
    assert "killed or out of memory" in ended(tmp_path, "FAILED")["reason"]


def test_a_failure_that_no_step_has_explained_says_where_to_look(sweep: RunTree, tmp_path: Path) -> None:
    reason = ended(tmp_path, "FAILED")["reason"]
    assert "`defdistill watch` says which" in reason
    parent, models = runs(sweep)
    assert [run.data.tags[REASON] for run in (parent, models["T=20"])] == [reason, reason]


@pytest.mark.parametrize("by", ["service", "endpoint"])
def test_a_run_that_was_stopped_is_killed_which_only_its_history_tells(
    run: str, sweep: RunTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    answer = recorded("run-canceled")
    assert answer["state"] == "FAILED"
    with kubeflow({f"/apis/v2beta1/runs/{run}": answer}) as address:
        host, _, port = address.partition(":")
        if by == "service":
            monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", host)
            monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT", port)
        else:
            monkeypatch.setenv("KFP_ENDPOINT", f"http://{address}")
        assert ended(tmp_path, "FAILED") == {"state": "KILLED", "reason": "the run was stopped"}
    parent, models = runs(sweep)
    assert {name: run.info.status for name, run in models.items()} == {"baseline": "FINISHED", "T=20": "KILLED"}
    assert (parent.info.status, parent.data.tags[REASON]) == ("KILLED", "the run was stopped")


def test_a_run_that_nobody_stopped_or_of_which_kubeflow_says_nothing_has_failed(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kubeflow({f"/apis/v2beta1/runs/{run}": recorded("run-failed")}) as address:
        monkeypatch.setenv("KFP_ENDPOINT", f"http://{address}")
        assert ended(tmp_path, "FAILED")["state"] == "FAILED"
        monkeypatch.setenv("KFP_RUN_ID", "another")  # 404
        assert ended(tmp_path, "FAILED")["state"] == "FAILED"
    assert ended(tmp_path, "FAILED")["state"] == "FAILED", "nobody answers there any more"


def test_without_mlflow_the_state_is_said_and_written(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for state, word in (("SUCCEEDED", "FINISHED"), ("CACHED", "FINISHED"), ("FAILED", "FAILED"), ("", "FAILED")):
        assert ended(tmp_path, state)["state"] == word
        assert capsys.readouterr().out.startswith(f"{NAME}: {word}")


def test_an_mlflow_that_does_not_answer_is_said(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="did not take the results: no answer"):
        ended(tmp_path, "COMPLETE")


# Unfinished work


@pytest.fixture
def work(run: str, s3_bucket: str) -> str:
    """Where the run keeps unfinished work: two steps of its own, and one of another run."""
    place = f"{s3_bucket}/digits/unfinished"
    for name in ("a" * 32, "b" * 32):
        for part in ("part-1.safetensors", "part-2.safetensors"):
            Work(f"{place}/{name}").write(part, b"1")
    storage.write_bytes(f"{place}/{'c' * 32}/checkpoint.safetensors", b"1")
    storage.write_bytes(f"{place}/runs/another/{'c' * 32}", b"")
    return place


def test_unfinished_work_is_noted_once_a_step(run: str, work: str) -> None:
    assert sorted(storage.list_names(f"{work}/runs/{run}")) == ["a" * 32, "b" * 32]
    assert Work(f"{work}/{'a' * 32}").read("part-2.safetensors") == b"1"


def test_a_run_that_succeeded_removes_its_own_unfinished_work_and_no_others(
    run: str, work: str, tmp_path: Path, s3_bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(tmp_path, "COMPLETE", {"work": work})
    assert f"removed the unfinished work of 2 steps below {work}\n" in capsys.readouterr().out
    left = f"{'c' * 32}/checkpoint.safetensors"
    assert storage.read_bytes(f"{work}/{left}") == b"1"
    assert storage.exists(f"{work}/runs/another/{'c' * 32}")
    for gone in ("a" * 32, "b" * 32, f"runs/{run}"):
        assert storage.list_names(f"{work}/{gone}") == []


def test_work_whose_place_is_beside_the_artifacts_is_found_there(
    run: str, work: str, s3_bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unfinished.place("auto", f"{s3_bucket}/digits/{run}/finish/1/ending") == work
    assert unfinished.remove(work, run) == 2
    assert unfinished.remove(work, run) == 0


def test_a_run_that_failed_leaves_its_work_to_the_next(run: str, work: str, tmp_path: Path) -> None:
    ended(tmp_path, "FAILED", {"work": work})
    assert len(storage.list_names(f"{work}/runs/{run}")) == 2
    assert storage.exists(f"{work}/{'a' * 32}/part-1.safetensors")


def test_work_that_cannot_be_removed_fails_no_run(
    run: str, work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert ended(tmp_path, "COMPLETE", {"work": work})["state"] == "FINISHED"
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"could not remove the unfinished work below {work}: ")
    assert "S3 refused the credentials" in said
