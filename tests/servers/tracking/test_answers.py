"""What a server answers, or does not, or not in time: one line that fits, and no run twice."""

from __future__ import annotations

import time

import pytest

from defensive_distillation.defenses import distillation
from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.tracking import client
from defensive_distillation.tracking.client import EXPERIMENT, connect, experiment, reported
from defensive_distillation.tracking.run_tree import RunTree
from support import mlflow_server
from support.recording import runs_of

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

LIMIT = 4.0  # seconds


@pytest.mark.parametrize(
    ("head", "slowly"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", True),
        (b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n", False),
    ],
    ids=["trickles", "asks for an hour"],
)
def test_one_limit_holds_over_all_attempts(monkeypatch: pytest.MonkeyPatch, head: bytes, slowly: bool) -> None:
    monkeypatch.setattr(client, "TIME_LIMIT", LIMIT)
    with mlflow_server.answering(head, slowly=slowly) as address:
        start = time.monotonic()
        with pytest.raises(TrackingError, match=rf"no answer \(no whole answer within {LIMIT:g} s\)") as caught:
            RunTree(address, "slow")
        assert LIMIT <= time.monotonic() - start < LIMIT + 5
    assert str(caught.value).endswith("no artifact is lost, run the stage again when it is up")


def test_a_run_whose_answer_was_lost_is_there_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    for alone in (True, False):
        with mlflow_server.Gate(server) as gate:
            tree = RunTree(gate.address, f"lost {alone}", alone=alone)
            gate.lose_answer("/mlflow/runs/create")
            made = tree.model(distillation.student(20.0)).run_id
            gate.lose_answer("/mlflow/runs/create")
            again = RunTree(gate.address, f"lost {alone}", alone=alone)
            assert again.model(distillation.student(20.0)).run_id == made
            assert {run.info.run_id for run in runs_of(tree)} == {tree.parent_id, made}


def test_the_experiment_of_the_environment_is_checked(tmp_path_factory: pytest.TempPathFactory) -> None:
    uri = f"sqlite:///{tmp_path_factory.mktemp('names')}/mlflow.db"
    mlflow = connect(uri)
    for name, said in (("", "got none"), ("x" * 501, "got 501 characters")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_EXPERIMENT_NAME", name)
            with pytest.raises(InputError, match=f"MLFLOW_EXPERIMENT_NAME: expected a name of up to 500 .*, {said}"):
                experiment(mlflow, uri)
    made = experiment(mlflow, uri)
    mlflow.delete_experiment(made)
    with pytest.raises(InputError, match=f"not deleted, got '{EXPERIMENT}'; 'mlflow experiments restore .*-id {made}'"):
        experiment(mlflow, uri)


def test_what_a_server_refuses_is_not_tried_again_when_it_is_up(server: str) -> None:
    mlflow = connect(server)
    with pytest.raises(TrackingError, match="run the stage again when that is mended") as caught, reported(server):
        mlflow.get_run("0" * 32)
    assert "when it is up" not in str(caught.value)
