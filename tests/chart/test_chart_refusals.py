"""What the chart refuses: unknown keys, values out of range, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import helm_python
import pytest

Render = Callable[..., dict[str, dict[str, Any]]]
NIGHTLY = {"name": "nightly", "cron": "0 3 * * *"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"trackng": {}}, "trackng"),
        ({"tracking": {"url": "http://mlflow:5000"}}, "url"),
        ({"image": {"tags": "1"}}, "tags"),
        ({"run": {"stages": {"atack": {}}}}, "atack"),
        ({"run": {"stages": {"attack": {"gpus": 1}}}}, "gpus"),
        ({"run": {"stages": {"attack": {"memory": "16 GB"}}}}, "memory"),
        ({"run": {"profile": "tpu"}}, "profile"),
        ({"run": {"parallelism": 0}}, "parallelism"),
        ({"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"podSecurityContext": {"runAsUser": "nobody"}}, "runAsUser"),
        ({"tracking": {"uri": "mlflow:5000"}}, "uri"),
        ({"tracking": {"uri": "http://name:password@mlflow:5000"}}, "uri"),
        ({"storage": {"work": "/work"}}, "work"),
        ({"kfp": {"host": ""}}, "host"),
        ({"kfp": {"launcher": {"create": True, "pipelineRoot": "s3://b", "providers": {"azure": {}}}}}, "azure"),
        ({"secret": {"data": {"aws_access_key_id": "k"}}}, "aws_access_key_id"),
        ({"schedules": [{"name": "nightly"}]}, "cron"),
        ({"schedules": [{**NIGHTLY, "cron": "every day"}]}, "cron"),
        ({"schedules": [{**NIGHTLY, "name": "Every Night"}]}, "name"),
        ({"schedules": [{**NIGHTLY, "temperatures": [0]}]}, "temperatures"),
        ({"networkPolicy": {"ports": [70000]}}, "ports"),
    ],
)
def test_what_the_schema_does_not_know_is_refused_by_name(render: Render, values: dict[str, Any], named: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=named):
        render(values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"secret": {"data": {"AWS_ACCESS_KEY_ID": "k"}, "existingSecret": "keys"}},
            "credentials: expected one of secret.data, secret.existingSecret and externalSecret.enabled, got more",
        ),
        (
            {"externalSecret": {"enabled": True}},
            "externalSecret: expected storeRef.name and data with enabled, got one without the other",
        ),
        (
            {
                "serviceAccount": {"create": False, "name": "a", "annotations": {"a": "b"}},
                "client": {"serviceAccount": "c"},
            },
            "serviceAccount.annotations: expected none with serviceAccount.create=false",
        ),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name: expected the name of an account"),
        (
            {"serviceAccount": {"create": False, "name": "a"}},
            "client.serviceAccount: expected the name of an account",
        ),
        (
            {
                "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}},
                "secret": {"data": {"AWS_ACCESS_KEY_ID": "k"}},
            },
            "secret.data.AWS_ACCESS_KEY_ID: expected no keys beside the role of serviceAccount.annotations",
        ),
        (
            {"variables": {"MLFLOW_TRACKING_PASSWORD": "p"}},
            "variables.MLFLOW_TRACKING_PASSWORD: expected no credentials, which everybody could read",
        ),
        ({"variables": {"AWS_REGION": "r"}}, "variables.AWS_REGION: expected it in tracking or storage"),
        (
            {"mlflow": {"enabled": True}, "tracking": {"uri": "http://mlflow:5000"}},
            "tracking.uri: expected none with mlflow.enabled",
        ),
        (
            {"kfp": {"launcher": {"create": True}}},
            "kfp.launcher.pipelineRoot: expected a place such as s3://bucket/prefix",
        ),
        ({"kfp": {"launcher": {"pipelineRoot": "s3://b/p"}}}, "kfp.launcher: expected no pipelineRoot or providers"),
        (
            {"run": {"profile": "cpu", "stages": {"attack": {"gpu_count": "1"}}}},
            "run.stages.attack.gpu_count: expected none with run.profile=cpu, got 1",
        ),
        ({"schedules": [NIGHTLY, NIGHTLY]}, 'schedules: expected each name once, got "nightly" twice'),
    ],
)
def test_values_that_contradict_each_other_are_refused_in_a_sentence(
    render: Render, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(values)
    assert sentence in str(refused.value)
