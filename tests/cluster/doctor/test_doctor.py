"""defdistill doctor against servers that answer as a real cluster did."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defensive_distillation_pipelines.commands import cli
from support.cluster.recorded import answer
from support.cluster.server import Answer, Request, StandIn

RETRIES = '{spec: {templateDefaults: {retryStrategy: {limit: "2", retryPolicy: OnError}}}}'
KEYS = {name: base64.b64encode(b"x").decode() for name in ("accesskey", "secretkey")}


class OneCluster(StandIn):
    """Kubeflow's and Kubernetes' API in one; `objects` are the latter's by path, without /api/v1."""

    def __init__(self) -> None:
        super().__init__()
        here = "/namespaces/team"
        self.objects: dict[str, Any] = {
            here: {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
            f"{here}/configmaps/kfp-launcher": {"data": {"defaultPipelineRoot": "minio://mlpipeline/v2/artifacts"}},
            f"{here}/secrets/mlpipeline-minio-artifact": {"data": KEYS},
            f"{here}/configmaps/defensive-distillation": {"data": {"MLFLOW_TRACKING_URI": "http://mlflow.team:5000"}},
            f"{here}/serviceaccounts/pipeline-runner": {"metadata": {"name": "pipeline-runner"}},
            "/namespaces/kubeflow/configmaps/workflow-controller-configmap": {"data": {"workflowDefaults": RETRIES}},
            f"{here}/pods": {"items": []},
            "/namespaces/kubeflow/pods": {
                "items": [{"spec": {"containers": [{"image": "quay.io/argoproj/workflow-controller:v4.0.8"}]}}]
            },
            "/pods": {"items": []},
            "/nodes": {
                "items": [
                    {
                        "metadata": {"name": "node1"},
                        "spec": {},
                        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
                    }
                ]
            },
        }
        self.workflows: list[dict[str, Any]] = [
            {"spec": {"templates": [{"container": {"image": "ghcr.io/kubeflow/kfp-driver:2.17.0"}}]}}
        ]

    def answer(self, request: Request) -> Answer:
        if request.path == "/apis/v2beta1/healthz":
            return Answer(200, answer("healthz"))
        if request.path == "/apis/v2beta1/recurringruns":
            return Answer(200, {})
        if request.path == "/apis/argoproj.io/v1alpha1/namespaces/team/workflows":
            return Answer(200, {"items": self.workflows})
        if request.path.endswith("/localsubjectaccessreviews"):
            return Answer(200, {"status": {"allowed": True}})
        found = self.objects.get(request.path.removeprefix("/api/v1"))
        told = {"kind": "Status", "status": "Failure", "message": f"{request.path} not found", "code": 404}
        return Answer(404, told) if found is None else Answer(200, found)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneCluster]:
    for name in (
        "KUBERNETES_SERVICE_HOST",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    stand_in = OneCluster()
    with stand_in.running():
        config = tmp_path / "kubeconfig"
        contexts = [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team"}}]
        told = {
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": stand_in.address}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
            "contexts": contexts,
        }
        config.write_text(json.dumps(told))
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", stand_in.address)
        yield stand_in


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Its exit code and what it found, by subject."""
    code = 0
    try:
        cli.main(["doctor", "--profile", "cpu", "--json", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = json.loads(capsys.readouterr().out)
    return code, {finding["subject"]: finding for finding in told["findings"]}


def test_a_cluster_that_has_all_is_told_line_by_line_and_exits_with_0(
    cluster: OneCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["doctor", "--profile", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["ok", "unknown", "ok", "ok"]
    assert "2.17.0, the tag of ghcr.io/kubeflow/kfp-driver:2.17.0" in lines[2]
    assert lines[-1].endswith("0 missing, 3 unknown")  # what only a pod sees


def test_what_is_missing_is_told_with_what_to_do_and_exits_with_1(
    cluster: OneCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    del cluster.objects["/namespaces/team/serviceaccounts/pipeline-runner"]
    del cluster.objects["/namespaces/team/secrets/mlpipeline-minio-artifact"]
    code, found = doctor(capsys)
    assert code == 1
    assert {subject for subject, one in found.items() if one["state"] == "missing"} == {
        "service account",
        "launcher's credentials",
    }
    assert all(one["todo"] for one in found.values() if one["state"] == "missing")


def test_what_the_resources_name_is_looked_for(cluster: OneCluster, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(
        capsys,
        *("--resources", "service_account=steps", "--resources", "queue=team-a"),
        *("--resources", "image_pull_secrets=registry", "--resources", "attack.gpu_count=1"),
    )
    assert code == 1
    for subject, told in {
        "service account": "no steps in team",
        "queue": "Kueue is not installed",
        "image pull secret": "no Secret registry",
        "GPUs": "no node has nvidia.com/gpu",
    }.items():
        assert found[subject]["state"] == "missing"
        assert told in found[subject]["found"]


def test_without_kubernetes_its_lines_are_unknown_and_say_why(
    cluster: OneCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, found = doctor(capsys)
    assert code == 0
    assert found["Kubeflow Pipelines"]["state"] == "ok"
    assert found["nodes"]["state"] == "unknown"
    assert "no usable kubeconfig" in found["nodes"]["found"]


def test_a_kubeflow_that_is_down_is_one_line_and_the_rest_is_looked_at(
    cluster: OneCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:9")
    code, found = doctor(capsys)
    assert code == 1
    assert found["Kubeflow Pipelines"]["state"] == "missing"
    assert "no answer" in found["Kubeflow Pipelines"]["found"]
    assert found["service account"]["state"] == "ok"
