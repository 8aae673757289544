from __future__ import annotations

import copy
from typing import Any

import pytest

from defensive_distillation_pipelines.cluster import connection
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.progress import lines
from defensive_distillation_pipelines.cluster.progress.lines import Lines, last_amount
from defensive_distillation_pipelines.cluster.progress.nodes import Workflow
from support.cluster.kubernetes import FORBIDDEN, Kubernetes
from support.cluster.recorded import answer
from support.cluster.server import Answer

PATH = ("for-loop-4[0]", "train-student")
POD = "defensive-distillation-digits-kshv2-retry-system-container-impl-1660648014"
TEXT = "text/plain"


def running() -> Workflow:
    """The recorded Workflow, in which train-student runs."""
    resource: dict[str, Any] = copy.deepcopy(answer("workflow-unschedulable"))
    (node,) = (n for n in resource["status"]["nodes"].values() if n["name"].endswith("train-student(0).executor(0)"))
    node["phase"] = "Running"
    return Workflow.of(resource)


@pytest.fixture
def logs(kubernetes: Kubernetes) -> Lines:
    server, _ = connection.kubernetes(Access.of(host="http://kfp"))
    assert server is not None
    return Lines(server, "kubeflow")


@pytest.mark.parametrize(
    ("log", "amount"),
    [
        ("", None),
        ("I1127 20:57:05.587667      16 main.go:67] Setting log level to: '1'\n", None),
        ("train_student-T=20: 2 of 12 epochs, loss 0.51\ntrain_student-T=20: 3 of 12 epochs\n", (3, 12, "epochs")),
        ("attack-control-T=20-jsma: 128 of 900 pairs\nwarning: slow\n", (128, 900, "pairs")),
    ],
)
def test_the_last_line_of_progress_counts(log: str, amount: tuple[int, int, str] | None) -> None:
    assert last_amount(log) == amount


def test_the_log_of_a_running_steps_pod_tells_how_far_it_is(kubernetes: Kubernetes, logs: Lines) -> None:
    kubernetes.first = [Answer(200, "train_student-T=20: 3 of 12 epochs\n", TEXT)]
    assert logs.amounts(running()) == {PATH: (3, 12, "epochs")}
    assert kubernetes.lines() == [f"GET /api/v1/namespaces/kubeflow/pods/{POD}/log"]
    assert kubernetes.asked[0].query == {"container": "main", "tailLines": "5"}


def test_a_log_is_not_asked_for_at_every_look(
    kubernetes: Kubernetes, logs: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubernetes.first = [Answer(200, f"train_student-T=20: {number} of 12 epochs\n", TEXT) for number in (3, 4)]
    assert logs.amounts(running()) == logs.amounts(running()) == {PATH: (3, 12, "epochs")}
    monkeypatch.setattr(lines, "INTERVAL", 0.0)
    assert logs.amounts(running()) == {PATH: (4, 12, "epochs")}


def test_without_rights_to_logs_nothing_more_is_asked(
    kubernetes: Kubernetes, logs: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "INTERVAL", 0.0)
    kubernetes.first = [Answer(403, FORBIDDEN)]
    assert logs.amounts(running()) == logs.amounts(running()) == {}
    assert len(kubernetes.asked) == 1
