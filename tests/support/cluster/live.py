"""What the tests on a real cluster share: the commands as a user types them, and what they leave behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts import storage
from defensive_distillation.tracking.lineage import newest, parent

if TYPE_CHECKING:
    from mlflow.entities import Run

NEEDED = (
    *("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "DEFDISTILL_IMAGE", "DEFDISTILL_CLI_IMAGE"),
    *("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL"),
)
COMMAND = (sys.executable, "-W", "error", "-m", "defensive_distillation_pipelines.commands")
TINY = (
    *("--temperatures", "20", "--set", "prepare_data.train_limit=300", "--set", "prepare_data.test_limit=60"),
    *("--set", "train.epochs=4", "--set", "train.minimum_progress=0", "--set", "attacks=jsma,fgsm,transfer"),
    *("--set", "attack.jsma.sources=2", "--set", "attack.jsma.max_features=20", "--set", "attack.bounded.samples=5"),
    *("--set", "attack.cw.steps=20", "--set", "evaluate.gradient_samples=5"),
)
ON = ("--profile", "cpu")
EXPERIMENT = "live-tests"
NETWORKS = {"baseline", "T=20", "control T=20"}  # of a TINY sweep
_WAIT = 1800  # seconds for a command


def defdistill(*arguments: str, code: int = 0) -> str:
    """What the command prints; it must end with `code`."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=_WAIT)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"{' '.join(arguments)}: exit code {done.returncode}\n{said}"
    assert "Traceback" not in said
    return said


def submitted(
    *arguments: str, name: str, on: tuple[str, ...] = ON, wait: bool = True, code: int = 0
) -> tuple[str, str]:
    """The id of a run, and all that submit printed."""
    flags = ("--experiment", EXPERIMENT, "--name", name, *(("--wait",) if wait else ()))
    said = defdistill("submit", *TINY, *on, *flags, *arguments, code=code)
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


def told(command: str, *arguments: str, given: str | None = None) -> str:
    """What kubectl or helm prints, in the namespace of the runs."""
    line = [command, "-n", os.environ["KFP_NAMESPACE"], *arguments]
    done = subprocess.run(line, input=given, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(line)}: {done.stdout}{done.stderr}"
    return done.stdout


def objects(*arguments: str) -> list[dict[str, Any]]:
    """What kubectl gets."""
    found: list[dict[str, Any]] = json.loads(told("kubectl", "get", *arguments, "-o", "json"))["items"]
    return found


def mlflow_runs(pipeline_run: str) -> dict[str, Run]:
    """The runs in MLflow of the networks of a pipeline run by name, and the sweep's under ''."""
    from mlflow import MlflowClient

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`defdistill.pipeline_run` = '{pipeline_run}'")
    if not found:
        return {}
    networks = {run.info.run_name: run for run in found if "defdistill.model" in run.data.tags}
    return {"": client.get_run(parent(pipeline_run)), **networks}


def sweep_json(run: str) -> bytes:
    """The table of a run."""
    return storage.read_bytes(storage.join(newest(run, "report"), "sweep.json"))
