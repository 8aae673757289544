from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from support.cluster.kubeflow import API, Kubeflow

Rerun = Callable[..., dict[str, Any]]


@pytest.fixture
def rerun(defdistill: Callable[..., object]) -> Rerun:
    return lambda *arguments: vars(defdistill("rerun", *arguments, "--cluster"))


def test_a_stage_of_a_clusters_run_is_one_step_beside_it(kubeflow: Kubeflow, rerun: Rerun) -> None:
    first = kubeflow.begin("nightly")
    kubeflow.started[-1]["run"] |= {
        "runtime_config": {"pipeline_root": "s3://bucket/artifacts"},
        "service_account": "trainer",
    }
    kubeflow.story = ["run-succeeded"]
    ended = rerun("attack", "--run", "nightly", "--temperature", "20", "--set", "jsma.max_features=50")
    assert ended["code"] == 0, ended
    (body,) = (one.body for one in kubeflow.asked if f"{one.method} {one.path}" == f"POST {API}/runs")
    assert body["runtime_config"] == {"pipeline_root": "s3://bucket/artifacts"}
    assert body["service_account"] == "trainer"
    assert body["experiment_id"] == kubeflow.started[0]["run"]["experiment_id"]
    (text,) = (
        text for version, text in kubeflow.versions.values()
        if version == body["pipeline_version_reference"]["pipeline_version_id"]
    )  # fmt: skip
    pipeline = next(yaml.safe_load_all(text))
    (task,) = pipeline["root"]["dag"]["tasks"].values()
    told = {name: given["runtimeValue"]["constant"] for name, given in task["inputs"]["parameters"].items()}
    assert told["stage"] == "attack"
    assert told["request"] == {"runs": [first], "model": "T=20", "changes": {"jsma": {"max_features": "50"}}}
    assert told["step"]["rerun"] == "rerun attack jsma.max_features=50"
    assert ended["out"].splitlines()[-1].endswith(f"recorded in MLflow beside nightly ({first}), which is as it was")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("attack", "--run", "latest"), "--model: expected the model whose attack is run again, got none"),
        (("atack", "--run", "latest", "--model", "T=20"), "stage: expected one of "),
        (("attack", "--run", "latest", "--model", "T=20", "--set", "x"), "--set: expected KEY=VALUE, got 'x'"),
    ],
)
def test_a_rerun_that_cannot_be_is_bad_input(
    kubeflow: Kubeflow, rerun: Rerun, arguments: tuple[str, ...], line: str
) -> None:
    kubeflow.begin()
    ended = rerun(*arguments)
    assert (ended["code"], ended["err"].count("\n"), len(kubeflow.started)) == (2, 1, 1)
    assert ended["err"].startswith(f"defdistill: {line}")
