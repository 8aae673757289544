"""Every input of every task is resolved as Kubeflow's driver would: nothing may be missing once a run has started."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from support.cluster.driver_rules import faults
from support.cluster.packages import PRESETS, VARIANTS, compiled, kept
from support.cluster.values import Fault

Documents = tuple[dict[str, Any], dict[str, Any]]


@pytest.mark.parametrize(("preset", "profile"), PRESETS)
def test_no_task_of_a_preset_is_refused(preset: str, profile: str) -> None:
    assert [str(fault) for fault in faults(*compiled(preset, profile).documents)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_task_of_a_variant_is_refused(variant: str) -> None:
    assert [str(fault) for fault in faults(*compiled("digits", "gpu", **VARIANTS[variant]).documents)] == []


def test_the_pipeline_from_before_there_were_clusters_has_216_faults_and_one_artifact_given_twice() -> None:
    """As compiled at aab2439 for the digits, which failed in every loop, each iteration counted.

    20 steps want four parameters each that their loop does not have, and have six places for them; 16 items of loops
    over bare lists come as texts.
    """
    found = faults(*kept("sweep-before-clusters").documents)
    assert Counter(fault.kind for fault in found) == {"missing": 80, "placeholder": 120, "type": 16, "twice": 2}
    (twice,) = {(fault.task, fault.name) for fault in found if fault.kind == "twice"}
    assert twice == (("root", "for-loop-1", "attack"), "surrogate")


@pytest.fixture
def documents() -> Documents:
    pipeline, platform = copy.deepcopy(compiled("digits").documents)
    return dict(pipeline), dict(platform)


def task(documents: Documents, name: str) -> dict[str, Any]:
    """The first task of this name, at whatever level."""
    pipeline = documents[0]
    levels = [pipeline["root"], *pipeline["components"].values()]
    return next(one["dag"]["tasks"][name] for one in levels if name in one.get("dag", {}).get("tasks", {}))


def container(documents: Documents, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = documents[0]["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]
    return found


def _parameter_gone(documents: Documents) -> None:
    task(documents, "prepare-data")["inputs"]["parameters"]["settings"] = {"componentInputParameter": "nothing"}


def _artifact_gone(documents: Documents) -> None:
    task(documents, "train-teacher")["inputs"]["artifacts"]["dataset"] = {"componentInputArtifact": "nothing"}


def _value_gone(documents: Documents) -> None:
    del task(documents, "prepare-data")["inputs"]["parameters"]["settings"]


def _default_gone(documents: Documents) -> None:
    del documents[0]["root"]["inputDefinitions"]["parameters"]["prepare_data"]["defaultValue"]


def _text_for_a_number(documents: Documents) -> None:
    task(documents, "train-teacher")["inputs"]["parameters"]["temperature"] = {"runtimeValue": {"constant": "1.0"}}


def _list_for_an_object(documents: Documents) -> None:
    documents[0]["root"]["inputDefinitions"]["parameters"]["prepare_data"]["defaultValue"] = []


def _number_for_an_object(documents: Documents) -> None:
    task(documents, "prepare-data")["inputs"]["parameters"]["settings"] = {"runtimeValue": {"constant": 3.0}}


def _switch_for_a_number(documents: Documents) -> None:
    task(documents, "train-teacher")["inputs"]["parameters"]["temperature"] = {"runtimeValue": {"constant": True}}


def _producer_gone(documents: Documents) -> None:
    task(documents, "train-teacher")["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"]["producerTask"] = "nobody"


def _output_gone(documents: Documents) -> None:
    task(documents, "train-teacher")["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"]["outputArtifactKey"] = "x"


def _equal_containers(documents: Documents) -> None:
    """Of two components with equal containers the API server keeps one: both steps have the outputs of attack."""
    container(documents, "evaluate").clear()
    container(documents, "evaluate").update(container(documents, "attack"))


def _an_artifact_twice(documents: Documents) -> None:
    artifacts = task(documents, "train-teacher")["inputs"]["artifacts"]
    artifacts["again"] = artifacts["dataset"]


def _processors_by_a_parameter(documents: Documents) -> None:
    container(documents, "prepare-data")["resources"]["resourceCpuRequest"] = "{{$.inputs.parameters['cpu']}}"


def _processors_by_an_object(documents: Documents) -> None:
    container(documents, "prepare-data")["resources"]["resourceCpuRequest"] = "{{$.inputs.parameters['settings']}}"


def _no_quantity(documents: Documents) -> None:
    container(documents, "prepare-data")["resources"]["resourceMemoryLimit"] = "much"


def _image_by_a_parameter(documents: Documents) -> None:
    container(documents, "prepare-data")["image"] = "registry.example/{{$.inputs.parameters['image']}}"


def _environment_by_a_parameter(documents: Documents) -> None:
    container(documents, "prepare-data")["env"] = [{"name": "A", "value": "{{$.inputs.parameters['a']}}"}]


def _asked(documents: Documents) -> dict[str, Any]:
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found: dict[str, Any] = platform["exec-prepare-data"]
    return found


def _secret_by_a_parameter(documents: Documents) -> None:
    _asked(documents)["secretAsVolume"][0]["secretNameParameter"] = {"componentInputParameter": "settings"}


def _secret_without_a_name(documents: Documents) -> None:
    _asked(documents)["secretAsVolume"][0]["secretNameParameter"] = {"runtimeValue": {"constant": ""}}


def _end_of_nothing(documents: Documents) -> None:
    task(documents, "finish")["dependentTasks"] = []


def _end_of_somebody_elses(documents: Documents) -> None:
    task(documents, "finish")["dependentTasks"].append("report")


def _waiting_for_the_end(documents: Documents) -> None:
    (handler,) = task(documents, "finish")["dependentTasks"]
    task(documents, handler)["dependentTasks"] = ["finish"]


def _a_condition(documents: Documents) -> None:
    task(documents, "report")["triggerPolicy"] = {"condition": "1 == 1"}


_WRONG: dict[Callable[[Documents], None], tuple[str, str, str]] = {
    _parameter_gone: ("missing", "prepare-data", "settings"),
    _artifact_gone: ("missing", "train-teacher", "dataset"),
    _value_gone: ("value", "prepare-data", "settings"),
    _default_gone: ("null", "exit-handler-1", "pipelinechannel--prepare_data"),
    _text_for_a_number: ("type", "train-teacher", "temperature"),
    _switch_for_a_number: ("type", "train-teacher", "temperature"),
    _list_for_an_object: ("type", "exit-handler-1", "pipelinechannel--prepare_data"),
    _number_for_an_object: ("type", "prepare-data", "settings"),
    _producer_gone: ("producer", "train-teacher", "dataset"),
    _output_gone: ("producer", "train-teacher", "dataset"),
    _equal_containers: ("producer", "report", "*"),
    _an_artifact_twice: ("twice", "train-teacher", "dataset"),
    _processors_by_a_parameter: ("placeholder", "prepare-data", "resources.resourceCpuRequest"),
    _processors_by_an_object: ("placeholder", "prepare-data", "resources.resourceCpuRequest"),
    _no_quantity: ("placeholder", "prepare-data", "resources.resourceMemoryLimit"),
    _image_by_a_parameter: ("placeholder", "prepare-data", "image"),
    _environment_by_a_parameter: ("placeholder", "prepare-data", "env.0.value"),
    _secret_by_a_parameter: ("missing", "prepare-data", "secretNameParameter"),
    _secret_without_a_name: ("placeholder", "prepare-data", "secretNameParameter"),
    _end_of_nothing: ("exit", "finish", ""),
    _end_of_somebody_elses: ("exit", "finish", "report"),
    _waiting_for_the_end: ("exit", "exit-handler-1", "finish"),
    _a_condition: ("unknown", "report", ""),
}


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda wrong: wrong.__name__.strip("_"))
def test_each_kind_of_fault_is_found(wrong: Callable[[Documents], None], documents: Documents) -> None:
    wrong(documents)
    found = faults(*documents)
    assert any(_is(fault, *_WRONG[wrong]) for fault in found), "\n".join(map(str, found))


def _is(fault: Fault, kind: str, name: str, put: str) -> bool:
    return fault.kind == kind and fault.path[-1] == name and put in (fault.name, "*")


def test_a_text_takes_any_value_and_an_unset_parameter_that_may_be_left_out_is_no_fault(documents: Documents) -> None:
    task(documents, "finish")["inputs"]["parameters"]["name"] = {"runtimeValue": {"constant": 3.0}}
    definitions = documents[0]["components"]["comp-prepare-data"]["inputDefinitions"]["parameters"]
    definitions["settings"]["isOptional"] = True
    del task(documents, "prepare-data")["inputs"]["parameters"]["settings"]
    assert faults(*documents) == []
