"""The chart as Helm renders it: what is in it, and what holds for every pod."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from defensive_distillation import __version__
from defensive_distillation.config import STAGES
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.definitions.asking import PART_OF
from defensive_distillation_pipelines.definitions.resources import ALL, CONFIG_MAP, FINISH, Cluster, Resources, cluster

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "defensive-distillation"
SCHEDULE = {"name": "regression", "cron": "0 3 * * *", "preset": "mnist", "temperatures": [1, 2.5], "set": ["seed=1"]}
CASES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "for a cluster without GPUs": yaml.safe_load((CHART / "values-cpu.yaml").read_text()),
    "for a cluster with GPUs": yaml.safe_load((CHART / "values-gpu.yaml").read_text()),
    "with keys and a schedule": {
        "tracking": {"uri": "https://mlflow.example/base"},
        "storage": {"endpoint": "http://seaweedfs.kubeflow:9000", "region": "eu-west-1", "work": "s3://bucket/work"},
        "secret": {"data": {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}},
        "variables": {"MLFLOW_S3_ENDPOINT_URL": "http://s3"},
        "schedules": [SCHEDULE, {"name": "weekly", "cron": "0 0 4 * * 0", "seed": 0}],
    },
    "with roles, profiles and a registry": {
        "image": {"repository": "registry.example:5000/team/defensive-distillation", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": ["registry"],
        "serviceAccount": {"name": "steps", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}},
        "client": {"nodeSelector": {"pool": "small"}, "tolerations": [{"operator": "Exists"}]},
        "kfp": {
            "multiUser": True,
            "ui": "https://kubeflow.example",
            "launcher": {"create": True, "pipelineRoot": "s3://bucket/runs", "providers": {"s3": {"default": {}}}},
        },
        "run": {"queue": "team", "parallelism": 4},
        "schedules": [SCHEDULE],
        "networkPolicy": {"extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    },
    "with an external secret": {
        "externalSecret": {
            "enabled": True,
            "storeRef": {"name": "vault"},
            "data": [{"secretKey": "AWS_ACCESS_KEY_ID", "remoteRef": {"key": "s3"}}],
        },
        "rbac": {"cluster": False},
        "networkPolicy": {"enabled": False},
    },
    "with accounts that exist": {
        "serviceAccount": {"create": False, "name": "pipeline-runner"},
        "client": {"serviceAccount": "operator"},
        "rbac": {"create": False},
        "secret": {"existingSecret": "our-keys"},
    },
}
Render = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(params=CASES.values(), ids=CASES)
def objects(request: pytest.FixtureRequest, render: Render) -> dict[str, dict[str, Any]]:
    return render(request.param)


def pods(objects: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in objects.values():
        if one["kind"] in ("Pod", "Job"):
            yield one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]


def test_helm_finds_nothing_but_the_dependency_that_is_fetched_later() -> None:
    for values in CASES.values():
        said = [message["error"] for message in helm_python.lint(CHART, values)["messages"] if message["severity"] > 1]
        assert said == ["chart directory is missing these dependencies: mlflow"]


@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_takes_every_object(objects: dict[str, dict[str, Any]], version: str) -> None:
    for one in objects.values():
        if one["kind"] != "ExternalSecret":  # another project's kind
            kubernetes_validate.validate(one, version, strict=True)


def test_every_pod_keeps_to_the_restricted_level(objects: dict[str, dict[str, Any]]) -> None:
    found = list(pods(objects))
    assert found
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.get("hostNetwork")
        assert not pod.get("hostPID")
        assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", "emptyDir", "configMap", "projected"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_what_an_object_names_is_in_the_release_or_named_by_the_user(render: Render) -> None:
    objects = render(CASES["with keys and a schedule"])
    for pod in pods(objects):
        assert f"ServiceAccount/{pod['serviceAccountName']}" in objects
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert f"ConfigMap/{volume['configMap']['name']}" in objects
        for source in pod["containers"][0]["envFrom"]:
            (kind,) = source
            assert (
                f"{kind.removesuffix('Ref')[0].upper()}{kind.removesuffix('Ref')[1:]}/{source[kind]['name']}" in objects
            )
    for one in objects.values():
        if one["kind"].endswith("Binding"):
            assert f"{one['roleRef']['kind']}/{one['roleRef']['name']}" in objects
            assert all(f"ServiceAccount/{subject['name']}" in objects for subject in one["subjects"])


def test_the_program_understands_what_its_pods_call(objects: dict[str, dict[str, Any]]) -> None:
    for pod in pods(objects):
        (container,) = pod["containers"]
        assert container["command"] == ["defdistill"]
        assert cli.command_parser().parse_args(container["args"]).command in ("doctor", "schedule")


def test_the_steps_variables_are_those_of_the_values(render: Render) -> None:
    objects = render(CASES["with keys and a schedule"])
    assert objects["ConfigMap/defensive-distillation"]["data"] == {
        "MLFLOW_TRACKING_URI": "https://mlflow.example/base",
        "MLFLOW_EXPERIMENT_NAME": "defensive-distillation",
        "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
        "AWS_REGION": "eu-west-1",
        "MLFLOW_S3_ENDPOINT_URL": "http://s3",
    }
    assert (
        objects["Secret/defensive-distillation-credentials"]["stringData"]
        == CASES["with keys and a schedule"]["secret"]["data"]
    )


def test_steps_may_read_their_configuration_and_say_what_became_of_them_and_no_more(render: Render) -> None:
    assert render()["Role/defensive-distillation"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get"]},
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
    ]


def test_the_examination_changes_nothing_in_kubernetes(render: Render) -> None:
    objects = render()
    rules = [
        rule for one in objects.values() if one["metadata"]["name"].endswith("-client") for rule in one.get("rules", [])
    ]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "create"}
    (question,) = [rule for rule in rules if "create" in rule["verbs"]]
    assert question["resources"] == ["localsubjectaccessreviews"]


def test_without_cluster_rights_there_is_no_cluster_role(render: Render) -> None:
    assert not [name for name in render({"rbac": {"cluster": False}}) if name.startswith("Cluster")]


def test_a_schedule_is_a_hook_after_install_and_upgrade_and_one_before_the_end(render: Render) -> None:
    objects = render(CASES["with keys and a schedule"])
    made = objects["Job/defensive-distillation-schedule-regression"]
    assert made["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    arguments = cli.command_parser().parse_args(made["spec"]["template"]["spec"]["containers"][0]["args"])
    assert (arguments.name, arguments.cron, arguments.preset) == ("regression", "0 3 * * *", "mnist")
    assert (arguments.temperatures, arguments.assignments) == ("1,2.5", ["seed=1"])
    assert arguments.work == "s3://bucket/work"
    ended = objects["Job/defensive-distillation-unschedule-weekly"]
    assert ended["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert ended["spec"]["template"]["spec"]["containers"][0]["args"] == ["schedule", "--delete", "weekly", "--now"]
    kept = render({**CASES["with keys and a schedule"], "scheduling": {"deleteOnUninstall": False}})
    assert not [name for name in kept if "unschedule" in name]


def test_pods_reach_the_ports_of_the_addresses_and_nobody_reaches_them(render: Render) -> None:
    policy = render(
        {
            "tracking": {"uri": "https://mlflow.example/base"},
            "storage": {"endpoint": "http://s3.example:9000"},
            "kfp": {"host": "http://ml-pipeline"},
        }
    )["NetworkPolicy/defensive-distillation"]["spec"]
    assert policy["ingress"] == []
    names, others = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert {port["port"] for port in others["ports"]} == {80, 443, 6443, 8080, 8333, 8887, 9000}


def test_our_pods_are_those_that_the_policy_is_for(render: Render) -> None:
    objects = render(CASES["with keys and a schedule"])
    chosen = objects["NetworkPolicy/defensive-distillation"]["spec"]["podSelector"]["matchLabels"].items()
    for one in objects.values():
        if one["kind"] in ("Pod", "Job"):
            template = one["spec"]["template"] if one["kind"] == "Job" else one
            assert chosen <= template["metadata"]["labels"].items()


def test_mlflow_of_the_release_is_where_steps_record(render: Render, tmp_path: Path) -> None:
    chart = with_mlflow(tmp_path)
    objects = render({"mlflow": {"enabled": True}}, chart=chart)
    told = objects["ConfigMap/defensive-distillation"]["data"]["MLFLOW_TRACKING_URI"]
    assert told == "http://defensive-distillation-mlflow:5000"
    given = json.loads(objects["ConfigMap/mlflow-values"]["data"]["values"])
    assert told.removeprefix("http://").partition(":")[0] in given["server"]["value_options"]["allowed_hosts"].split(
        ","
    )
    assert "ConfigMap/mlflow-values" not in render(chart=chart)


def test_mlflow_without_its_chart_is_refused_instead_of_left_out(render: Render) -> None:
    with pytest.raises(helm_python.HelmRenderError, match="expected MLflow's chart in charts/, found none"):
        render({"mlflow": {"enabled": True}})


def test_the_chart_can_be_packaged_without_the_block_that_asks_for_mlflow(render: Render, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / CHART.name)
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(text[: text.index("dependencies:")])
    assert Path(helm_python.package(chart, destination=tmp_path)).name == f"{CHART.name}-{__version__}.tgz"
    assert render(chart=chart).keys() == render().keys()


def test_the_notes_say_the_next_three_commands(notes: Callable[..., str]) -> None:
    text = notes()
    assert re.findall(r"^\d\.", text, flags=re.MULTILINE) == ["1.", "2.", "3."]
    assert "helm test nightly -n team" in text
    assert "No MLflow is named" in text
    assert "No MLflow is named" not in notes({"tracking": {"uri": "http://mlflow:5000"}})
    commands = [line.split()[1:] for line in text.splitlines() if line.strip().startswith("defdistill")]
    assert [command[0] for command in commands] == ["submit", "schedule"]
    for command in commands:
        assert cli.command_parser().parse_args(command).namespace == "team"


def test_chart_and_program_have_one_version() -> None:
    told = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (told["version"], told["appVersion"]) == (__version__, __version__)


def test_the_schema_knows_every_stage_and_what_it_may_ask_for() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    stages = schema["properties"]["run"]["properties"]["stages"]["properties"]
    assert set(stages) == {*STAGES, ALL, FINISH}
    assert set(schema["$defs"]["stage"]["properties"]) == set(Resources.model_fields)


def test_the_program_takes_the_file_of_resources(objects: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"
    file.write_text(objects["ConfigMap/defensive-distillation-resources"]["data"]["resources.yaml"])
    asked = cluster(file=str(file))
    assert asked.service_account == yaml.safe_load(file.read_text())["service_account"]
    assert asked.run_as_user == 10001


def test_what_the_values_say_of_resources_reaches_the_pipeline(render: Render, tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"
    values = {**CASES["with roles, profiles and a registry"], "secret": {"existingSecret": "our-keys"}}
    values["run"] = {"profile": "cpu", "queue": "team", "parallelism": 4, "stages": {"attack": {"memory": "3Gi"}}}
    objects = render(values)
    file.write_text(objects["ConfigMap/defensive-distillation-resources"]["data"]["resources.yaml"])
    asked = cluster(file=str(file))
    assert asked.image == "registry.example:5000/team/defensive-distillation@sha256:" + "0" * 64
    assert (asked.profile, asked.queue, asked.parallelism) == ("cpu", "team", 4)
    assert (asked.image_pull_secrets, asked.service_account, asked.secret) == (("registry",), "steps", "our-keys")
    assert (asked.stages["attack"].memory, asked.stages["attack"].gpu_count) == ("3Gi", 0)


def test_the_secret_and_the_label_are_those_of_the_steps(render: Render) -> None:
    objects = render(CASES["with keys and a schedule"])
    assert f"Secret/{Cluster().secret}" in objects
    chosen = objects["NetworkPolicy/defensive-distillation"]["spec"]["podSelector"]["matchLabels"]
    assert chosen == {PART_OF: CONFIG_MAP}
    assert f"ConfigMap/{CONFIG_MAP}" in objects


def test_the_readme_names_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    table = "\n".join(line for line in (CHART / "README.md").read_text().splitlines() if line.startswith("|"))
    assert [name for name in values if f"`{name}" not in table] == []


def test_the_charts_yaml_is_tidy(objects: dict[str, dict[str, Any]]) -> None:
    config = YamlLintConfig(
        "{extends: default, rules: {document-start: disable, line-length: {max: 120}, braces: enable}}"
    )
    for path in CHART.glob("*.yaml"):
        assert [str(problem) for problem in linter.run(path.read_text(), config)] == []


def with_mlflow(folder: Path) -> Path:
    """The chart with one in place of MLflow's that says what it was given."""
    chart = shutil.copytree(CHART, folder / CHART.name)
    inner = chart / "charts" / "mlflow"
    (inner / "templates").mkdir(parents=True)
    (inner / "Chart.yaml").write_text("apiVersion: v2\nname: mlflow\nversion: 0.1.1\n")
    (inner / "templates/values.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mlflow-values}\n"
        "data: {values: {{ toJson .Values | quote }}}\n"
    )
    return chart
