"""A sweep on a real cluster, from the doctor to a regression that fails (make test-cluster; docs/cluster.md)."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from defensive_distillation.artifacts import storage
from defensive_distillation.tracking.lineage import newest
from defensive_distillation_pipelines.cluster.connection import Access, kubeflow
from defensive_distillation_pipelines.cluster.runs import API
from support.cluster.live import (
    COMMAND,
    EXPERIMENT,
    NETWORKS,
    ON,
    TINY,
    defdistill,
    mlflow_runs,
    objects,
    submitted,
    sweep_json,
    told,
    until,
)

pytestmark = pytest.mark.cluster


def test_the_doctor_finds_nothing_missing_in_a_namespace_that_takes_restricted_pods_alone() -> None:
    (namespace,) = [one for one in objects("namespaces") if one["metadata"]["name"] == os.environ["KFP_NAMESPACE"]]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    said = defdistill("doctor", *ON)
    assert " 0 missing" in said.splitlines()[-1]


def test_a_run_succeeds_and_is_recorded(run_id: dict[str, str]) -> None:
    run_id["run"], said = submitted("--no-cache", name="live succeeds")
    assert "z/T" in said  # the table
    runs = mlflow_runs(run_id["run"])
    assert set(runs) == {"", *NETWORKS}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert newest(run_id["run"], "report").startswith(("s3://", "minio://", "gs://"))


def test_its_runs_in_mlflow_stand_below_the_one_that_kubeflow_made_if_it_makes_any(run_id: dict[str, str]) -> None:
    """Kubeflow's MLflow integration is a setting of its API server: run all of this with it on, and off."""
    run = kubeflow(Access.of()).get(f"{API}/runs/{run_id['run']}")
    entries = run.get("plugins_output", {}).get("mlflow", {}).get("entries", {})
    runs = mlflow_runs(run_id["run"])
    if entries:
        assert runs[""].info.run_id == entries["root_run_id"]["value"]
    else:
        assert runs[""].info.run_name == "live succeeds"
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in NETWORKS} == {runs[""].info.run_id}


def test_its_table_is_that_of_a_local_run_to_the_byte(run_id: dict[str, str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [*COMMAND, "run", *TINY, "--run", "here"]
    subprocess.run([*command, "--workspace", str(tmp_path)], check=True, env=environment, capture_output=True)
    here = (tmp_path / "runs" / "here" / "report" / "sweep.json").read_bytes()
    assert here == sweep_json(run_id["run"])


def test_nothing_unfinished_stays_on_s3(run_id: dict[str, str]) -> None:
    above = newest(run_id["run"], "report").partition(f"/{run_id['run']}/")[0]
    assert run_id["run"] not in "".join(storage.list_names(storage.join(above, "unfinished", "runs")))


def test_an_equal_run_takes_all_from_the_cache_and_still_shows_every_network() -> None:
    run, _ = submitted(name="live cached")
    again, said = submitted(name="live cached again")
    assert {"", *NETWORKS} == set(mlflow_runs(again)) == set(mlflow_runs(run))
    assert "z/T" in said


def test_a_step_that_fails_is_told_with_its_own_words() -> None:
    run, said = submitted("--set", "prepare_data.source=/nowhere", name="live fails", code=1)
    assert "got '/nowhere', which does not exist" in said
    parent = mlflow_runs(run)[""]
    assert parent.info.status == "FAILED"
    assert "/nowhere" in parent.data.tags["defdistill.reason"]


def test_a_step_that_no_node_can_hold_is_told_within_a_minute_and_a_stopped_run_is_killed() -> None:
    run, _ = submitted("--no-cache", "--resources", "prepare_data.cpu=1000", name="live waits", wait=False)
    with subprocess.Popen(
        [*COMMAND, "watch", run], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        began, said = time.monotonic(), ""
        for line in process.stdout:
            said += line
            if "waits" in line and "cpu" in line.lower():
                break
        assert time.monotonic() - began < 120, said
        process.terminate()
    assert "prepare_data" in said
    defdistill("stop", run)
    assert "cancelled" in defdistill("watch", run, code=1)


def test_a_stopped_run_is_marked_as_killed() -> None:
    run, _ = submitted("--no-cache", "--set", "train.epochs=400", name="live stopped", wait=False)
    until(lambda: "" in mlflow_runs(run))
    defdistill("stop", run)
    defdistill("watch", run, code=1)
    assert {one.info.status for one in mlflow_runs(run).values()} <= {"KILLED", "FINISHED"}
    assert mlflow_runs(run)[""].info.status == "KILLED"


def test_a_step_whose_pod_is_deleted_goes_on_from_its_work() -> None:
    run, _ = submitted("--no-cache", "--set", "train.epochs=60", name="live deleted", wait=False)

    def training() -> str:
        for pod in objects("pods", "-l", f"pipeline/runid={run}"):
            if pod["status"]["phase"] == "Running" and "impl" in pod["metadata"]["name"]:
                name: str = pod["metadata"]["name"]
                if re.search(r"train_teacher-baseline: \d+ of 60 epochs", told("kubectl", "logs", name, "-c", "main")):
                    return name
        return ""

    told("kubectl", "delete", "pod", until(training), "--wait=false")
    said = defdistill("watch", run)
    assert "z/T" in said


def test_one_stage_again_is_recorded_beside_the_first(run_id: dict[str, str]) -> None:
    said = defdistill(
        "rerun", "attack", "--run", run_id["run"], "--model", "T=20", "--set", "jsma.max_features=5", "--cluster", *ON
    )
    assert "rerun attack" in said
    assert "T=20 rerun attack jsma.max_features=5" in mlflow_runs(run_id["run"])


def test_a_schedule_is_declared_once_and_replaced() -> None:
    wish = ("schedule", *TINY, *ON, "--experiment", EXPERIMENT, "--name", "live-schedule")
    try:
        assert "live-schedule" in defdistill(*wish, "--cron", "0 3 * * *")
        assert defdistill(*wish, "--cron", "0 3 * * *")
        assert defdistill(*wish, "--cron", "0 4 * * *")
        listed = defdistill("schedule", "--list")
        assert listed.count("live-schedule") == 1
        assert "4" in listed
    finally:
        defdistill("schedule", "--delete", "live-schedule")


def test_a_gate_passes_against_an_equal_champion_and_fails_against_a_better_one(run_id: dict[str, str]) -> None:
    defdistill("promote", run_id["run"], "--experiment", "digits")
    submitted("--gate", name="live gate passes")
    run, said = submitted("--gate", "--set", "train.learning_rate=0.0001", name="live gate fails", code=1)
    assert "gate" in said
    assert mlflow_runs(run)[""].data.tags["defdistill.gate"] == "failed"
