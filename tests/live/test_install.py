"""The chart on a real cluster: install, a run on what it brings, its own test, upgrade, uninstall.

What the namespace had under the chart's names before, without Helm, comes back afterwards. MLflow's own chart, which is
off, is left out of a copy: Helm would want it fetched first.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster.live import EXPERIMENT, NETWORKS, defdistill, mlflow_runs, objects, submitted, told

pytestmark = pytest.mark.cluster
CHART = Path(__file__).parents[2] / "charts" / "defensive-distillation"
RELEASE = "live-tests"
NAME = "defensive-distillation"
SECRET = f"{NAME}-credentials"
_OF_KUBERNETES = ("creationTimestamp", "resourceVersion", "uid", "managedFields", "annotations", "ownerReferences")


def found(kind: str, name: str) -> dict[str, Any]:
    """An object of the namespace, {} without it."""
    return next((one for one in objects(kind) if one["metadata"]["name"] == name), {})


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart as it is, without its dependency."""
    copy = tmp_path_factory.mktemp("copy") / CHART.name
    shutil.copytree(CHART, copy)
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    assert about.pop("dependencies")
    (copy / "Chart.yaml").write_text(yaml.safe_dump(about))
    return str(copy)


@pytest.fixture(scope="module")
def values(environment_of_module: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Values that lead where the ConfigMap and the Secret lead that the namespace has for the other tests."""
    before = [found("configmap", NAME), found("secret", SECRET)]
    assert all(before), f"expected a ConfigMap {NAME} and a Secret {SECRET}, as docs/cluster.md has them"
    helm = [one for one in before if one["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "Helm"]
    assert not helm, "expected a namespace without this chart: helm uninstall it first, and make both by hand"
    variables = before[0]["data"]
    secret = {name: base64.b64decode(value).decode() for name, value in before[1]["data"].items()}
    image, client = (split(os.environ[name]) for name in ("DEFDISTILL_IMAGE", "DEFDISTILL_CLI_IMAGE"))
    file = tmp_path_factory.mktemp("chart") / "values.yaml"
    given = {
        "image": image,
        "client": {"image": client},
        "tracking": {"uri": variables["MLFLOW_TRACKING_URI"], "experiment": EXPERIMENT},
        "storage": {"endpoint": variables["AWS_ENDPOINT_URL"], "region": variables.get("AWS_REGION", "")},
        "secret": {"data": secret},
        "run": {"profile": "cpu"},
        "schedules": [{"name": "live-chart", "cron": "0 3 * * *", "preset": "digits"}],
    }
    file.write_text(yaml.safe_dump(given))
    told("kubectl", "delete", f"configmap/{NAME}", f"secret/{SECRET}")  # else Helm finds them in its way
    try:
        yield file
    finally:
        told("helm", "uninstall", RELEASE, "--ignore-not-found", "--timeout", "10m")
        for one in before:
            one["metadata"] = {key: value for key, value in one["metadata"].items() if key not in _OF_KUBERNETES}
            told("kubectl", "apply", "-f", "-", given=json.dumps(one))


def split(image: str) -> dict[str, str]:
    """Repository and tag."""
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


def test_the_chart_is_installed_and_declares_its_schedules(chart: str, values: Path) -> None:
    told("helm", "install", RELEASE, chart, "-f", str(values), "--timeout", "10m")
    assert found("configmap", NAME)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert "live-chart" in defdistill("schedule", "--list")


def test_its_own_test_is_the_doctor(values: Path) -> None:
    told("helm", "test", RELEASE, "--timeout", "10m")
    assert " 0 missing" in told("kubectl", "logs", f"{NAME}-doctor").splitlines()[-1]


def test_a_run_asks_for_what_the_chart_says(values: Path, tmp_path: Path) -> None:
    resources = tmp_path / "resources.yaml"
    resources.write_text(found("configmap", f"{NAME}-resources")["data"]["resources.yaml"])
    run, said = submitted("--no-cache", name="live chart", on=("--resources", str(resources)))
    assert "z/T" in said
    assert set(mlflow_runs(run)) == {"", *NETWORKS}
    (account,) = {pod["spec"]["serviceAccountName"] for pod in objects("pods", "-l", f"pipeline/runid={run}")}
    assert account == NAME


def test_an_upgrade_replaces_the_schedule(chart: str, values: Path) -> None:
    flags = ("-f", str(values), "--set-json", 'schedules=[{"name":"live-chart","cron":"0 4 * * *","preset":"digits"}]')
    told("helm", "upgrade", RELEASE, chart, *flags, "--timeout", "10m")
    lines = [line for line in defdistill("schedule", "--list").splitlines() if "live-chart" in line]
    assert len(lines) == 1
    assert "0 4 * * *" in lines[0]


def test_nothing_stays_of_an_uninstalled_chart(values: Path) -> None:
    told("helm", "uninstall", RELEASE, "--timeout", "10m")
    assert "live-chart" not in defdistill("schedule", "--list")
    assert not found("configmap", NAME)
    assert not found("serviceaccount", NAME)
