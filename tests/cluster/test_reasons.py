"""Texts are Argo's (workflow/controller/operator.go), the kubelet's, the scheduler's and the admission plugins'."""

from __future__ import annotations

from typing import Any

import pytest

from defensive_distillation_pipelines.cluster.reasons import asks_for, failure, own_words, too_large, waits_for
from support.cluster.recorded import answer, recorded

ASKED = {"limits": {"cpu": "64", "memory": "4Gi", "nvidia.com/gpu": "2"}, "requests": {"cpu": "64", "memory": "4Gi"}}


def pod(**status: Any) -> dict[str, Any]:
    containers = [{"name": "wait", "resources": {}}, {"name": "main", "resources": ASKED}]
    return {"spec": {"containers": containers}, "status": status}


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(phase="Pending", conditions=[condition])


def waiting(reason: str, message: str = "", *, before: bool = False) -> dict[str, Any]:
    container = {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}
    starting = {"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}
    if before:
        return pod(initContainerStatuses=[container], containerStatuses=[starting])
    return pod(initContainerStatuses=[], containerStatuses=[container])


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are "
            "available: 1 No preemption victims found for incoming pod.",
            "no node has free processors, it asks for 64 processors, 4Gi memory, 2 nvidia.com/gpu: "
            "0/1 nodes are available: 1 Insufficient cpu",
        ),
        (
            "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are "
            "available: 3 No preemption victims found for incoming pod.",
            "no node has free memory and free GPUs (nvidia.com/gpu), it asks for 64 processors, 4Gi memory, 2 "
            "nvidia.com/gpu: 0/3 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu",
        ),
        (
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated "
            "taint {nvidia.com/gpu: present}. preemption: 0/2 nodes are available: 2 Preemption is not helpful.",
            "no node has the labels of its node_selector and only taints that it tolerates, it asks "
            "for 64 processors, 4Gi memory, 2 nvidia.com/gpu: 0/2 nodes are available: 1 node(s) didn't match Pod's "
            "node affinity/selector, 1 node(s) had untolerated taint {nvidia.com/gpu: present}",
        ),
    ],
)
def test_a_pod_that_no_node_can_take_is_told_with_what_it_lacks_and_asks_for(told: str, line: str) -> None:
    assert waits_for("", unschedulable(told)) == line


def test_a_recorded_pod_that_no_node_can_take() -> None:
    (found,) = answer("pods-unschedulable")["items"]
    assert waits_for("", found) == (
        "no node has free processors, it asks for 64 processors, 2Gi memory: 0/1 nodes are available: 1 Insufficient "
        "cpu"
    )


def test_a_recorded_pod_whose_image_is_nowhere() -> None:
    (found,) = answer("pods-no-image")["items"]
    assert waits_for("PodInitializing", found) == (
        "its image registry.example/none:1 cannot be pulled (no such host): check DEFDISTILL_IMAGE and the image pull "
        "secret"
    )


def test_without_the_pod_the_nodes_message_says_what_is_lacking() -> None:
    message = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: …"
    assert waits_for(message, None) == "no node has free processors: 0/1 nodes are available: 1 Insufficient cpu"


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_pod_that_starts_waits_for_nothing(reason: str) -> None:
    assert waits_for(reason, waiting(reason)) == ""
    assert waits_for("", None) == ""


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("reason", "message", "line"),
    [
        (
            "ImagePullBackOff",
            'Back-off pulling image "registry.example/dd:1": ErrImagePull: rpc error: code = NotFound desc = failed to '
            'pull and unpack image "registry.example/dd:1": not found',
            "its image registry.example/dd:1 cannot be pulled (not found): check DEFDISTILL_IMAGE and the image pull "
            "secret",
        ),
        (
            "ErrImagePull",
            'failed to pull and unpack image "registry.example/dd:1": failed to resolve reference '
            '"registry.example/dd:1": pull access denied, repository does not exist or may require authorization',
            "its image registry.example/dd:1 cannot be pulled (denied): check DEFDISTILL_IMAGE and the image pull "
            "secret",
        ),
        (
            "InvalidImageName",
            'Failed to apply default image tag "UPPER:1": couldn\'t parse image name "UPPER:1": invalid reference '
            "format: repository name must be lowercase",
            "its image UPPER:1 cannot be pulled (invalid reference): check DEFDISTILL_IMAGE and the image pull secret",
        ),
    ],
)
def test_an_image_that_cannot_be_pulled_is_named(reason: str, message: str, line: str, before: bool) -> None:
    assert waits_for("PodInitializing", waiting(reason, message, before=before)) == line


def test_a_missing_secret_is_told_of_a_container_that_cannot_be_made() -> None:
    stuck = waiting("CreateContainerConfigError", 'secret "credentials" not found')
    assert waits_for("", stuck) == 'its container cannot be made: secret "credentials" not found'


def test_a_pod_that_its_queue_holds_back_is_told() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "Scheduling is …"}
    assert waits_for("", pod(conditions=[condition])) == "gated: its queue has not admitted it yet"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "main: Error (exit code 1): attack at T=20: out of memory; try a smaller batch_size",
            "attack at T=20: out of memory; try a smaller batch_size",
        ),
        ("main: Error (exit code 1)", ""),
        (
            'pods "sweep-x-system-container-impl-1" is forbidden: violates PodSecurity "restricted:latest": '
            'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)',
            "the namespace refuses its pod, which is not 'restricted' as pod security demands: runAsNonRoot != true "
            '(pod or container "main" must set securityContext.runAsNonRoot=true)',
        ),
        (
            'pods "sweep-x-system-dag-driver-1" is forbidden: error looking up service account kubeflow/nobody: '
            'serviceaccount "nobody" not found',
            "the service account nobody does not exist in kubeflow: --service-account names another",
        ),
        (
            'pods "sweep-x-1" is forbidden: exceeded quota: team, requested: requests.cpu=4, used: requests.cpu=6, '
            "limited: requests.cpu=8",
            "the namespace's quota refuses its pod: team, requested: requests.cpu=4, used: requests.cpu=6, limited: "
            "requests.cpu=8",
        ),
        (
            "wait: Error (exit code 64): failed to put file: Access Denied.",
            "the object store does not take its log (Access Denied): check the store of Argo's artifact repository "
            "and that it runs",
        ),
        (
            "wait: Error (exit code 64): failed to put file: dial tcp 10.0.0.9:9000: connect: connection refused",
            "the object store does not take its log (dial tcp 10.0.0.9:9000: connect: connection refused): check the "
            "store of Argo's artifact repository and that it runs",
        ),
        ("pod deleted", "its pod was deleted, as a node that goes away or a preemption does"),
        ("Step exceeded its deadline", "its time ran out"),
        ("Pod was active on the node longer than the specified deadline", "its time ran out"),
        ("something new", "something new"),
    ],
)
def test_why_a_pod_failed_is_one_line(message: str, line: str) -> None:
    assert failure(message) == line


@pytest.mark.parametrize(
    "message",
    [
        "main: OOMKilled (exit code 137)",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi.",
    ],
)
def test_out_of_memory_is_told_with_what_the_step_asked_for(message: str) -> None:
    line = failure(message, pod())
    assert line.startswith(
        "out of memory, it asked for 64 processors, 4Gi memory, 2 nvidia.com/gpu: give the step more"
    )
    assert failure(message).startswith("out of memory: give the step more")


def test_a_gpu_count_of_nothing_is_not_asked_for() -> None:
    resources = {"limits": {"nvidia.com/gpu": "0", "cpu": "500m"}}
    assert asks_for({"spec": {"containers": [{"name": "main", "resources": resources}]}}) == "500m processors"
    assert asks_for(None) == ""


def test_the_end_of_a_recorded_log_is_the_steps_own_line() -> None:
    assert own_words(recorded("log-of-failed-step")["response_text"]) == (
        "prepare_data: source: expected digits, mnist, cifar10, or a folder or archive of images, got '/nowhere2', "
        "which does not exist"
    )


def test_a_step_that_the_kernel_killed_is_told_as_lack_of_memory() -> None:
    log = "epoch 3\nF1127 20:57:13.613270      16 main.go:59] failed to execute component: signal: killed\n"
    assert own_words(log).startswith("it was killed, most likely for lack of memory")


def test_of_a_driver_that_says_nothing_itself_kubeflows_last_complaint_is_told() -> None:
    log = (
        "I1127 20:57:05.587667      16 main.go:67] Setting log level to: '1'\n"
        "F1127 20:57:13.613270      16 main.go:79] KFP driver: driver.DAG(…) failed: parent DAG does not have input "
        "parameter\n"
    )
    assert own_words(log) == "KFP driver: driver.DAG(…) failed: parent DAG does not have input parameter"


def test_a_workflow_that_became_too_large_is_told_with_what_to_change() -> None:
    message = "workflow is longer than maximum allowed size. compressed size 1050000 > maxSize 1048576"
    assert too_large(message).startswith("the workflow became larger than a cluster can hold: take fewer temperatures")
    assert too_large("child 'x' failed") == ""


def test_a_very_long_reason_is_cut() -> None:
    line = failure("word " * 300)
    assert len(line) == 400
    assert line.endswith(" …")
