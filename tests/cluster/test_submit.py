from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from defensive_distillation.errors import ClusterError
from defensive_distillation_pipelines.cluster import connection
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.runs import Run, Runs
from defensive_distillation_pipelines.cluster.submission import submit
from defensive_distillation_pipelines.definitions.package import Package
from support.cluster.kubeflow import API, Kubeflow
from support.cluster.recorded import recorded
from support.cluster.server import Answer

PACKAGE, OTHER = (
    Package(json.dumps({"pipelineInfo": {"name": "sweep"}, "root": number}) + "\n---\nplatforms: {}\n")
    for number in range(2)
)


def submitted(package: Package = PACKAGE, *, namespace: str = "kubeflow", **more: str) -> Run:
    runs = Runs(connection.kubeflow(Access.of()), namespace)
    return submit(runs, package, **{"experiment": "trials", "name": "first"} | more)


def started(kubeflow: Kubeflow) -> dict[str, object]:
    """What the last run was started with."""
    body: dict[str, object] = [one for one in kubeflow.asked if f"{one.method} {one.path}" == f"POST {API}/runs"][
        -1
    ].body
    return body


def test_the_first_run_makes_experiment_pipeline_and_version(
    kubeflow: Kubeflow, defdistill: Callable[..., object]
) -> None:
    ended = vars(defdistill("submit", "--experiment", "trials", "--name", "first", "--no-cache", "--profile", "cpu"))
    (run,) = (one["run"] for one in kubeflow.started)
    assert ended["code"] == 0, ended
    assert ended["out"].splitlines() == [
        f"run:     {run['run_id']}",
        f"link:    {kubeflow.address}/#/runs/details/{run['run_id']}",
        f"watch:   defdistill watch {run['run_id']}",
    ]
    ((_, version), (version_id, text)) = next(iter(kubeflow.versions.items()))
    assert Package(text).digest == version
    assert started(kubeflow) == {
        "display_name": "first",
        "experiment_id": kubeflow.experiments["trials"],
        "pipeline_version_reference": {
            "pipeline_id": kubeflow.pipelines["defensive-distillation-digits"],
            "pipeline_version_id": version_id,
        },
        "runtime_config": {},
    }


def test_the_same_package_is_uploaded_once(kubeflow: Kubeflow) -> None:
    assert submitted().version == submitted().version
    assert kubeflow.lines().count(f"POST {API}/pipelines/upload_version") == 1
    assert kubeflow.lines().count(f"POST {API}/pipelines") == 1
    assert kubeflow.lines().count(f"POST {API}/experiments") == 1
    assert len(kubeflow.started) == 2


def test_another_package_is_another_version_of_the_pipeline(kubeflow: Kubeflow) -> None:
    first, second = submitted(), submitted(OTHER)
    assert first.version[0] == second.version[0] == kubeflow.pipelines["sweep"]
    assert {name: text for (_, name), (_, text) in kubeflow.versions.items()} == {
        PACKAGE.digest: PACKAGE.text,
        OTHER.digest: OTHER.text,
    }


@pytest.mark.parametrize("missing", ["experiments", "pipelines/names/.*", "pipelines/[^/]+/versions"])
def test_what_somebody_else_makes_at_the_same_moment_is_taken(kubeflow: Kubeflow, missing: str) -> None:
    first = submitted()
    kubeflow.overlook_once(missing)
    second = submitted()
    assert (second.version, second.experiment) == (first.version, first.experiment)
    assert [len(kubeflow.experiments), len(kubeflow.pipelines), len(kubeflow.versions)] == [1, 1, 1]


def test_artifacts_and_account_are_said_with_the_run(kubeflow: Kubeflow) -> None:
    submitted(pipeline_root="s3://bucket/artifacts", service_account="trainer")
    assert started(kubeflow)["runtime_config"] == {"pipeline_root": "s3://bucket/artifacts"}
    assert started(kubeflow)["service_account"] == "trainer"


def test_where_kubeflow_keeps_users_apart_the_namespace_is_said(kubeflow: Kubeflow) -> None:
    kubeflow.first = [Answer(200, recorded("healthz")["response"] | {"multi_user": True})]
    submitted(namespace="team")
    asked = {f"{one.method} {one.path}": one for one in kubeflow.asked}
    assert asked[f"GET {API}/experiments"].query["namespace"] == "team"
    assert asked[f"GET {API}/pipelines/names/sweep"].query["namespace"] == "team"
    assert asked[f"POST {API}/experiments"].body["namespace"] == "team"
    assert asked[f"POST {API}/pipelines"].body["namespace"] == "team"


def test_what_kubeflow_refuses_is_one_line(kubeflow: Kubeflow) -> None:
    refusal = recorded("run-unknown-parameter")
    kubeflow.refuse(f"POST {API}/runs", Answer(refusal["status"], refusal["response"]))
    with pytest.raises(ClusterError) as refused:
        submitted()
    assert str(refused.value) == (
        f"Kubeflow Pipelines at {kubeflow.address}: parameter(s) provided are not required by pipeline: nonsense"
    )


def test_a_wrong_setting_is_told_before_anything_is_made(kubeflow: Kubeflow, defdistill: Callable[..., object]) -> None:
    ended = vars(defdistill("submit", "--set", "attack.nonsense=1"))
    assert (ended["code"], kubeflow.asked) == (2, [])
    assert ended["err"].count("\n") == 1


def test_submitting_and_waiting_ends_with_the_runs_end(kubeflow: Kubeflow, defdistill: Callable[..., object]) -> None:
    kubeflow.story = ["run-running", "run-succeeded"]
    ended = vars(defdistill("submit", "--wait", "--name", "first"))
    assert ended["code"] == 0
    last = ended["out"].splitlines()[-1]
    assert last.startswith("run first (")
    assert last.endswith(" succeeded")
    assert "table:   set MLFLOW_TRACKING_URI to see it here" in ended["out"]
    assert ", 0 left" in ended["err"].splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("submit",), {"runs"}),
        (("submit", "--wait"), {"run", "name", "table"}),
        (("watch", "latest"), {"run", "name", "table"}),
        (("rerun", "report", "--cluster", "--run", "latest"), {"run", "name", "rerun_of"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("quiet", [False, True])
def test_json_is_one_document_on_standard_output(
    words: tuple[str, ...], keys: set[str], quiet: bool, kubeflow: Kubeflow, defdistill: Callable[..., object]
) -> None:
    kubeflow.begin()
    kubeflow.story = ["run-succeeded"]
    ended = vars(defdistill(*words, "--json", *(["--quiet"] if quiet else [])))
    assert ended["code"] == 0, ended
    assert set(json.loads(ended["out"])) == keys
    assert bool(ended["err"]) == (not quiet)
