"""The object store and MLflow as the doctor asks them: servers on loopback ports."""

from __future__ import annotations

import pytest

from defensive_distillation_pipelines.cluster.doctor import servers
from support.cluster.server import Answer, Request, StandIn

EXPERIMENT = {"experiment": {"experiment_id": "1", "name": "sweep"}}
NO_EXPERIMENT = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Could not find experiment with name 'sweep'"}
DENIED = {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}


class MlflowAnswer(StandIn):
    """One answer of MLflow 3.17 for everything."""

    def __init__(self, told: Answer) -> None:
        super().__init__()
        self.told = told

    def answer(self, request: Request) -> Answer:
        return self.told


@pytest.mark.parametrize(
    ("told", "state", "found"),
    [
        (Answer(200, EXPERIMENT), "ok", "answers"),
        (Answer(404, NO_EXPERIMENT), "ok", "answers"),
        (
            Answer(403, "Invalid Host header - possible DNS rebinding attack detected", "text/plain"),
            "missing",
            "refuses",
        ),
        (Answer(403, DENIED), "missing", "Permission denied"),
        (
            Answer(401, "You are not authenticated", "text/plain"),
            "missing",
            "credentials are missing, wrong or expired",
        ),
        (Answer(200, "<html>", "text/html"), "missing", "expected its API"),
    ],
)
def test_mlflow_is_asked_as_a_step_asks_it(told: Answer, state: str, found: str) -> None:
    server = MlflowAnswer(told)
    with server.running():
        variables = {
            "MLFLOW_TRACKING_URI": server.address,
            "MLFLOW_EXPERIMENT_NAME": "sweep",
            "MLFLOW_TRACKING_USERNAME": "u",
            "MLFLOW_TRACKING_PASSWORD": "p",
        }
        finding = servers.tracking(variables, inside=True)
    assert finding.state == state
    assert found in finding.found
    (request,) = server.asked
    assert request.query == {"experiment_name": "sweep"}
    assert request.headers["authorization"] == "Basic dTpw"


def test_a_refused_name_is_told_with_the_flag_that_allows_it() -> None:
    server = MlflowAnswer(Answer(403, "Invalid Host header - possible DNS rebinding attack detected", "text/plain"))
    with server.running():
        finding = servers.tracking({"MLFLOW_TRACKING_URI": server.address}, inside=True)
    assert finding.todo == f"start MLflow with {server.address.removeprefix('http://')} in --allowed-hosts"


def test_from_outside_neither_is_looked_at_and_it_says_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    for finding in (
        servers.tracking({"MLFLOW_TRACKING_URI": "http://mlflow.team:5000"}, inside=False),
        servers.store("minio://mlpipeline/v2/artifacts", inside=False),
    ):
        assert finding.state == "unknown"
        assert "helm test does" in finding.found


def test_an_object_is_written_and_read_and_nothing_is_left(s3_bucket: str) -> None:
    from defensive_distillation.artifacts import storage

    place = s3_bucket.replace("s3://", "minio://")
    finding = servers.store(f"{place}/v2/artifacts", inside=True)
    assert finding.state == "ok"
    assert storage.list_names(s3_bucket) == []


def test_a_bucket_that_does_not_exist_is_missing(s3_bucket: str) -> None:
    finding = servers.store(f"{s3_bucket}-other/runs", inside=True)
    assert finding.state == "missing"
    assert "-other" in finding.found


def test_a_store_that_is_not_s3_is_unknown() -> None:
    assert servers.store("gs://bucket/runs", inside=True).state == "unknown"
