"""What the doctor makes of answers: Kubeflow's version, the launcher, the controller, accounts, namespaces, queues."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from defensive_distillation_pipelines.cluster.doctor import account, backend, controller, kueue, launcher, variables
from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding
from support.cluster.recorded import answer

ABSENT = Answer(absent=True)
FORBIDDEN = Answer(why="Kubernetes at https://c: no rights: nodes is forbidden")
HEALTHZ = answer("healthz")  # of a real 2.17.0, which says 'unknown'
POD = {
    "metadata": {"labels": {"app": "ml-pipeline"}},
    "spec": {"containers": [{"name": "ml-pipeline-api-server", "image": "ghcr.io/kubeflow/kfp-api-server:2.15.1"}]},
}
WORKFLOW = {
    "spec": {
        "templates": [
            {"name": "root", "dag": {"tasks": []}},
            {"name": "system-dag-driver", "container": {"image": "ghcr.io/kubeflow/kfp-driver:2.17.0@sha256:1234"}},
            {
                "name": "system-container-impl",
                "container": {"image": "gcr.io/ml-pipeline/should-be-overridden-during-runtime"},
                "initContainers": [{"name": "kfp-launcher", "image": "ghcr.io/kubeflow/kfp-launcher:2.17.0"}],
            },
        ]
    }
}


def config_map(**data: str) -> Answer:
    return Answer({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "team"}, "data": data})


def secret(**data: str) -> Answer:
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return Answer({"kind": "Secret", "metadata": {"name": "s"}, "data": encoded, "type": "Opaque"})


@pytest.mark.parametrize(
    ("healthz", "images", "state", "found"),
    [
        ({"tag_name": "2.17.0"}, [], "ok", "2.17.0, as it says"),
        ({"tag_name": "v2.16.0"}, [], "ok", "v2.16.0"),
        ({"tag_name": "2.9.0"}, [], "missing", "2.9.0"),
        ({"tag_name": "10.0.0"}, [], "ok", "10.0.0"),
        (HEALTHZ, backend.images_of_workflows([WORKFLOW]), "ok", "2.17.0, the tag of ghcr.io/kubeflow/kfp-driver"),
        (HEALTHZ, backend.images_of_pods([POD]), "missing", "2.15.1, the tag of ghcr.io/kubeflow/kfp-api-server"),
        (HEALTHZ, ["registry/kfp-driver:latest"], "unknown", "it does not say"),
        (HEALTHZ, ["ghcr.io/someone/data-driver:9.9.9", "python:3.11.2"], "unknown", "it does not say"),
        (HEALTHZ, [], "unknown", "it does not say"),
    ],
)
def test_the_version_is_what_kubeflow_says_or_the_tags_of_its_images(
    healthz: dict[str, Any], images: Any, state: str, found: str
) -> None:
    finding = backend.version(Answer(healthz), images)
    assert finding.state == state
    assert found in finding.found
    assert bool(finding.todo) == (state != "ok")


def test_a_kubeflow_that_does_not_answer_is_missing() -> None:
    assert backend.answers(Answer(why="no answer"), "http://k").state == "missing"
    assert backend.answers(ABSENT, "http://k").state == "missing"
    assert backend.answers(Answer(HEALTHZ), "http://k").found == "http://k answers; namespace of runs: one for all"


@pytest.mark.parametrize(
    ("healthz", "address", "recurring", "states"),
    [
        ({"multi_user": True}, "http://ml-pipeline.kubeflow:8888", {}, []),
        (HEALTHZ, "http://ml-pipeline.kubeflow:8888", {}, ["missing"]),
        (HEALTHZ, "http://ml-pipeline.team.svc.cluster.local:8888", {}, ["ok"]),
        (HEALTHZ, "https://c/api/v1/namespaces/team/services/ml-pipeline:http/proxy", {}, ["ok"]),
        (HEALTHZ, "http://localhost:8888", answer("recurring-list"), ["missing"]),
        (HEALTHZ, "http://localhost:8888", {}, ["unknown"]),
    ],
)
def test_a_kubeflow_for_one_user_has_its_runs_in_its_own_namespace(
    healthz: dict[str, Any], address: str, recurring: dict[str, Any], states: list[str]
) -> None:
    found = list(backend.namespace(Answer(healthz), address, Answer(recurring), "team"))
    assert [one.state for one in found] == states
    assert all("not in team" in one.found for one in found if one.state == "missing")


PROVIDERS = """
s3:
  default:
    endpoint: s3.example
    credentials: {fromEnv: false, secretRef: {secretName: keys, accessKeyKey: id, secretKeyKey: key}}
  Overrides:
  - {bucketName: b, keyPrefix: p, credentials: {secretRef: {secretName: other, accessKeyKey: id, secretKeyKey: key}}}
"""


def credentials(config: Answer, secrets: dict[str, Answer]) -> list[Finding]:
    return list(launcher.credentials(config, lambda name: secrets.get(name, ABSENT), "team"))


def test_without_configuration_the_launcher_has_defaults_that_need_a_secret() -> None:
    assert launcher.root(ABSENT) == "minio://mlpipeline/v2/artifacts"
    assert launcher.launcher(ABSENT, "team").state == "ok"
    (lost,) = credentials(ABSENT, {})
    assert (lost.state, lost.found) == ("missing", "no Secret mlpipeline-minio-artifact in team")
    (there,) = credentials(ABSENT, {"mlpipeline-minio-artifact": secret(accesskey="a", secretkey="b")})
    assert there.state == "ok"


def test_each_secret_that_the_launcher_names_must_have_the_keys_that_it_names() -> None:
    config = config_map(defaultPipelineRoot="s3://bucket/runs", providers=PROVIDERS)
    assert launcher.launcher(config, "team").found == "artifacts go to s3://bucket/runs"
    found = credentials(config, {"keys": secret(id="a", key=""), "other": secret(id="a", key="b")})
    assert [one.state for one in found] == ["missing", "ok"]
    assert found[0].found == "Secret keys has no key; it has: id, key"


@pytest.mark.parametrize(
    "providers",
    ["", "s3: {default: {credentials: {fromEnv: true}}}", "minio: {default: {credentials: {fromEnv: true}}}"],
)
def test_credentials_of_the_environment_need_no_secret(providers: str) -> None:
    (finding,) = credentials(config_map(defaultPipelineRoot="s3://b", providers=providers), {})
    assert finding.state == "ok"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"defaultPipelineRoot": "/data"}, "defaultPipelineRoot '/data'"),
        ({"providers": "s3: [1]"}, "providers: expected s3, minio or gs with settings each"),
        ({"providers": "s3: {default: {endpoint: e}}"}, "s3.default: expected credentials"),
        ({"providers": "s3: {"}, "providers: expected YAML"),
    ],
)
def test_a_configuration_that_the_launcher_cannot_use_is_told(data: dict[str, str], found: str) -> None:
    finding = launcher.launcher(config_map(**data), "team")
    assert finding.state == "missing"
    assert found in finding.found
    assert "\n" not in finding.found


STOCK = '{spec: {templateDefaults: {retryStrategy: {limit: "2", retryPolicy: OnError}}}}'


@pytest.mark.parametrize(
    ("data", "state", "found"),
    [
        ({"workflowDefaults": STOCK}, "ok", "a deleted pod is started again (OnError, limit 2)"),
        ({"workflowDefaults": STOCK.replace("OnError", "Always")}, "ok", "Always"),
        ({"config": f"workflowDefaults: {STOCK}"}, "ok", "OnError"),
        ({"workflowDefaults": STOCK.replace("OnError", "OnFailure")}, "missing", "retryPolicy OnFailure"),
        ({"workflowDefaults": "{spec: {ttlStrategy: {}}}"}, "missing", "no retryStrategy in the defaults"),
        ({}, "missing", "no retryStrategy"),
        ({"workflowDefaults": "{spec: "}, "missing", "workflowDefaults: expected YAML"),
    ],
)
def test_a_deleted_pod_is_started_again_where_the_controller_says_so(
    data: dict[str, str], state: str, found: str
) -> None:
    finding = controller.retries(config_map(**data), "kubeflow")
    assert finding.state == state
    assert found in finding.found


def controllers(*variables: dict[str, str]) -> Answer:
    return Answer({"items": [{"spec": {"containers": [{"name": "workflow-controller", "env": list(variables)}]}}]})


def test_how_often_the_controller_looks_at_a_workflow() -> None:
    said = controller.interval(controllers({"name": "DEFAULT_REQUEUE_TIME", "value": "2s"}))
    assert (said.state, said.found) == ("ok", "the controller looks at a workflow every 2s")
    said = controller.interval(controllers({"name": "LEADER_ELECTION_IDENTITY"}))
    assert said.state == "ok"
    assert said.found.startswith("the controller looks at a workflow every 10s; DEFAULT_REQUEUE_TIME=2s in its")
    said = controller.interval(Answer({"items": []}))
    assert said.state == "unknown"
    assert "get deployment workflow-controller" in said.todo


def reviews(*allowed: bool) -> dict[tuple[str, str, str], Answer]:
    told = [Answer({"kind": "LocalSubjectAccessReview", "status": {"allowed": one}}) for one in allowed]
    return dict(zip(account.RIGHTS, told, strict=True))


def test_rights_that_the_account_lacks_are_named() -> None:
    assert account.rights(reviews(True, True, True, True), "steps").state == "ok"
    finding = account.rights(reviews(True, False, True, False), "steps")
    assert (finding.state, finding.found) == ("missing", "steps may not get secrets, patch workflowtaskresults")


def test_the_question_of_a_right_is_one_that_kubernetes_understands() -> None:
    import kubernetes_validate

    question = account.question(account.RIGHTS[2], "steps", "team")
    kubernetes_validate.validate(question, "1.34", strict=True)
    assert question["spec"]["user"] == "system:serviceaccount:team:steps"  # type: ignore[index]


@pytest.mark.parametrize(
    ("labels", "state", "found"),
    [
        ({"pod-security.kubernetes.io/enforce": "restricted"}, "ok", "restricted"),
        ({"pod-security.kubernetes.io/enforce": "baseline"}, "ok", "baseline"),
        ({}, "ok", "privileged"),
        ({"pod-security.kubernetes.io/enforce": "strict"}, "missing", "enforce=strict"),
    ],
)
def test_the_level_of_pod_security_is_told(labels: dict[str, str], state: str, found: str) -> None:
    finding = account.security(Answer({"kind": "Namespace", "metadata": {"name": "n", "labels": labels}}), "n", 10001)
    assert finding.state == state
    assert found in finding.found


GROUP = Answer({"kind": "APIGroup", "name": "kueue.x-k8s.io", "preferredVersion": {"version": "v1beta2"}})


@pytest.mark.parametrize(
    ("group", "queue", "state", "found"),
    [
        (ABSENT, Answer(), "missing", "Kueue is not installed"),
        (GROUP, ABSENT, "missing", "no LocalQueue team-a in team"),
        (GROUP, FORBIDDEN, "unknown", "no rights"),
        (GROUP, Answer({"status": {"pendingWorkloads": 3}}), "ok", "team-a in team, 3 waiting"),
        (
            GROUP,
            Answer({"status": {"conditions": [{"type": "Active", "status": "False", "message": "no ClusterQueue"}]}}),
            "missing",
            "team-a is not active: no ClusterQueue",
        ),
    ],
)
def test_the_queue_must_exist_and_take_pods(group: Answer, queue: Answer, state: str, found: str) -> None:
    finding = kueue.queue(group, queue, "team-a", "team")
    assert finding.state == state
    assert found in finding.found
    assert kueue.version(GROUP) == "v1beta2"


def test_variables_without_mlflow_are_missing() -> None:
    assert variables.variables(ABSENT, "team").state == "missing"
    assert variables.variables(config_map(AWS_REGION="r"), "team").state == "missing"
    assert variables.variables(config_map(MLFLOW_TRACKING_URI="http://m"), "team").state == "ok"


def test_half_a_pair_of_credentials_is_missing_and_none_is_a_role() -> None:
    assert variables.credentials(ABSENT, "keys", "team").state == "ok"
    assert variables.credentials(secret(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"), "keys", "team").state == "ok"
    assert variables.credentials(ABSENT, "keys", "team").found.startswith("no Secret keys in team")
    found = variables.credentials(secret(AWS_SECRET_ACCESS_KEY="b"), "keys", "team")
    assert (found.state, found.found) == ("missing", "AWS_SECRET_ACCESS_KEY without AWS_ACCESS_KEY_ID")


LOOKS: list[Callable[[Answer], Finding]] = [
    lambda told: launcher.launcher(told, "team"),
    lambda told: next(launcher.credentials(told, lambda name: told, "team")),
    lambda told: next(launcher.credentials(ABSENT, lambda name: told, "team")),
    lambda told: controller.retries(told, "team"),
    controller.interval,
    lambda told: account.exists(told, "steps", "team"),
    lambda told: account.rights(dict.fromkeys(account.RIGHTS, told), "steps"),
    lambda told: next(account.pull_secrets({"registry": told}, "team")),
    lambda told: account.security(told, "team", 1),
    lambda told: variables.variables(told, "team"),
    lambda told: variables.credentials(told, "keys", "team"),
]


@pytest.mark.parametrize("look", LOOKS)
def test_what_may_not_be_read_is_unknown_and_never_missing(look: Callable[[Answer], Finding]) -> None:
    assert look(FORBIDDEN).state == "unknown"


def test_accounts_and_pull_secrets_that_are_not_there_are_missing() -> None:
    assert account.exists(ABSENT, "steps", "team").found == "no steps in team: no pod would start"
    assert next(account.pull_secrets({"registry": ABSENT}, "team")).state == "missing"
    assert account.security(ABSENT, "team", 1).state == "missing"
