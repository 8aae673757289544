"""The sweep as Kubeflow sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from defensive_distillation import settings
from defensive_distillation.config import STAGES
from defensive_distillation_pipelines import cli
from defensive_distillation_pipelines.resources import RUNTIME, resources
from defensive_distillation_pipelines.sweep import compiled, sweep

GOLDEN = Path(__file__).parent / "golden" / "sweep.yaml"


def without_sdk_version(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("sdkVersion: kfp-2.17.")]


@pytest.fixture(scope="module")
def compiled_sweep() -> str:
    return compiled(sweep(settings.load("digits"), resources=resources({})))


@pytest.fixture(scope="module")
def documents(compiled_sweep: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compiled_sweep))


def test_the_compiled_sweep_is_the_committed_one(compiled_sweep: str) -> None:
    """A change of the definition is seen in the review: `make golden` writes the file again."""
    assert without_sdk_version(compiled_sweep) == without_sdk_version(GOLDEN.read_text())


def test_compiling_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    outputs = set()
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.yaml"
        command = [sys.executable, "-m", "defensive_distillation_pipelines.cli", "compile", "-o", str(path)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.DEVNULL)
        outputs.add(path.read_bytes())
    assert len(outputs) == 1


def test_kubeflows_own_schemas_accept_the_compiled_sweep(documents: list[dict[str, Any]]) -> None:
    definition, platform = documents
    spec = json_format.ParseDict(definition, pipeline_spec_pb2.PipelineSpec())
    assert spec.pipeline_info.name == "defensive-distillation-digits"
    parsed = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    executors = parsed.platforms["kubernetes"].deployment_spec.executors
    assert len(executors) == len(definition["deploymentSpec"]["executors"])
    for values in executors.values():
        plain = json_format.MessageToDict(values)
        json_format.ParseDict(plain, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_the_sweep_fans_out_over_temperatures_and_in_to_one_report(documents: list[dict[str, Any]]) -> None:
    root = documents[0]["root"]["dag"]["tasks"]
    loop = next(task for name, task in root.items() if name.startswith("for-loop"))
    assert loop["parameterIterator"]["items"]["inputParameter"] == "pipelinechannel--temperatures"
    inside = documents[0]["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    names = sorted(task["componentRef"]["name"].removeprefix("comp-").rstrip("-2") for task in inside.values())
    assert names == ["attack", "evaluate", "generate-soft-labels", "train-student", "train-teacher"]
    assert set(root["report"]["inputs"]["artifacts"]) == {"baseline", "evaluations"}


def test_settings_and_resources_of_every_stage_are_parameters(documents: list[dict[str, Any]]) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    expected = {"temperatures", "work", *STAGES, *(f"{stage}_{name}" for stage in STAGES for name in RUNTIME)}
    assert set(parameters) == expected
    assert all(parameter.get("description") for parameter in parameters.values())
    config = settings.load("digits")
    for stage in STAGES:
        defaults = parameters[stage]["defaultValue"]
        assert {k: v for k, v in defaults.items() if v is not None} == config.settings(stage)


def test_every_step_asks_for_what_its_parameters_say(documents: list[dict[str, Any]]) -> None:
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        asked = executor["container"]["resources"]
        assert {"resourceCpuLimit", "resourceMemoryLimit", "accelerator"} <= set(asked), name
        platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name]
        assert platform["fieldPathAsEnv"][0]["name"] == "KFP_RUN_ID"


def test_retries_caching_and_image_are_set_when_it_is_compiled(tmp_path: Path) -> None:
    output = tmp_path / "sweep.yaml"
    command = [sys.executable, "-m", "defensive_distillation_pipelines.cli", "compile", "-o", str(output)]
    command += ["--resources", "attack.retries=7", "--resources", "attack.cache=false"]
    command += ["--resources", "train_student.gpu_count=4"]
    environment = {**os.environ, "DEFDISTILL_IMAGE": "registry.example/distillation:7"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    definition = next(yaml.safe_load_all(output.read_text()))
    images = {executor["container"]["image"] for executor in definition["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/distillation:7"}
    attack = definition["root"]["dag"]["tasks"]["attack"]
    assert attack["retryPolicy"]["maxRetryCount"] == 7
    assert "enableCache" not in attack["cachingOptions"]
    assert definition["root"]["inputDefinitions"]["parameters"]["train_student_gpu_count"]["defaultValue"] == "4"


def test_step_bodies_are_one_call_of_the_installed_package(documents: list[dict[str, Any]]) -> None:
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        source = executor["container"]["command"][-1]
        assert source.count("from defensive_distillation.component import run") == 1
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_compiling_to_a_file_leaves_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["compile", "--preset", "mnist", "-o", str(tmp_path / "mnist.yaml")])
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.yaml"]
    assert "compiled to" in capsys.readouterr().out
