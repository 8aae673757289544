"""What is open in MLflow after a run on a cluster whose own last step was not started."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from defensive_distillation.defenses import distillation
from defensive_distillation.tracking import run_tree
from defensive_distillation.tracking.mlflow_runs import REASON
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation_pipelines.cluster.closing import close
from defensive_distillation_pipelines.cluster.runs import Run

NETWORK = distillation.student(20.0)


@pytest.fixture
def sweep(server: str, monkeypatch: pytest.MonkeyPatch) -> RunTree:
    """A run with a network at work."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr(run_tree, "SETTLING", 0)
    tree = RunTree(server, secrets.token_hex(8))
    tree.model(NETWORK)
    return tree


def run(name: str, state: str, *, stopped: bool = False) -> Run:
    return Run(id=name, name="nightly", state=state, stopped=stopped, created=datetime.now(UTC))


@pytest.mark.parametrize(
    ("stopped", "state", "reason"),
    [(True, "KILLED", "the run was stopped"), (False, "FAILED", "the node is gone")],
)
def test_what_is_open_is_ended_as_the_run_was_and_named(sweep: RunTree, stopped: bool, state: str, reason: str) -> None:
    said = close(run(sweep.pipeline_run, "FAILED", stopped=stopped), "the node is gone")
    assert said == f"MLflow:  its runs there had no end, and are {state} now"
    parent, (network,) = sweep.client.get_run(sweep.parent_id), sweep.children()
    assert parent.info.run_name == "nightly"
    assert {one.info.status for one in (parent, network)} == {state}
    assert {one.data.tags[REASON] for one in (parent, network)} == {reason}
    assert close(run(sweep.pipeline_run, "FAILED", stopped=stopped), "another word") == ""
    assert sweep.client.get_run(sweep.parent_id).data.tags[REASON] == reason


def test_a_run_that_goes_on_or_succeeded_is_left_alone(sweep: RunTree) -> None:
    for state in ("RUNNING", "SUCCEEDED"):
        assert close(run(sweep.pipeline_run, state), "") == ""
    assert not sweep.parent.is_closed()


def test_a_stopped_run_that_kubeflows_integration_has_called_failed_was_stopped(sweep: RunTree) -> None:
    sweep.client.set_terminated(sweep.parent_id, "FAILED")
    assert close(run(sweep.pipeline_run, "FAILED", stopped=True), "")
    parent = sweep.client.get_run(sweep.parent_id)
    assert (parent.info.status, parent.data.tags[REASON]) == ("KILLED", "the run was stopped")


def test_a_run_that_recorded_nothing_leaves_nothing_behind(sweep: RunTree) -> None:
    before = len(sweep.client.search_runs([sweep.experiment_id]))
    assert close(run("never-seen", "FAILED"), "") == ""
    assert len(sweep.client.search_runs([sweep.experiment_id])) == before


def test_an_mlflow_that_does_not_answer_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = close(run("any", "FAILED"), "")
    assert said.startswith("MLflow:  may call the run RUNNING still: MLflow at http://127.0.0.1:9 did not")
    assert "\n" not in said
