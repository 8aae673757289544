from __future__ import annotations

import base64
import copy
import gzip
import json
from typing import Any

import pytest

from defensive_distillation.errors import ClusterError
from defensive_distillation_pipelines.cluster.progress import workflow
from defensive_distillation_pipelines.cluster.progress.nodes import Workflow, node_id, place
from defensive_distillation_pipelines.cluster.progress.view import State
from support.cluster.recorded import answer

LOOP = "(0).root(0).for-loop-2(0).iteration-iterations(1:1)(0).iteration-item(0)"
SEEN: dict[tuple[str, ...], State] = {
    ("prepare-data",): "done",
    ("train-teacher",): "done",
    ("for-loop-1[0]", "attack"): "failed",
    ("for-loop-2[0]", "scale-logits"): "done",
    ("for-loop-2[0]", "for-loop-3[0]", "attack-2"): "failed",
    ("for-loop-4[0]", "train-teacher-2"): "done",
    ("for-loop-4[0]", "generate-soft-labels"): "done",
    ("for-loop-4[0]", "train-student"): "waiting",
}


@pytest.fixture
def resource() -> dict[str, Any]:
    return copy.deepcopy(answer("workflow-unschedulable"))


def node_named(resource: dict[str, Any], end: str) -> dict[str, Any]:
    (found,) = (node for node in resource["status"]["nodes"].values() if node["name"].endswith(end))
    return found


@pytest.mark.parametrize(
    ("name", "path", "role", "attempt"),
    [
        ("", (), "task", None),
        ("(0).root-driver(2)", (), "driver", 2),
        ("(0).root(0).prepare-data", ("prepare-data",), "task", None),
        ("(0).root(0).prepare-data-driver(0)", ("prepare-data",), "driver", 0),
        ("(0).root(0).prepare-data(0).executor(1)", ("prepare-data",), "executor", 1),
        (".root.prepare-data.executor", ("prepare-data",), "executor", None),
        ("(0).root(0).for-loop-2(0).iteration-driver(0)", ("for-loop-2",), "driver", 0),
        (f"{LOOP}.attack-2(0).executor(0)", ("for-loop-2[1]", "attack-2"), "executor", 0),
        (f"{LOOP}.for-loop-3(0).iteration-iterations(12:12)(0).iteration-item-driver", (
            "for-loop-2[1]", "for-loop-3[12]"), "driver", None),
    ],
)  # fmt: skip
def test_a_nodes_name_says_which_step_it_belongs_to(
    name: str, path: tuple[str, ...], role: str, attempt: int | None
) -> None:
    assert place(name) == (path, role, attempt)


def test_the_ids_of_all_recorded_nodes_are_digests_of_their_names(resource: dict[str, Any]) -> None:
    seen = Workflow.of(resource)
    assert len(seen.nodes) == 102
    assert all(node_id(seen.name, node.name) == node.id for node in seen.nodes.values())


def test_the_states_of_a_recorded_workflow(resource: dict[str, Any]) -> None:
    assert workflow.view(Workflow.of(resource), {}).states == SEEN


def test_packed_nodes_are_unpacked(resource: dict[str, Any]) -> None:
    packed = gzip.compress(json.dumps(resource["status"].pop("nodes")).encode())
    resource["status"]["compressedNodes"] = base64.b64encode(packed).decode()
    assert workflow.view(Workflow.of(resource), {}).states == SEEN


def test_nodes_that_are_damaged_or_elsewhere_are_told(resource: dict[str, Any]) -> None:
    del resource["status"]["nodes"]
    resource["status"]["compressedNodes"] = base64.b64encode(b"no gzip").decode()
    with pytest.raises(ClusterError, match="the Workflow's nodes could not be unpacked"):
        Workflow.of(resource)
    resource["status"] = {"phase": "Running", "offloadNodeStatusVersion": "fnv:1"}
    with pytest.raises(ClusterError, match="the Workflow's nodes lie in the controller's own database"):
        Workflow.of(resource)


def test_a_workflow_that_has_just_begun_has_no_steps(resource: dict[str, Any]) -> None:
    del resource["status"]
    view = workflow.view(Workflow.of(resource), {})
    assert (view.states, view.troubles) == ({}, [])


def test_a_pending_pod_is_told_with_its_reason_and_what_it_asks_for(resource: dict[str, Any]) -> None:
    node = node_named(resource, "for-loop-1(0).iteration-iterations(0:0)(0).iteration-item(0).attack(0).executor(0)")
    node |= {"phase": "Pending", "message": "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."}
    seen = Workflow.of(resource)
    assert workflow.waiting_pods(seen)
    pods = {node["id"]: {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "64"}}}]}}}
    view = workflow.view(seen, pods)
    assert view.states["for-loop-1[0]", "attack"] == "waiting"
    (told,) = (one for one in view.troubles if one.path == ("for-loop-1[0]", "attack"))
    assert (told.kind, told.driver) == ("waits", False)
    assert told.reason.startswith("no node has free processors, it asks for 64 processors: 0/1 nodes are available")


def test_a_failed_attempt_is_not_a_failed_step_while_it_is_tried_again(resource: dict[str, Any]) -> None:
    for end in ("train-student(0).executor", "train-student(0)", "iteration-item(0).train-student"):
        assert node_named(resource, end)["phase"] == "Running"
    node_named(resource, "train-student(0).executor(0)")["message"] = "pod deleted"
    view = workflow.view(Workflow.of(resource), {})
    (told,) = (one for one in view.troubles if one.path == ("for-loop-4[0]", "train-student"))
    assert (told.kind, told.reason) == ("again", "its pod was deleted, as a node that goes away or a preemption does")
    for end in ("train-student(0).executor", "train-student(0)", "iteration-item(0).train-student"):
        node_named(resource, end)["phase"] = "Failed"
    view = workflow.view(Workflow.of(resource), {})
    assert view.states["for-loop-4[0]", "train-student"] == "failed"
    assert {one.kind for one in view.troubles if one.path == ("for-loop-4[0]", "train-student")} == {"failed"}


def test_a_step_whose_result_kubeflow_kept_runs_no_pod(resource: dict[str, Any]) -> None:
    nodes = resource["status"]["nodes"]
    nodes.pop(node_named(resource, "scale-logits(0).executor(0)")["id"])
    node_named(resource, "scale-logits(0).executor").update(type="Skipped", phase="Skipped")
    assert workflow.view(Workflow.of(resource), {}).states["for-loop-2[0]", "scale-logits"] == "kept"


def test_a_driver_that_fails_is_told_as_the_steps_driver(resource: dict[str, Any]) -> None:
    node = node_named(resource, ".train-teacher-driver(0)")
    node |= {"phase": "Error", "message": 'pods "x" is forbidden: error looking up service account kubeflow/nobody: …'}
    node_named(resource, ".train-teacher-driver")["phase"] = "Failed"
    (told,) = (one for one in workflow.view(Workflow.of(resource), {}).troubles if one.path == ("train-teacher",))
    assert (told.driver, told.kind) == (True, "failed")
    assert told.reason == "the service account nobody does not exist in kubeflow: --service-account names another"
