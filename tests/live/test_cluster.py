"""A sweep on a real cluster, from the doctor to a regression that fails (make test-cluster; docs/cluster.md).

It uses the cluster of the kubeconfig and of KF_PIPELINES_ENDPOINT, in KFP_NAMESPACE, with the image DEFDISTILL_IMAGE.
MLFLOW_TRACKING_URI and the AWS_ variables say how this machine reaches what the steps write to.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.artifacts import storage
from defensive_distillation.tracking.lineage import locations

pytestmark = pytest.mark.cluster
NEEDED = ("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "DEFDISTILL_IMAGE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL")
TINY = (
    *("--temperatures", "20", "--set", "prepare_data.train_limit=300", "--set", "prepare_data.test_limit=60"),
    *("--set", "train.epochs=4", "--set", "train.minimum_progress=0", "--set", "attacks=jsma,fgsm,transfer"),
    *("--set", "attack.jsma.sources=2", "--set", "attack.jsma.max_features=20", "--set", "attack.bounded.samples=5"),
    *("--set", "attack.cw.steps=20", "--set", "evaluate.gradient_samples=5"),
)
ON = ("--profile", "cpu")
EXPERIMENT = "live-tests"
WAIT = 1800  # seconds for a run


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own fixture has cleaned the environment of what this one needs."""
    given = json.loads(os.environ.get("DEFDISTILL_LIVE", "{}"))
    missing = [name for name in NEEDED if not given.get(name)]
    assert not missing, f"expected the variables {', '.join(NEEDED)}, missing: {', '.join(missing)}"
    for name, value in given.items():
        monkeypatch.setenv(name, value)


def defdistill(*arguments: str, code: int | None = 0) -> str:
    """What the command prints; it must end with `code`."""
    command = [sys.executable, "-W", "error", "-m", "defensive_distillation_pipelines.commands", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    said = done.stdout + done.stderr
    assert code is None or done.returncode == code, f"{' '.join(arguments)}: exit code {done.returncode}\n{said}"
    assert "Traceback" not in said
    return said


def submitted(*arguments: str, name: str, wait: bool = True, code: int | None = 0) -> tuple[str, str]:
    """The id of a run, and all that submit printed."""
    flags = ("--wait",) if wait else ()
    said = defdistill("submit", *TINY, *ON, "--experiment", EXPERIMENT, "--name", name, *flags, *arguments, code=code)
    found = re.search(r"^run: +([0-9a-f-]{36})$", said, flags=re.MULTILINE)
    assert found, said
    return found[1], said


def until(true: Callable[[], Any], seconds: float = 300) -> Any:
    """Waits for something to be true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(5)
    raise AssertionError(f"expected it within {seconds} s")


def kubectl(*arguments: str) -> str:
    """What kubectl prints."""
    command = ["kubectl", "-n", os.environ["KFP_NAMESPACE"], *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def mlflow_runs(pipeline_run: str) -> dict[str, Any]:
    """Our runs of a pipeline run by name, the parent under ''."""
    from mlflow import MlflowClient

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`defdistill.pipeline_run` = '{pipeline_run}'")
    return {
        run.info.run_name if "mlflow.parentRunId" in run.data.tags and "defdistill.model" in run.data.tags else "": run
        for run in found
    }


def sweep_json(run: str) -> bytes:
    """The table of a run, from where its report lies."""
    reports = [place for place in locations(run) if artifacts.read_manifest(place).kind == "report"]
    return storage.read_bytes(storage.join(reports[-1], "sweep.json"))


@pytest.fixture(scope="module")
def run_id() -> dict[str, str]:
    """The run that succeeded, for the tests after it."""
    return {}


def test_the_doctor_finds_nothing_missing() -> None:
    said = defdistill("doctor", *ON)
    assert " 0 missing" in said.splitlines()[-1]


def test_a_run_succeeds_and_is_recorded(run_id: dict[str, str]) -> None:
    run_id["run"], said = submitted("--no-cache", name="live succeeds")
    assert "z/T" in said  # the table
    runs = mlflow_runs(run_id["run"])
    assert set(runs) == {"", "baseline", "T=20", "control T=20"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs[""].info.run_name == "live succeeds"


def test_its_table_is_that_of_a_local_run_to_the_byte(run_id: dict[str, str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "run", *TINY, "--run", "here"]
    subprocess.run([*command, "--workspace", str(tmp_path)], check=True, env=environment, capture_output=True)
    here = (tmp_path / "runs" / "here" / "report" / "sweep.json").read_bytes()
    assert json.loads(here) == json.loads(sweep_json(run_id["run"]))


def test_nothing_unfinished_stays_on_s3(run_id: dict[str, str]) -> None:
    place = next(place for place in locations(run_id["run"]) if artifacts.read_manifest(place).kind == "report")
    above = place.partition(f"/{run_id['run']}/")[0]
    assert run_id["run"] not in "".join(storage.list_names(storage.join(above, "unfinished", "runs")))


def test_an_equal_run_takes_all_from_the_cache_and_still_shows_every_network() -> None:
    run, _ = submitted(name="live cached")
    again, said = submitted(name="live cached again")
    assert {"", "baseline", "T=20", "control T=20"} == set(mlflow_runs(again)) == set(mlflow_runs(run))
    assert "z/T" in said


def test_a_step_that_fails_is_told_with_its_own_words() -> None:
    run, said = submitted("--set", "prepare_data.source=/nowhere", name="live fails", code=1)
    assert "got '/nowhere', which does not exist" in said
    parent = mlflow_runs(run)[""]
    assert parent.info.status == "FAILED"
    assert "/nowhere" in parent.data.tags["defdistill.reason"]


def test_a_step_that_no_node_can_hold_is_told_within_a_minute_and_a_stopped_run_is_killed() -> None:
    run, _ = submitted("--no-cache", "--resources", "prepare_data.cpu=1000", name="live waits", wait=False)
    watch = [sys.executable, "-u", "-m", "defensive_distillation_pipelines.commands", "watch", run]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        began, told = time.monotonic(), ""
        for line in process.stdout:
            told += line
            if "waits" in line and "cpu" in line.lower():
                break
        assert time.monotonic() - began < 120, told
        process.terminate()
    assert "prepare_data" in told
    defdistill("stop", run)
    said = defdistill("watch", run, code=1)
    assert "cancelled" in said
    assert defdistill("watch", run, code=1)


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
        pods = json.loads(kubectl("get", "pods", "-l", f"pipeline/runid={run}", "-o", "json"))["items"]
        for pod in pods:
            if pod["status"]["phase"] == "Running" and "impl" in pod["metadata"]["name"]:
                name: str = pod["metadata"]["name"]
                if re.search(r"train_teacher-baseline: \d+ of 60 epochs", kubectl("logs", name, "-c", "main")):
                    return name
        return ""

    kubectl("delete", "pod", until(training), "--wait=false")
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
