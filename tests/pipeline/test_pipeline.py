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

from defensive_distillation.config import STAGES, AttackConfig, experiment
from defensive_distillation.config import loading as settings
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.definitions.plan import PlannedStep, ancestors, plan
from defensive_distillation_pipelines.definitions.rerun import rerun
from defensive_distillation_pipelines.definitions.resources import RUNTIME, resources
from defensive_distillation_pipelines.definitions.sweep import compiled, sweep

GOLDEN = Path(__file__).parents[1] / "golden" / "sweep.yaml"


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


def test_compiling_gives_the_same_bytes_in_every_process(compiled_sweep: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "compile", "-o", str(path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}, stdout=subprocess.DEVNULL)
    assert path.read_text() == compiled_sweep


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
    loop = next(
        task
        for task in root.values()
        if task.get("parameterIterator", {}).get("items", {}).get("inputParameter") == "pipelinechannel--temperatures"
    )
    inside = documents[0]["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    names = sorted(task["componentRef"]["name"].removeprefix("comp-").rstrip("-0123456789") for task in inside.values())
    assert names == ["evaluate", "for-loop", "generate-soft-labels", "train-student", "train-teacher"]
    assert set(root["report"]["inputs"]["artifacts"]) == {"baseline", "students", "controls"}


def test_each_attack_is_a_task_of_its_own_on_every_model(documents: list[dict[str, Any]]) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    loops = [task for dag in dags(documents[0]) for task in dag["tasks"].values() if "parameterIterator" in task]
    over = [task["parameterIterator"]["items"]["inputParameter"].removeprefix("pipelinechannel--") for task in loops]
    assert sorted(over) == ["attacks", "baseline_attacks", "control_attacks", "control_temperatures", "temperatures"]
    for task, items in zip(loops, over, strict=True):
        inside = documents[0]["components"][task["componentRef"]["name"]]["dag"]["tasks"]
        if items.endswith("attacks"):
            assert [name.partition("-")[0] for name in inside] == ["attack"]
    named = [attack for task in parameters["attacks"]["defaultValue"] for attack in task["attacks"]]
    assert sorted(named) == sorted(ATTACKS)
    assert "transfer" not in str(parameters["baseline_attacks"]["defaultValue"])
    full = settings.load("mnist")
    assert [task["attacks"] for task in full.attack_tasks(full.attacks)] == [[name] for name in ATTACKS]


def test_a_task_is_told_only_the_settings_that_concern_its_attacks() -> None:
    config = settings.load("mnist")
    tasks = {task["attacks"][0]: set(task) for task in config.attack_tasks(config.attacks)}
    common = {"attacks", "seed", "device", "threads", "tf32", "batch_size", "part_size", "shards", "shard"}
    assert tasks["fgsm"] - common == {"bounded"}
    assert tasks["pgd"] - common == {"bounded", "pgd"}
    assert tasks["jsma"] - common == {"jsma"}
    assert tasks["cw_l2"] - common == {"cw"}
    assert tasks["transfer"] - common == {"bounded", "cw", "transfer"}
    unset = {"batch_size", "part_size"}  # None is what suits the device
    assert set().union(*tasks.values()) == set(AttackConfig.model_fields) - unset


def test_shards_are_tasks_of_their_own() -> None:
    config = settings.load("mnist", assignments=["attack.shards=3"])
    tasks = config.attack_tasks(("jsma", "fgsm+pgd"))
    assert [(task["attacks"], task["shard"], task["shards"]) for task in tasks] == [
        *((["jsma"], shard, 3) for shard in range(3)),
        *((["fgsm", "pgd"], shard, 3) for shard in range(3)),
    ]
    names = ["jsma 1of3", "jsma 2of3", "jsma 3of3", "fgsm+pgd 1of3", "fgsm+pgd 2of3", "fgsm+pgd 3of3"]
    assert [AttackConfig.model_validate(task).part for task in tasks] == names
    steps = [step for step in planned("mnist", "attack.shards=3") if step.key[:2] == ("attack", "T=20")]
    assert len(steps) == 3 * len(ATTACKS)


def planned(preset: str, *assignments: str) -> list[PlannedStep]:
    config = settings.load(preset, assignments=assignments)
    return plan(next(yaml.safe_load_all(compiled(sweep(config, resources=None)))))


def test_the_steps_and_what_each_needs_are_read_off_the_compiled_pipeline() -> None:
    steps = planned("digits", "temperatures=20")
    places = {step.key: place for place, step in enumerate(steps)}
    baseline, student = ("train_teacher", "baseline", ""), ("train_student", "T=20", "")
    assert len(steps) == len(places) == 15
    assert [stage for stage, label, _ in places if label == "control T=20"] == ["scale_logits", "attack", "evaluate"]
    before = {steps[place].key for place in ancestors(steps, iter([places[student]]))}
    assert before == {("prepare_data", "", ""), ("train_teacher", "T=20", ""), ("generate_soft_labels", "T=20", "")}
    attacks = [place for place in places.values() if steps[place].key[:2] == ("attack", "T=20")]
    assert all(set(steps[place].needs) == {0, places[baseline], places[student]} for place in attacks)
    assert ancestors(steps, iter([places["report", "", ""]])) == set(range(15)) - {places["report", "", ""]}


def test_a_defense_beside_distillation_is_a_loop_of_its_own(documents: list[dict[str, Any]]) -> None:
    choice = "{defense: distillation, parameters: {temperature: 7}}"
    assert "train_defended" not in {step.stage for step in plan(documents[0])}
    values = {**settings.values("digits"), "temperatures": [20], "defenses": [yaml.safe_load(choice)]}
    steps = plan(next(yaml.safe_load_all(compiled(sweep(experiment(values), resources=resources({}))))))
    assert [step.stage for step in steps if step.key[1] == "T=7"] == ["train_defended", "attack", "attack", "evaluate"]
    assert len(steps[-1].needs) == 4, "the report needs every evaluation"


def dags(definition: dict[str, Any]) -> list[dict[str, Any]]:
    components = [definition["root"], *definition["components"].values()]
    return [component["dag"] for component in components if "dag" in component]


def test_settings_and_resources_of_every_stage_are_parameters(documents: list[dict[str, Any]]) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    attacks = {"attacks", "baseline_attacks", "control_attacks", "control_temperatures"}
    told = {stage for stage in STAGES if stage not in ("attack", "train_defended")}
    expected = {"temperatures", *attacks, *told, *(f"{stage}_{name}" for stage in STAGES for name in RUNTIME)}
    assert set(parameters) == expected
    assert all(parameter.get("description") for parameter in parameters.values())
    config = settings.load("digits")
    for stage in told:
        defaults = parameters[stage]["defaultValue"]
        assert {k: v for k, v in defaults.items() if v is not None} == config.settings(stage)


def test_every_step_asks_for_what_its_parameters_say(documents: list[dict[str, Any]]) -> None:
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        asked = executor["container"]["resources"]
        assert {"resourceCpuLimit", "resourceMemoryLimit", "accelerator"} <= set(asked), name
        platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name]
        assert platform["fieldPathAsEnv"][0]["name"] == "KFP_RUN_ID"


def test_retries_caching_and_image_are_set_when_it_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFDISTILL_IMAGE", "registry.example/distillation:7")
    output = tmp_path / "sweep.yaml"
    asked = ["attack.retries=7", "attack.cache=false", "train_student.gpu_count=4"]
    cli.main(["compile", "-o", str(output), *(word for one in asked for word in ("--resources", one))])
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]
    assert "compiled to" in capsys.readouterr().out
    definition = next(yaml.safe_load_all(output.read_text()))
    images = {executor["container"]["image"] for executor in definition["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/distillation:7"}
    attack = next(task for dag in dags(definition) for name, task in dag["tasks"].items() if name == "attack")
    assert attack["retryPolicy"]["maxRetryCount"] == 7
    assert "enableCache" not in attack["cachingOptions"]
    assert definition["root"]["inputDefinitions"]["parameters"]["train_student_gpu_count"]["defaultValue"] == "4"


def test_step_bodies_are_one_call_of_the_installed_package(documents: list[dict[str, Any]]) -> None:
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        source = executor["container"]["command"][-1]
        assert source.count("from defensive_distillation.runtime.step import run") == 1
        assert "pip install" not in " ".join(executor["container"]["command"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_alone_is_a_pipeline_of_its_inputs_and_its_component(stage: str) -> None:
    reads, settings = STAGES[stage].reads, STAGES[stage].model_fields
    inputs = {name: ["store/a", "store/b"] if wanted.many else ["store/a"] for name, wanted in reads.items()}
    values = {"temperature": 20.0} if "temperature" in settings else {}
    made = rerun(stage, inputs, {**values, "seed": 3}, work="work", name="again")
    definition = json_format.MessageToDict(made.pipeline_spec)
    (step,) = plan(definition)
    assert step.stage == stage
    importers = [one for one in definition["deploymentSpec"]["executors"].values() if "importer" in one]
    assert len(importers) == len(inputs)
