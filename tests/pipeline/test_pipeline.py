"""The sweep as Kubeflow sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from defensive_distillation.config import STAGES, AttackConfig, experiment, stage_config
from defensive_distillation.config import loading as settings
from defensive_distillation.runtime.kubeflow.again import Request
from defensive_distillation.suite.execution import attack_calls
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.definitions.package import Package, package, stage_of
from defensive_distillation_pipelines.definitions.plan import PlannedStep, ancestors, plan
from defensive_distillation_pipelines.definitions.rerun import rerun, rerun_of
from defensive_distillation_pipelines.definitions.resources import FINISH, cluster
from defensive_distillation_pipelines.definitions.sweep import sweep

GOLDEN = Path(__file__).parents[1] / "golden" / "sweep.yaml"


def without_sdk_version(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("sdkVersion: kfp-2.17.")]


@pytest.fixture(scope="module")
def compiled_sweep() -> str:
    return package(sweep(settings.load("digits"), cluster=cluster(), work="auto")).text


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
    """Written out for a cluster: a chain for each temperature, and no loop."""
    assert "parameterIterator" not in str(documents[0])
    tasks = {name: task for dag in dags(documents[0]) for name, task in dag["tasks"].items()}
    titles = [task["taskInfo"]["name"] for task in tasks.values()]
    for temperature in (20, 100):
        for step in ("train teacher", "generate soft labels", "train student", "attack", "evaluate"):
            assert f"{step} T={temperature}" in titles
    networks = {"undistilled_1", "undistilled_2", "undistilled_3", "temperatures_1", "temperatures_2"}
    assert set(tasks["report"]["inputs"]["artifacts"]) == networks


def test_a_chain_waits_for_nothing_but_its_own_inputs(documents: list[dict[str, Any]]) -> None:
    tasks = {task["taskInfo"]["name"]: task for dag in dags(documents[0]) for task in dag["tasks"].values()}
    assert tasks["train teacher T=20"]["dependentTasks"] == ["prepare-data"]
    assert len(tasks["attack T=20"]["dependentTasks"]) == 3  # the dataset, the student, and what transfers come from


def test_samples_that_defended_networks_are_shown_are_crafted_once(documents: list[dict[str, Any]]) -> None:
    definition = documents[0]
    tasks = {task["taskInfo"]["name"]: (name, task) for dag in dags(definition) for name, task in dag["tasks"].items()}
    crafting, once = tasks["craft on baseline"]
    assert sorted(once["dependentTasks"]) == ["prepare-data", "train-teacher"]
    for label in ("T=20", "T=100"):
        read = tasks[f"attack {label}"][1]["inputs"]["artifacts"]
        assert read["crafted"]["taskOutputArtifact"]["producerTask"] == crafting
        assert "surrogate" not in read
    nobody = definition_of(sweep(settings.load("digits", assignments=["attacks=jsma"]), cluster=cluster()))
    assert "craft on baseline" not in {
        task["taskInfo"]["name"] for dag in dags(nobody) for task in dag["tasks"].values()
    }


def test_no_more_networks_are_at_work_than_the_run_may_have() -> None:
    config = settings.load("digits", assignments=["temperatures=2,5,10,20"])
    definition = definition_of(sweep(config, cluster=cluster(assignments=["parallelism=2"])))
    tasks = {task["taskInfo"]["name"]: (name, task) for dag in dags(definition) for name, task in dag["tasks"].items()}
    order = ["baseline", "control T=2", "control T=5", "control T=10", "control T=20", "T=2", "T=5", "T=10", "T=20"]
    first = {label: f"train teacher {label}" if label.startswith("T=") else f"attack {label}" for label in order}
    for before, label in zip(order, order[2:], strict=False):
        assert tasks[f"evaluate {before}"][0] in tasks[first[label]][1]["dependentTasks"]


def test_the_undistilled_network_and_its_controls_are_attacks_on_one_network(documents: list[dict[str, Any]]) -> None:
    tasks = {task["taskInfo"]["name"]: task for dag in dags(documents[0]) for task in dag["tasks"].values()}
    told = {
        name.removeprefix("attack "): task["inputs"]["parameters"]["settings"]["runtimeValue"]["constant"]
        for name, task in tasks.items()
        if name.startswith(("attack baseline", "attack control"))
    }
    assert {label: one.get("logit_scale") for label, one in told.items()} == {
        "baseline": None,
        "control T=20": 20,
        "control T=100": 100,
    }
    assert told["baseline"]["attacks"] == [name for name in ATTACKS if name != "transfer"]
    assert told["control T=20"]["attacks"] == told["control T=100"]["attacks"] == ["jsma"]


def test_here_the_sweep_loops_since_kubeflows_local_runner_runs_at_once_only_what_is_in_a_loop() -> None:
    definition = definition_of(sweep(settings.load("digits"), cluster=None))
    inside = body_of(definition, loop_over(definition, "temperatures"))
    names = sorted(stage_of(task["componentRef"]["name"].removeprefix("comp-")) for task in inside.values())
    assert names == ["attack", "evaluate", "generate_soft_labels", "train_student", "train_teacher"]
    undistilled = body_of(definition, loop_over(definition, "undistilled"))
    assert [name.partition("-")[0] for name in undistilled] == ["attack", "evaluate"]


def test_all_attacks_on_a_network_are_one_step_that_begins_with_the_quick_ones(
    documents: list[dict[str, Any]],
) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert parameters["attacks"]["defaultValue"]["attacks"] == list(ATTACKS)
    chosen = settings.load("digits", assignments=["attacks=cw_l2,jsma,pgd,fgsm"]).attack_tasks()
    assert [task["attacks"] for task in chosen] == [["cw_l2", "jsma", "pgd", "fgsm"]]
    calls = attack_calls(AttackConfig.model_validate(chosen[0]), 20.0, None)
    assert list(dict.fromkeys(call.attack.name for call in calls)) == ["fgsm", "jsma", "pgd", "cw_l2"]


def test_groups_of_attacks_are_steps_of_their_own(documents: list[dict[str, Any]]) -> None:
    grouped = settings.load("digits", assignments=["attacks=jsma,fgsm,transfer", "attack_groups=jsma+transfer,fgsm"])
    assert [task["attacks"] for task in grouped.attack_tasks()] == [["jsma", "transfer"], ["fgsm"]]
    assert [task["attacks"] for task in grouped.baseline_tasks()] == [["jsma"], ["fgsm"]]
    each = settings.load("mnist", assignments=["attack_groups=each"])
    assert [task["attacks"] for task in each.attack_tasks()] == [[name] for name in ATTACKS]
    here = definition_of(sweep(each, cluster=None))
    for parameter in ("baseline_attacks", "attacks"):
        inside = body_of(here, loop_over(here, parameter))
        assert [name.partition("-")[0] for name in inside] == ["attack"]
    assert "evaluate" in str(sorted(body_of(here, loop_over(here, "controls"))))
    there = definition_of(sweep(each, cluster=cluster()))
    titles = [task["taskInfo"]["name"] for dag in dags(there) for task in dag["tasks"].values()]
    assert titles.count("attack T=20") == len(ATTACKS)
    assert titles.count("attack baseline") == len(ATTACKS) - 1
    assert titles.count("attack control T=20") == titles.count("evaluate T=20") == 1


def test_a_task_is_told_only_the_settings_that_concern_its_attacks() -> None:
    config = settings.load("mnist", assignments=["attack_groups=each", "attack.shards=2"])
    tasks = {task["attacks"][0]: set(task) for task in config.attack_tasks()}
    common = {"attacks", "seed", "device", "threads", "tf32", "batch_size", "part_size", "on_grid", "shards", "shard"}
    assert tasks["fgsm"] - common == {"bounded"}
    assert tasks["pgd"] - common == {"bounded", "pgd"}
    assert tasks["jsma"] - common == {"jsma"}
    assert tasks["cw_l2"] - common == {"cw"}
    assert tasks["transfer"] - common == {"bounded", "cw", "transfer"}
    unset = {
        "batch_size",
        "part_size",
        "half_width",
        "logit_scale",
        "craft",
    }  # None is what suits the device; the controls alone are scaled
    assert set().union(*tasks.values()) == set(AttackConfig.model_fields) - unset


def test_shards_are_tasks_of_their_own() -> None:
    chosen = ["attack.shards=3", "attacks=jsma,fgsm,pgd", "attack_groups=jsma,fgsm+pgd"]
    tasks = settings.load("mnist", assignments=chosen).attack_tasks()
    assert [(task["attacks"], task["shard"], task["shards"]) for task in tasks] == [
        *((["jsma"], shard, 3) for shard in range(3)),
        *((["fgsm", "pgd"], shard, 3) for shard in range(3)),
    ]
    names = ["jsma 1of3", "jsma 2of3", "jsma 3of3", "fgsm+pgd 1of3", "fgsm+pgd 2of3", "fgsm+pgd 3of3"]
    assert [AttackConfig.model_validate(task).part for task in tasks] == names
    steps = planned("mnist", "attack.shards=3", "attack_groups=each")
    assert len([step for step in steps if step.key[:2] == ("attack", "T=20")]) == 3 * len(ATTACKS)
    assert len([step for step in steps if step.key[:2] == ("attack", "control T=20")]) == 1


@pytest.mark.parametrize("preset", settings.PRESETS)
def test_settings_that_differ_from_the_defaults_say_as_much_as_all_of_them(preset: str) -> None:
    """A cluster's image fixes the defaults, and a workflow has no room to repeat them in every step."""
    config = settings.load(preset, assignments=["seed=7", "attack.shards=2"])
    for stage in STAGES:
        assert stage_config(stage, config.settings(stage, lean=True)) == stage_config(stage, config.settings(stage))
    for name in ("attack_tasks", "baseline_tasks", "control_tasks"):
        lean, full = (
            [AttackConfig.model_validate(t) for t in getattr(config, name)(lean=way)] for way in (True, False)
        )
        assert lean == full, name
    there, here = planned(preset, on=True), planned(preset)
    crafting = ("attack", "baseline", "transfer")  # here a loop's body reads what any of its steps reads
    graphs = [
        sorted((s.key, sorted({steps[n].key for n in s.needs} - {crafting})) for s in steps) for steps in (there, here)
    ]
    assert graphs[0] == graphs[1]


def planned(preset: str, *assignments: str, on: bool = False) -> list[PlannedStep]:
    """The steps of a sweep on this machine, or on a cluster."""
    config = settings.load(preset, assignments=assignments)
    return plan(definition_of(sweep(config, cluster=cluster() if on else None)))


def definition_of(pipeline: Any) -> dict[str, Any]:
    """A pipeline as Kubeflow has it, which takes less time than its text."""
    return dict(json_format.MessageToDict(pipeline.pipeline_spec))


def test_the_steps_and_what_each_needs_are_read_off_the_compiled_pipeline() -> None:
    steps = planned("digits", "temperatures=20")
    places = {step.key: place for place, step in enumerate(steps)}
    baseline, student = ("train_teacher", "baseline", ""), ("train_student", "T=20", "")
    assert len(steps) == len(places) == 13
    assert [stage for stage, label, _ in places if label == "control T=20"] == ["attack", "evaluate"]
    before = {steps[place].key for place in ancestors(steps, iter([places[student]]))}
    assert before == {("prepare_data", "", ""), ("train_teacher", "T=20", ""), ("generate_soft_labels", "T=20", "")}
    crafting = places["attack", "baseline", "transfer"]
    assert set(steps[crafting].needs) == {0, places[baseline]}
    attacks = [place for place in places.values() if steps[place].key[:2] == ("attack", "T=20")]
    assert [set(steps[place].needs) for place in attacks] == [{0, places[student], crafting}]
    assert ancestors(steps, iter([places["report", "", ""]])) == set(range(13)) - {places["report", "", ""]}


def test_a_defense_beside_distillation_is_a_loop_of_its_own(documents: list[dict[str, Any]]) -> None:
    choice = "{defense: distillation, parameters: {temperature: 7}}"
    assert "train_defended" not in {step.stage for step in plan(documents[0])}
    values = {**settings.values("digits"), "temperatures": [20], "defenses": ["distillation", yaml.safe_load(choice)]}
    steps = plan(definition_of(sweep(experiment(values), cluster=cluster())))
    assert [step.stage for step in steps if step.key[1] == "T=7"] == ["train_defended", "attack", "evaluate"]
    assert len(steps[-1].needs) == 4, "the report needs every evaluation"


@pytest.mark.parametrize("on_cluster", [False, True])
@pytest.mark.parametrize("groups", [(), ("each",)])
def test_without_distillation_nothing_is_distilled(on_cluster: bool, groups: tuple[str, ...]) -> None:
    values = {**settings.values("digits"), "defenses": ["label_smoothing"], "attacks": ["jsma", "fgsm"]}
    config = experiment({**values, "attack_groups": groups})
    steps = plan(definition_of(sweep(config, cluster=cluster() if on_cluster else None)))
    each = ["attack", "attack", "evaluate"] if groups else ["attack", "evaluate"]
    of = {label: [step.stage for step in steps if step.key[1] == label] for label in ("baseline", "label_smoothing")}
    assert of == {"baseline": ["train_teacher", *each], "label_smoothing": ["train_defended", *each]}
    assert len(steps) == 2 + sum(map(len, of.values())), "and the data and the report"
    assert len(steps[-1].needs) == 2


def dags(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    components = [definition["root"], *definition["components"].values()]
    return [component["dag"] for component in components if "dag" in component]


def loop_over(definition: Mapping[str, Any], parameter: str) -> dict[str, Any]:
    """The one task that is repeated for each item of a parameter."""
    wanted = f"pipelinechannel--{parameter}"
    loops = [task for dag in dags(definition) for task in dag["tasks"].values() if "parameterIterator" in task]
    (loop,) = [task for task in loops if task["parameterIterator"]["items"]["inputParameter"] == wanted]
    return dict(loop)


def body_of(definition: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks within a task by name; a definition has them in any order."""
    return dict(sorted(definition["components"][task["componentRef"]["name"]]["dag"]["tasks"].items()))


def test_settings_of_every_stage_are_parameters(documents: list[dict[str, Any]]) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    told = {stage for stage in STAGES if stage not in ("attack", "train_defended", "import_model", "gate")}
    assert set(parameters) == {"attacks", "crafting", *told}
    assert all(parameter.get("description") for parameter in parameters.values())
    config = settings.load("digits")
    for stage in told:
        assert parameters[stage]["defaultValue"] == config.settings(stage, lean=True)
    gated = definition_of(sweep(config, cluster=cluster(), gate=True))
    assert set(gated["root"]["inputDefinitions"]["parameters"]) == {"attacks", "crafting", "gate", *told}


def test_lists_say_what_they_hold() -> None:
    """The items of a bare list would be texts, which the backend's driver refuses for a number or a struct."""
    here = definition_of(sweep(settings.load("digits"), cluster=None))
    for parameter, kind in (("temperatures", "NUMBER_DOUBLE"), ("undistilled", "STRUCT")):
        loop = loop_over(here, parameter)
        inputs = here["components"][loop["componentRef"]["name"]]["inputDefinitions"]["parameters"]
        assert inputs[loop["parameterIterator"]["itemInput"]]["parameterType"] == kind


def test_every_step_is_told_its_run_and_no_artifact_twice(documents: list[dict[str, Any]]) -> None:
    """The metadata store refuses one artifact in two inputs of a step."""
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(platform) == set(documents[0]["deploymentSpec"]["executors"])
    for executor in platform.values():
        assert executor["fieldPathAsEnv"][0]["name"] == "KFP_RUN_ID"
        assert executor["securityContext"]["runAsNonRoot"] is True
        assert "secretAsEnv" not in executor
    for dag in dags(documents[0]):
        for name, task in dag["tasks"].items():
            read = [str(given) for given in task.get("inputs", {}).get("artifacts", {}).values()]
            assert len(set(read)) == len(read), name


def test_a_step_carries_no_text_but_the_name_of_its_stage(documents: list[dict[str, Any]]) -> None:
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        command = executor["container"]["command"]
        assert command == ["python3", "-m", "defensive_distillation.runtime.kubeflow", command[-1]]
        assert command[-1] == stage_of(name.removeprefix("exec-"))
        assert executor["container"]["args"] == ["{{$}}"]
    assert {
        executor["container"]["command"][-1] for executor in documents[0]["deploymentSpec"]["executors"].values()
    } == {stage for stage in STAGES if stage not in ("train_defended", "import_model", "gate")} | {FINISH}


def test_a_last_step_runs_however_the_others_end(documents: list[dict[str, Any]]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    (last,) = [task for task in tasks.values() if task["componentRef"]["name"] == "comp-finish"]
    assert last["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    (others,) = [name for name, task in tasks.items() if task is not last]
    assert last["dependentTasks"] == [others]
    assert last["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": others}}
    assert "enableCache" not in last["cachingOptions"]
    assert "finish" not in {step.stage for step in plan(documents[0])}, "it is no stage"


def test_what_a_step_asks_for_is_set_when_it_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFDISTILL_IMAGE", "registry.example/distillation:7")
    output = tmp_path / "sweep.yaml"
    asked = ["attack.retries=7", "attack.cache=false", "train_student.gpu_count=4", "attack.gpu_count=0"]
    cli.main(["compile", "-o", str(output), *(word for one in asked for word in ("--resources", one))])
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]
    assert "compiled to" in capsys.readouterr().out
    definition = next(yaml.safe_load_all(output.read_text()))
    containers = {name: one["container"] for name, one in definition["deploymentSpec"]["executors"].items()}
    assert {container["image"] for container in containers.values()} == {"registry.example/distillation:7"}
    attack = next(task for dag in dags(definition) for name, task in dag["tasks"].items() if name == "attack")
    assert attack["retryPolicy"]["maxRetryCount"] == 7
    assert "enableCache" not in attack["cachingOptions"]
    assert containers["exec-train-student"]["resources"]["accelerator"]["resourceCount"] == "4"
    # with a count of 0 a toleration would let it onto the GPUs' nodes
    assert "accelerator" not in containers["exec-attack"]["resources"]
    assert "accelerator" not in containers["exec-report"]["resources"]
    for container in containers.values():
        assert container["resources"]["resourceCpuRequest"]
        assert container["resources"]["resourceMemoryLimit"]


def test_on_this_machine_a_step_asks_for_nothing_and_the_report_is_never_cached() -> None:
    definition = definition_of(sweep(settings.load("digits"), cluster=None))
    assert all("resources" not in one["container"] for one in definition["deploymentSpec"]["executors"].values())
    caching = {
        name: task["cachingOptions"]
        for dag in dags(definition)
        for name, task in dag["tasks"].items()
        if "cachingOptions" in task
    }
    assert {name for name, options in caching.items() if not options.get("enableCache")} == {
        "report",
        *(name for name in caching if name.startswith("for-loop")),
    }
    assert "finish" not in str(definition["root"]["dag"]["tasks"].keys())


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_alone_is_one_step_that_is_told_where_its_inputs_lie(stage: str) -> None:
    reads, settings = STAGES[stage].reads, STAGES[stage].model_fields
    inputs = {name: ["store/a", "store/b"] if wanted.many else ["store/a"] for name, wanted in reads.items()}
    values = {"temperature": 20.0} if "temperature" in settings else {}
    made = rerun(stage, inputs, {**values, "seed": 3}, work="work", name="again")
    definition = definition_of(made)
    (step,) = plan(definition)
    assert step.stage == stage
    (task,) = definition["root"]["dag"]["tasks"].values()
    told = {name: given["runtimeValue"]["constant"] for name, given in task["inputs"]["parameters"].items()}
    assert told["request"] == {"settings": {**values, "seed": 3}, **({"inputs": inputs} if inputs else {})}
    assert told["step"] == {"work": "work", "rerun": "again"}


def test_a_stage_of_runs_on_a_cluster_again_is_one_step_that_asks_for_what_the_stage_does() -> None:
    request = Request(runs=("0f3a",), model="T=20", changes={"jsma": {"max_features": 4}})
    made = package(rerun_of("attack", request, name="again", cluster=cluster(None, None, ["attack.gpu_count=2"])))
    (executor,) = made.pipeline["deploymentSpec"]["executors"].values()
    assert executor["container"]["command"][-1] == "rerun"
    assert executor["container"]["resources"]["accelerator"]["resourceCount"] == "2"
    (task,) = made.pipeline["root"]["dag"]["tasks"].values()
    assert task["inputs"]["parameters"]["request"]["runtimeValue"]["constant"] == {
        "runs": ["0f3a"],
        "model": "T=20",
        "changes": {"jsma": {"max_features": 4.0}},
    }
    assert [step.stage for step in plan(made.pipeline)] == ["attack"]


def test_a_package_is_named_by_what_it_holds(compiled_sweep: str) -> None:
    made = Package(compiled_sweep)
    assert made.name == "defensive-distillation-digits"
    assert re.fullmatch("[0-9a-f]{12}", made.digest)
    assert Package(compiled_sweep).digest == made.digest != Package(compiled_sweep + " ").digest
