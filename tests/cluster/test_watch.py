from __future__ import annotations

import copy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cluster.kubeflow import API, Kubeflow
from support.cluster.kubernetes import Kubernetes
from support.cluster.recorded import answer, recorded
from support.cluster.server import CUT, Answer

OWN_LINE = (
    "source: expected digits, mnist, cifar10, or a folder or archive of images, got '/nowhere2', which does not exist"
)
NO_KUBECONFIG = "no usable kubeconfig or service account: Invalid kube-config file. No configuration found."
Watch = Callable[..., dict[str, Any]]


@pytest.fixture
def watch(defdistill: Callable[..., object]) -> Watch:
    return lambda *arguments: vars(defdistill("watch", *arguments))


def workflow(changes: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The recorded Workflow, with changes of nodes by the ends of their names."""
    resource: dict[str, Any] = copy.deepcopy(answer("workflow-unschedulable"))
    for end, change in changes.items():
        (node,) = (node for node in resource["status"]["nodes"].values() if node["name"].endswith(end))
        node |= change
    return resource


def test_without_a_kubeconfig_the_list_of_tasks_and_the_log_tell(kubeflow: Kubeflow, watch: Watch) -> None:
    run_id = kubeflow.begin("fails")
    kubeflow.story = ["run-running", "run-running", "run-failed"]
    kubeflow.logs["defensive-distillation-digits-tgvs7-1209667695"] = recorded("log-of-failed-step")["response_text"]
    ended = watch(run_id)
    source, running, said, _, last = ended["err"].splitlines()
    assert ended["code"] == 1
    assert (
        source == f"stages: from Kubeflow's list of tasks, which does not tell waiting from running ({NO_KUBECONFIG})"
    )
    assert running.endswith("stages: 0 done, 1 running, 9 left · prepare_data")
    assert said == f"prepare_data failed: {OWN_LINE}"
    assert last == f"defdistill: run fails ({run_id}) failed: prepare_data: {OWN_LINE}"


def test_a_failure_whose_log_is_gone_is_told_as_such(kubeflow: Kubeflow, watch: Watch) -> None:
    kubeflow.story = ["run-failed"]
    ended = watch(kubeflow.begin())
    assert ended["code"] == 1
    assert "prepare_data failed: its log could not be read: " in ended["err"]


def test_where_nothing_tells_a_reason_it_is_said_what_would(kubeflow: Kubeflow, watch: Watch) -> None:
    """As for a service account that does not exist: nine tries of a pod that was never made, without a log."""
    run_id = kubeflow.begin("nobody")
    kubeflow.story = ["run-bad-service-account-later"]
    ended = watch(run_id)
    assert (ended["code"], ended["err"].splitlines()[-1]) == (
        1,
        f"defdistill: run nobody ({run_id}) failed: no reason is told here; with a kubeconfig that may read Workflows, "
        "the same command finds it",
    )


def test_the_workflow_tells_what_waits_and_for_what(kubeflow: Kubeflow, kubernetes: Kubernetes, watch: Watch) -> None:
    kubeflow.begin("gpus")
    pending = {"phase": "Pending", "message": "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."}
    kubernetes.workflow = workflow({"attack(0).executor(0)": pending})
    kubernetes.pods = copy.deepcopy(answer("pods-unschedulable")["items"])
    (node,) = (n for n in kubernetes.workflow["status"]["nodes"].values() if n.get("message", "").startswith("Unsch"))
    kubernetes.pods[0]["metadata"]["annotations"]["workflows.argoproj.io/node-id"] = node["id"]
    kubeflow.story = ["run-unschedulable"] * 4 + ["run-succeeded"]
    lines = watch("gpus")["err"].splitlines()
    assert lines[0] == "stages: from the Workflow's nodes"
    assert [line for line in lines if "waits" in line] == [
        "attack baseline jsma waits: no node has free processors, it asks for 64 processors, 2Gi memory: 0/1 nodes are "
        "available: 1 Insufficient cpu"
    ]
    assert any("2 waiting" in line for line in lines)


def test_a_reason_is_said_again_when_it_changes(kubeflow: Kubeflow, kubernetes: Kubernetes, watch: Watch) -> None:
    kubeflow.begin()
    first = workflow({"attack(0).executor(0)": {"phase": "Pending", "message": "Unschedulable: 1 Insufficient cpu."}})
    then = workflow({"attack(0).executor(0)": {"phase": "Pending", "message": "Unschedulable: 1 Insufficient memory."}})
    told = [{"kind": "WorkflowList", "items": [one]} for one in (first, then)]
    no_pods = Answer(200, {"kind": "PodList", "items": []})
    kubernetes.first = [one for list_ in told for one in (Answer(200, list_), no_pods)]
    kubernetes.workflow = then
    kubeflow.story = ["run-unschedulable"] * 5 + ["run-succeeded"]
    lines = [line for line in watch("latest")["err"].splitlines() if "waits" in line]
    assert [line.partition(": ")[2] for line in lines] == [
        "no node has free processors: 1 Insufficient cpu",
        "no node has free memory: 1 Insufficient memory",
    ]


def test_a_steps_own_line_stands_in_its_nodes_message(kubeflow: Kubeflow, kubernetes: Kubernetes, watch: Watch) -> None:
    run_id = kubeflow.begin("fails")
    message = "main: Error (exit code 1): attack-baseline-jsma: out of memory; try a smaller batch_size"
    kubernetes.workflow = workflow({"attack(0).executor(0)": {"phase": "Failed", "message": message}})
    kubeflow.story = ["run-failed"]
    ended = watch(run_id)
    assert ended["code"] == 1
    assert "attack baseline jsma failed: out of memory; try a smaller batch_size" in ended["err"].splitlines()
    assert (
        ended["err"]
        .splitlines()[-1]
        .startswith(
            f"defdistill: run fails ({run_id}) failed: attack baseline jsma: out of memory; try a smaller batch_size"
        )
    )


def test_a_workflow_that_became_too_large_is_told(kubeflow: Kubeflow, kubernetes: Kubernetes, watch: Watch) -> None:
    kubernetes.workflow = workflow({})
    kubernetes.workflow["status"] = {
        "phase": "Error",
        "message": "workflow is longer than maximum allowed size. compressed size 1050000 > maxSize 1048576",
    }
    kubeflow.begin("large")
    kubeflow.story = ["run-failed"]
    assert ": the workflow became larger than a cluster can hold: take fewer temperatures" in watch("large")["err"]


def test_without_rights_to_workflows_the_list_of_tasks_tells_and_it_is_said_why(
    kubeflow: Kubeflow, kubernetes: Kubernetes, watch: Watch
) -> None:
    kubernetes.forbidden = True
    kubeflow.begin()
    kubeflow.story = ["run-running"] * 3 + ["run-succeeded"]
    ended = watch("latest")
    assert ended["err"].splitlines()[0] == (
        "stages: from Kubeflow's list of tasks, which does not tell waiting from running (Kubernetes at "
        f'{kubernetes.address}: no rights: workflows.argoproj.io is forbidden: User "someone" cannot list resource '
        '"workflows" in API group "argoproj.io" in the namespace "kubeflow")'
    )
    assert len(kubernetes.asked) == 1
    assert ended["code"] == 0


def test_where_the_list_of_tasks_stands_still_it_is_said(kubeflow: Kubeflow, watch: Watch) -> None:
    kubeflow.begin()
    kubeflow.story = ["run-with-a-deleted-pod"]
    kubeflow.still_running = 2
    ended = watch("latest")
    still = "the list has not changed for long: a long step, or it stands still as it does for large workflows"
    assert ended["err"].splitlines()[0].endswith(f"({NO_KUBECONFIG}; {still})")
    assert ended["code"] == 0


@pytest.mark.parametrize(
    "fault", [CUT, Answer(503, "no healthy upstream", "text/plain"), Answer(502, ""), Answer(504, "")]
)
def test_a_server_that_is_away_for_a_while_does_not_end_the_watch(
    kubeflow: Kubeflow, watch: Watch, fault: Answer
) -> None:
    run_id = kubeflow.begin()
    kubeflow.story = ["run-running", "run-running", "run-succeeded"]
    kubeflow.fail_runs_after(2, [fault] * 3)
    ended = watch(run_id)
    assert ended["code"] == 0
    lines = ended["err"].splitlines()
    assert sum("the run goes on, asking again" in line for line in lines) == 1
    assert lines.count("Kubeflow Pipelines answers again") == 1


def test_credentials_that_expire_end_the_watch_with_one_line(kubeflow: Kubeflow, watch: Watch) -> None:
    run_id = kubeflow.begin()
    kubeflow.fail_runs_after(2, [Answer(401, {"code": 16, "message": "Unauthenticated"})])
    ended = watch(run_id)
    assert ended["code"] == 1
    assert "the credentials are missing, wrong or expired: renew the token or cookies" in ended["err"].splitlines()[-1]


@pytest.mark.parametrize("state", ["PENDING", "PAUSED", "CANCELING"])
def test_a_run_that_does_not_run_is_told_with_its_state(kubeflow: Kubeflow, watch: Watch, state: str) -> None:
    words = {"PENDING": "waiting to begin", "PAUSED": "paused", "CANCELING": "being cancelled"}[state]
    kubeflow.begin()
    kubeflow.states = {1: state}
    kubeflow.story = ["run-running"] * 3 + ["run-succeeded"]
    assert f"the run is {words}" in watch("latest")["err"].splitlines()


def test_a_run_that_was_stopped_ends_as_cancelled_though_kubeflow_says_failed(kubeflow: Kubeflow, watch: Watch) -> None:
    run_id = kubeflow.begin("stopped")
    kubeflow.story = ["run-running", "run-canceling", "run-canceled"]
    assert answer("run-canceled")["state"] == "FAILED"
    ended = watch(run_id)
    assert (ended["code"], ended["err"].splitlines()[-1]) == (
        1,
        f"defdistill: run stopped ({run_id}) was cancelled",
    )


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1), ("SKIPPED", 1)])
def test_the_exit_code_is_the_runs_end(kubeflow: Kubeflow, watch: Watch, state: str, code: int) -> None:
    kubeflow.begin()
    kubeflow.states = {0: state, 1: state, 2: state}
    assert watch("latest")["code"] == code


def test_runs_are_found_by_id_beginning_name_and_latest(kubeflow: Kubeflow, watch: Watch) -> None:
    kubeflow.story = ["run-succeeded"]
    first, second = kubeflow.begin("nightly"), kubeflow.begin("nightly")
    for wanted, found in ((first, first), (first[:12], first), ("nightly", second), ("latest", second)):
        assert watch(wanted)["out"].splitlines()[0] == f"run:     nightly ({found})"


@pytest.mark.parametrize("wanted", ["nothing", "00000000-0000-0000-0000-000000000000"])
def test_a_run_that_is_not_there_is_bad_input(kubeflow: Kubeflow, watch: Watch, wanted: str) -> None:
    kubeflow.begin()
    ended = watch(wanted)
    assert (ended["code"], ended["err"].count("\n")) == (2, 1)
    assert ended["err"].startswith("defdistill: run: expected ")


@pytest.mark.slow
def test_an_interrupt_leaves_the_run_and_says_how_to_come_back(kubeflow: Kubeflow, tmp_path: Path) -> None:
    run_id = kubeflow.begin()
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "watch", run_id]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who starts tests behind a '&' ignores it
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    watchdog.cancel()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == (
        f"defdistill: the run goes on; look again with 'defdistill watch {run_id}', "
        f"stop it with 'defdistill stop {run_id}'"
    )
    assert f"POST {API}/runs/{run_id}:terminate" not in kubeflow.lines()


def test_stopping_a_run_asks_kubeflow_to_end_it(kubeflow: Kubeflow, defdistill: Callable[..., object]) -> None:
    run_id = kubeflow.begin("long")
    ended = vars(defdistill("stop", "long"))
    assert ended == {
        "code": 0,
        "out": f"run long ({run_id}) is being cancelled; its pods end within a minute\n",
        "err": "",
    }
    assert kubeflow.lines()[-2:] == [f"POST {API}/runs/{run_id}:terminate", f"GET {API}/runs/{run_id}"]


def test_stopping_what_has_ended_changes_nothing(kubeflow: Kubeflow, defdistill: Callable[..., object]) -> None:
    run_id = kubeflow.begin("long")
    kubeflow.story = ["run-succeeded"]
    ended = vars(defdistill("stop", run_id))
    assert (ended["code"], ended["out"]) == (0, f"run long ({run_id}) had ended before: it succeeded\n")
    assert not any("terminate" in line for line in kubeflow.lines())


def test_a_run_that_ends_while_it_is_stopped_is_told_so(kubeflow: Kubeflow, defdistill: Callable[..., object]) -> None:
    """Kubeflow then answers that there is no such row."""
    run_id = kubeflow.begin("long")
    kubeflow.story = ["run-running", "run-succeeded"]
    ended = vars(defdistill("stop", run_id))
    assert (ended["code"], ended["out"]) == (0, f"run long ({run_id}) had ended before: it succeeded\n")


def test_watching_takes_no_longer_than_the_run(kubeflow: Kubeflow, watch: Watch) -> None:
    kubeflow.begin()
    kubeflow.story = ["run-succeeded"]
    started = time.monotonic()
    assert watch("latest")["code"] == 0
    assert time.monotonic() - started < 10
