"""What a run asks of a cluster: defaults by profile, a file over them, assignments over both, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from pydantic import ValidationError

from defensive_distillation.config import STAGES, loading
from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.definitions.resources import (
    FINISH,
    Cluster,
    Resources,
    Toleration,
    cluster,
)
from defensive_distillation_pipelines.definitions.sweep import sweep

COMPUTING = [stage for stage in STAGES if stage not in ("prepare_data", "report", "gate")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "resources.yaml"


def executors(asked: Cluster) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of a small sweep that asks for this: what Kubeflow is told of each step, what Kubernetes is, and the pipeline."""
    made = sweep(loading.load("digits"), cluster=asked, work="auto")
    pipeline, platform = (json_format.MessageToDict(part) for part in (made.pipeline_spec, made.platform_spec))
    containers = {name: one["container"] for name, one in pipeline["deploymentSpec"]["executors"].items()}
    return containers, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"], pipeline


# Where values come from


def test_the_stages_that_run_a_network_ask_for_a_gpu_and_the_others_for_none_at_all() -> None:
    asked = cluster()
    assert set(asked.stages) == {*STAGES, FINISH}
    assert {stage for stage, wanted in asked.stages.items() if wanted.gpu_count} == set(COMPUTING)
    containers, _, _ = executors(asked)
    with_gpu = {name for name, container in containers.items() if "accelerator" in container["resources"]}
    assert with_gpu == {name for name in containers if name.split("-")[1] not in ("prepare", "report", "finish")}


def test_a_cluster_without_gpus_is_asked_for_none() -> None:
    asked = cluster("cpu")
    assert {wanted.gpu_count for wanted in asked.stages.values()} == {0}
    assert "accelerator" not in str(executors(asked)[0])
    assert {asked.stages[stage].cpu for stage in STAGES} == {"250m"}


def test_a_report_a_gate_and_the_last_step_are_never_taken_from_the_cache() -> None:
    for profile in ("gpu", "cpu"):
        stages = cluster(profile).stages
        assert {stage for stage, wanted in stages.items() if not wanted.cache} == {"report", "gate", FINISH} & set(
            stages
        )
    assert not any(wanted.cache for wanted in cluster(cache=False).stages.values())
    assert not any(wanted.cache for wanted in cluster(None, None, ["all.cache=true"], cache=False).stages.values())


def test_a_file_goes_over_the_profile_and_assignments_over_both(file: Path) -> None:
    file.write_text(
        "profile: cpu\nqueue: team-a\nparallelism: 3\nimage_pull_secrets: [one, two]\n"
        "stages:\n  all: {memory: 3Gi}\n  attack: {cpu: 2, memory: 5Gi, node_selector: {disk: ssd}}\n"
    )
    asked = cluster(None, str(file), ["attack.cpu=3", "all.retries=4", "queue=team-b", "evaluate.memory=1Gi"])
    assert (asked.profile, asked.queue, asked.parallelism) == ("cpu", "team-b", 3)
    assert asked.image_pull_secrets == ("one", "two")
    attack, evaluate, report = (asked.stages[stage] for stage in ("attack", "evaluate", "report"))
    assert (attack.cpu, attack.memory, attack.retries, attack.node_selector) == ("3", "5Gi", 4, {"disk": "ssd"})
    assert (evaluate.cpu, evaluate.memory, evaluate.retries) == ("250m", "1Gi", 4)
    assert (report.memory, report.retries, report.cache) == ("3Gi", 4, False)
    assert cluster("gpu", str(file)).profile == "gpu", "the flag goes over the file"
    assert cluster("gpu", str(file)).stages["attack"].gpu_count == 1


def test_an_assignment_is_read_as_its_key_wants_it() -> None:
    tolerations = '[{"key": "gpu", "operator": "Exists"}]'
    asked = cluster(
        None,
        None,
        [
            *("image_pull_secrets=one, two", "run_as_user=1000", "parallelism=2", "image=registry.example/it:1"),
            f"all.tolerations={tolerations}",
            *('attack.node_selector={"gpu": "a100"}', "attack.gpu_type=nvidia.com/mig-1g.10gb", "attack.cpu_limit=2"),
        ],
    )
    assert asked.image_pull_secrets == ("one", "two")
    assert (asked.run_as_user, asked.parallelism, asked.image) == (1000, 2, "registry.example/it:1")
    assert asked.stages["report"].tolerations == (Toleration(key="gpu", operator="Exists"),)
    attack = asked.stages["attack"]
    assert (attack.gpu_type, attack.cpu_limit) == ("nvidia.com/mig-1g.10gb", "2")
    assert attack.node_selector == {"gpu": "a100"}


def test_the_image_is_that_of_the_variable_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster().image.startswith("defensive-distillation:")
    monkeypatch.setenv("DEFDISTILL_IMAGE", "registry.example/a:1")
    assert cluster().image == "registry.example/a:1"
    assert cluster(None, None, ["image=registry.example/b:2"]).image == "registry.example/b:2"


# What the steps then have


def test_what_is_asked_for_stands_in_the_pipeline() -> None:
    tolerated = '[{"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}]'
    asked = cluster(
        "cpu",
        None,
        [
            *("queue=team-a", "image_pull_secrets=registry", "run_as_user=1234", "parallelism=1", "all.retries=0"),
            *("attack.gpu_count=2", "attack.gpu_type=nvidia.com/gpu.shared", "attack.shared_memory=2Gi"),
            *("attack.cpu_limit=3", 'attack.node_selector={"pool": "gpu"}', f"attack.tolerations={tolerated}"),
        ],
    )
    containers, platform, pipeline = executors(asked)
    labels = {"kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/part-of": "defensive-distillation"}
    assert all(one["podMetadata"]["labels"] == labels for one in platform.values())
    assert all(one["imagePullSecret"][0]["secretName"] == "registry" for one in platform.values())
    assert all(one["securityContext"] == {"runAsNonRoot": True, "runAsUser": "1234"} for one in platform.values())
    resources = containers["exec-attack"]["resources"]
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu.shared"
    assert (resources["accelerator"]["resourceCount"], resources["resourceCpuLimit"]) == ("2", "3")
    attack, report = platform["exec-attack"], platform["exec-report"]
    assert attack["emptyDirMounts"][0] == {
        **{"mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "2Gi"},
        "volumeName": "dshm",
    }
    assert attack["nodeSelector"]["labels"] == {"pool": "gpu"}
    assert attack["tolerations"] == [{"key": "gpu", "operator": "Exists", "tolerationSeconds": "30"}]
    assert not {"emptyDirMounts", "nodeSelector", "tolerations"} & set(report)
    dags = [one["dag"] for one in (pipeline["root"], *pipeline["components"].values()) if "dag" in one]
    tasks = [task for dag in dags for task in dag["tasks"].values()]
    assert not [task for task in tasks if "retryPolicy" in task]
    after = {task["taskInfo"]["name"]: task.get("dependentTasks", ()) for task in tasks}
    assert "evaluate" in after["attack control T=20"], "one network at a time: the first is evaluated before the second"


def test_variables_come_as_files_since_kubeflows_own_integrations_set_the_same_names() -> None:
    for one in executors(cluster())[1].values():
        assert {name for name in one if name.endswith("AsEnv")} == {"fieldPathAsEnv"}
        for kind, place in (("configMapAsVolume", "config"), ("secretAsVolume", "secret")):
            assert one[kind][0]["optional"] is True
            assert one[kind][0]["mountPath"] == f"/etc/defensive-distillation/{place}"


def test_without_parallelism_retries_and_a_queue_nothing_is_said_of_them() -> None:
    containers, platform, pipeline = executors(cluster(None, None, ["all.shared_memory=1Gi"]))
    tasks = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"].values()
    after = {task["taskInfo"]["name"]: task.get("dependentTasks", ()) for task in tasks}
    assert not {name for name in after["attack control T=20"] if name.startswith("evaluate")}
    assert "queue-name" not in str(platform)
    assert "imagePullSecret" not in str(platform)
    assert "resourceCpuLimit" not in str(containers), "a limit would slow a step on a node with nothing else to do"


# What is refused


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("attack.gpu_count=-1", r"^resources: attack\.gpu_count: .*greater than or equal to 0, got '-1'"),
        ("attack.gpu_count=many", r"^resources: attack\.gpu_count: .*valid integer.*got 'many'"),
        ("attack.gpu_type=gpu", r"^resources: attack\.gpu_type: .*got 'gpu'"),
        ("attack.cpu=two", r"^resources: attack\.cpu: .*got 'two'"),
        ("attack.memory=4 GB", r"^resources: attack\.memory: .*got '4 GB'"),
        ("attack.shared_memory=", r"^resources: attack\.shared_memory: .*got ''"),
        ("attack.retries=-1", r"^resources: attack\.retries: .*got '-1'"),
        ("attack.cache=maybe", r"^resources: attack\.cache: .*boolean.*got 'maybe'"),
        ("attack.node_selector=ssd", r"^resources: attack\.node_selector: .*dictionary, got 'ssd'"),
        ("attack.tolerations={}", r"^resources: attack\.tolerations: .*tuple, got {}"),
        ('attack.tolerations=[{"name": "a"}]', r"^resources: attack\.tolerations\.0\.name: .*does not exist"),
        ('attack.tolerations=[{"operator": "exists"}]', r"tolerations\.0\.operator: .*'Exists' or 'Equal', got"),
        ("attack.gpus=1", r"^resources: attack\.gpus: .*key that does not exist"),
        ("atack.cpu=1", "^resources: expected one of all, prepare_data, .*, finish, got 'atack'"),
        ("que=team-a", r"^resources\.que: .*key that does not exist"),
        ("queue=Team A", r"^resources\.queue: .*got 'Team A'"),
        ("parallelism=0", r"^resources\.parallelism: .*got '0'"),
        ("run_as_user=0", r"^resources\.run_as_user: .*greater than or equal to 1, got '0'"),
        ("image=", r"^resources\.image: .*got ''"),
        ("profile=tpu", r"^resources\.profile: expected 'gpu' or 'cpu', got 'tpu'"),
        ("attack=2", r"^resources\.attack: .*key that does not exist"),
        ("attack.jsma.cpu=2", "^--resources: expected a file, KEY=VALUE or STAGE.KEY=VALUE, got 'attack.jsma.cpu=2'"),
        ("=2", "^--resources: expected a file, KEY=VALUE or STAGE.KEY=VALUE, got '=2'"),
        ("attack.tolerations=[1", "^--resources: expected JSON after '=', got 'attack.tolerations=.1': "),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        cluster(None, None, [assignment])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stages: 3\n", "^resources: expected stages below 'stages', got 3"),
        ("stages: {attack: 3}\n", "^resources: attack: expected keys and values, got 3"),
        ("stages: {all: [1]}\n", r"^resources: .*expected keys and values, got \[1\]"),
        ("stages: {1: {}}\n", "^resources: expected one of all, prepare_data, .*, got 1"),
        ("image: {a: b}\n", r"^resources\.image: .*got {'a': 'b'}"),
        ("1: 2\n", "^resources"),
        ("- queue\n", "expected keys and values, got list"),
        ("queue: [\n", "expected YAML or TOML, got: while parsing"),
    ],
)
def test_a_file_that_says_nothing_of_use_is_refused_in_one_line(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        cluster(None, str(file))
    assert "\n" not in str(caught.value)


# The models


@pytest.mark.parametrize("asked", [Resources(), cluster()])
def test_what_was_asked_for_stays_as_it_is(asked: Any) -> None:
    for name in type(asked).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(asked, name, getattr(asked, name))


@pytest.mark.parametrize("model", [Resources, Cluster])
def test_every_resource_has_a_description(model: Any) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_kubernetes_takes_what_every_resource_says() -> None:
    """The whole platform part, in KFP's own words, which refuse what they do not know."""
    from kfp.kubernetes import kubernetes_executor_config_pb2

    asked = ["queue=a", "image_pull_secrets=b", "run_as_user=7", "all.shared_memory=1Gi"]
    asked += ['all.tolerations=[{"key": "a", "operator": "Exists"}]', 'all.node_selector={"a": "b"}']
    for values in executors(cluster(None, None, asked))[1].values():
        json_format.ParseDict(values, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
