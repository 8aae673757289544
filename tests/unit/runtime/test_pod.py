"""A step as Kubeflow's launcher starts it: one JSON value in, one file out, and the stage in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.config import STAGES
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.runtime.kubeflow import pod
from defensive_distillation.runtime.kubeflow.artifact import Given

SETTINGS = {"train_limit": 50.0, "test_limit": 10.0}  # as a Struct has them: every number is a float


@pytest.fixture(autouse=True)
def _mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "MOUNTED", tmp_path / "mounted")


def told(folder: Path, **settings: Any) -> dict[str, Any]:
    """What the launcher tells the step prepare_data: parameters, and where its artifact and its output go."""
    kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    place = f"{folder}/root/0f3a/prepare-data/57a0c1f2/dataset"
    logs = {"type": {"schemaTitle": "system.Artifact"}, "uri": f"{place}/executor-logs", "metadata": {}}
    made = {"name": "dataset", "type": kind, "uri": place, "metadata": {"display_name": "dataset"}}
    return {
        "inputs": {"parameterValues": {"settings": settings, "step": {"work": ""}}},
        "outputs": {
            "artifacts": {"dataset": {"artifacts": [made]}, "executor-logs": {"artifacts": [logs]}},
            "outputFile": f"{folder}/outputs/output_metadata.json",
        },
    }


def test_a_step_runs_its_stage_and_tells_the_launcher_what_became_of_its_artifact(tmp_path: Path) -> None:
    pod.main(["prepare_data", json.dumps(told(tmp_path, **SETTINGS))])
    (made,) = json.loads((tmp_path / "outputs/output_metadata.json").read_text())["artifacts"]["dataset"]["artifacts"]
    with artifacts.opened(made["uri"], "dataset") as found:
        assert len(found.facts["classes"]) == 10
    assert made["metadata"] == {"display_name": "dataset"}


def test_a_step_that_is_told_nothing_beside_its_settings_keeps_unfinished_work_where_kubeflow_has_its_artifacts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values = told(tmp_path, **SETTINGS)
    del values["inputs"]["parameterValues"]["step"]
    pod.main(["prepare_data", json.dumps(values)])
    assert "unfinished work stays in the pod" in capfd.readouterr().out  # its artifacts lie on no object store here


def test_it_says_what_kubeflows_own_executor_says(tmp_path: Path) -> None:
    """Which KFP starts where a function comes with the step, as on this machine."""
    from kfp.dsl.executor import Executor

    from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE, component

    said = {}
    for name in ("ours", "theirs"):
        values = told(tmp_path / name, **SETTINGS)
        del values["outputs"]["artifacts"]["executor-logs"]  # the launcher's own
        if name == "ours":
            pod.main(["prepare_data", json.dumps(values)])
        else:
            function = component("prepare_data", LOCAL_IMAGE, {}).python_func
            Executor(executor_input=values, function_to_execute=function).execute()
        said[name] = (tmp_path / name / "outputs/output_metadata.json").read_text().replace(f"/{name}/", "/")
    assert json.loads(said["ours"]) == json.loads(said["theirs"])


def test_a_step_that_fails_tells_one_line_and_writes_no_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "defensive_distillation.runtime.kubeflow", "prepare_data"]
    told_of = json.dumps(told(tmp_path, source="nowhere"))
    done = subprocess.run([*command, told_of], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare_data: source: expected ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_the_temperature_of_a_loop_is_a_setting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = told(tmp_path)
    values["inputs"]["parameterValues"]["temperature"] = -3
    with pytest.raises(SystemExit):
        pod.main(["train_teacher", json.dumps(values)])
    assert "train_teacher.temperature: expected greater than 0" in capfd.readouterr().err.replace("should be ", "")


# Where artifacts lie, and as what


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("s3://bucket/root/model", "/s3/bucket/root/model"),
        ("minio://mlpipeline/v2/artifacts/s3://x", "/minio/mlpipeline/v2/artifacts/s3://x"),
        ("gs://bucket/model", "/gcs/bucket/model"),
        ("/store/model", "/store/model"),
    ],
)
def test_an_artifact_lies_where_the_launcher_puts_it(uri: str, path: str) -> None:
    assert Given("model", uri).path == path


def given(*names: str) -> list[Given]:
    return [Given(name, f"s3://bucket/{name}") for name in names]


def test_what_has_other_names_in_the_pipeline_is_for_the_input_that_takes_several() -> None:
    students, undistilled = given("a", "b"), given("c")
    found = pod.by_stage("report", {"undistilled": undistilled, "students": students})
    assert found == {"evaluations": [*undistilled, *students]}
    dataset, model, samples = given("d"), given("m"), given("s", "t")
    found = pod.by_stage("evaluate", {"attacks": samples, "dataset": dataset, "model": model})
    assert found == {"attacks": samples, "dataset": dataset[0], "model": model[0]}


def test_one_artifact_of_an_input_that_takes_several_is_a_list_of_one() -> None:
    assert pod.by_stage("evaluate", {"attacks": given("s")}) == {"attacks": given("s")}


def test_an_input_that_a_stage_does_not_have_is_refused() -> None:
    for stage, expected in (("train_teacher", "dataset"), ("prepare_data", "no input")):
        with pytest.raises(ConfigurationError, match=f"{stage}: expected {expected}, got 'other'"):
            pod.by_stage(stage, {"other": given("x")})


@pytest.mark.parametrize("stage", STAGES)
def test_every_input_of_a_stage_comes_under_its_name(stage: str) -> None:
    reads = STAGES[stage].reads
    found = pod.by_stage(stage, {name: given(name) for name in reads})
    assert found == {name: given(name) if wanted.many else given(name)[0] for name, wanted in reads.items()}


# Variables


def test_what_is_mounted_becomes_variables_and_what_is_set_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes mounts a config map as links to a folder that it replaces; a secret's file may end in a line break."""
    for name in ("AWS_REGION", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of-kubeflows-own-integration")
    for kind, files in {
        "config": {"MLFLOW_TRACKING_URI": "http://ours", "AWS_REGION": "eu-1", "readme.md": "no variable"},
        "secret": {"AWS_SECRET_ACCESS_KEY": "sesame\n"},
    }.items():
        folder = tmp_path / kind
        (folder / "..2026_11_28").mkdir(parents=True)
        (folder / "..data").symlink_to("..2026_11_28")
        for name, content in files.items():
            (folder / "..2026_11_28" / name).write_text(content)
            (folder / name).symlink_to(f"..data/{name}")
    before = set(os.environ)
    pod.add_variables(tmp_path)
    try:
        assert set(os.environ) - before == {"AWS_REGION", "AWS_SECRET_ACCESS_KEY"}
        assert (os.environ["AWS_REGION"], os.environ["AWS_SECRET_ACCESS_KEY"]) == ("eu-1", "sesame")
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://of-kubeflows-own-integration"
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


def test_where_nothing_is_mounted_nothing_is_added(tmp_path: Path) -> None:
    before = dict(os.environ)
    pod.add_variables(tmp_path / "nothing")
    assert dict(os.environ) == before
