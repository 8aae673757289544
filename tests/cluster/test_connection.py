from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defensive_distillation.errors import ClusterError, ConfigurationError
from defensive_distillation_pipelines.cluster import connection, server
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.server import RefusedError, UnreachableError, held_up
from support.cluster.kubeflow import Kubeflow
from support.cluster.kubernetes import Kubernetes
from support.cluster.server import CUT, Answer

HEALTH = "/apis/v2beta1/healthz"
# of a Kubeflow for several users, from its sources: backend/src/apiserver/resource/resource_manager.go
UNAUTHORIZED = {
    "code": 7,
    "message": "Failed to list runs: Failed to authorize with API: PermissionDenied: User 'anna' is not authorized "
    "with reason: (request: &ResourceAttributes{Namespace:team,Verb:list,})",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.Status",
            "code": 7,
            "message": "User 'anna' is not authorized with reason: (request: &ResourceAttributes{Namespace:team,"
            "Verb:list,})",
        }
    ],
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_flags_stand_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://kfp:1")
    monkeypatch.setenv("KFP_NAMESPACE", "team")
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "from-variable")
    access = Access.of()
    assert (access.host, access.namespace) == ("http://kfp:1", "team")
    assert access.headers() == {"Authorization": "Bearer from-variable"}
    access = Access.of(host="http://kfp:2/", namespace="mine", token="from-flag", cookies="session=1")
    assert (access.host, access.namespace) == ("http://kfp:2", "mine")
    assert access.headers() == {"Authorization": "Bearer from-flag", "Cookie": "session=1"}


def test_an_address_without_a_scheme_is_taken_for_https() -> None:
    assert Access.of(host="kubeflow.example/pipeline").host == "https://kubeflow.example/pipeline"


@pytest.mark.parametrize("host", ["ftp://kfp", "http://", "https:///"])
def test_an_address_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--host: expected an address such as http://localhost:8888, got"):
        Access.of(host=host)


def test_secrets_do_not_show() -> None:
    access = Access.of(host="http://kfp:1", token="secret-token", cookies="secret-cookie")
    assert "secret" not in repr(access)


def test_a_token_in_a_file_is_read_for_every_request(
    kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    api = connection.kubeflow(Access.of())
    api.get(HEALTH)
    file.write_text("second\n")
    api.get(HEALTH)
    assert [one.headers["authorization"] for one in kubeflow.asked] == ["Bearer first", "Bearer second"]


def test_without_an_address_the_kubeconfig_leads_to_kubeflow_through_kubernetes(
    kubernetes: Kubernetes, kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT")
    kubernetes.first = [Answer(200, {"multi_user": False})]
    assert connection.kubeflow(Access.of()).get(HEALTH) == {"multi_user": False}
    assert kubernetes.lines() == [f"GET /api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy{HEALTH}"]
    assert kubernetes.asked[0].headers["authorization"] == "Bearer kubernetes-token"


def test_without_an_address_and_a_kubeconfig_it_is_said_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match="expected its address, got none: give --host or set KF_PIPELINES_END"):
        connection.kubeflow(Access.of())


def test_the_kubeconfigs_namespace_is_that_of_the_runs(
    kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Access.of(host="http://kfp").namespace == "kubeflow"
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig(tmp_path / "config", namespace="team")))
    assert Access.of(host="http://kfp").namespace == "team"


def test_a_kubeconfig_that_cannot_be_used_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("clusters: 3")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found, why_not = connection.kubernetes(Access.of(host="http://kfp"))
    assert found is None
    assert why_not.startswith("no usable kubeconfig or service account: ")


def test_a_host_that_is_down_is_one_line_within_seconds(defdistill: Callable[..., object]) -> None:
    port, started = free_port(), time.monotonic()
    ended = defdistill("watch", "latest", "--host", f"http://127.0.0.1:{port}")
    assert time.monotonic() - started < 5
    assert vars(ended) == {
        "code": 1,
        "out": "",
        "err": f"defdistill: Kubeflow Pipelines at http://127.0.0.1:{port}: no answer (Connection refused): check "
        "--host (KF_PIPELINES_ENDPOINT) and that it runs\n",
    }


def test_a_host_that_takes_connections_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UnreachableError, match=r"no answer \(time ran out\)"),
    ):
        connection.kubeflow(Access.of(host=f"http://127.0.0.1:{listener.getsockname()[1]}")).get(HEALTH)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(401, {"code": 16, "message": "Unauthenticated"}), "the credentials are missing, wrong or expired"),
        (Answer(302, "", "text/html", {"location": "https://dex/auth"}), "the credentials are missing, wrong or exp"),
        (Answer(403, UNAUTHORIZED), "no rights: User 'anna' is not authorized with reason"),
        (Answer(403, "RBAC: access denied", "text/plain"), "the credentials have no rights here"),
        (Answer(404, "404 page not found", "text/plain"), "expected its API, found nothing at this address: check"),
        (Answer(200, "<html>Log in</html>", "text/html"), "expected its API, got text/html: check --host"),
        (Answer(503, "no healthy upstream", "text/plain"), "answered 503 Service Unavailable"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(kubeflow: Kubeflow, answer: Answer, line: str) -> None:
    kubeflow.first = [answer]
    with pytest.raises(RefusedError) as refused:
        connection.kubeflow(Access.of()).get(HEALTH)
    assert str(refused.value).startswith(f"Kubeflow Pipelines at {kubeflow.address}: {line}")
    assert "\n" not in str(refused.value)
    assert held_up(refused.value) is (answer.status == 503)


def test_a_connection_that_is_cut_is_no_answer(kubeflow: Kubeflow) -> None:
    kubeflow.first = [CUT]
    with pytest.raises(UnreachableError, match="no answer") as cut:
        connection.kubeflow(Access.of()).get(HEALTH)
    assert held_up(cut.value)


def test_a_certificate_that_cannot_be_checked_is_told_apart(kubeflow: Kubeflow) -> None:
    with pytest.raises(ClusterError, match=r"no answer|expected a certificate"):
        connection.kubeflow(Access.of(host=kubeflow.address.replace("http:", "https:"))).get(HEALTH)
