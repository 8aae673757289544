"""Nodes and what is left of them, from objects as Kubernetes gives them."""

from __future__ import annotations

from typing import Any

import pytest

from defensive_distillation_pipelines.cluster.doctor import capacity
from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.quantity import number
from defensive_distillation_pipelines.definitions.resources import Resources

GPU = "nvidia.com/gpu"


def node(name: str, *, taints: list[dict[str, str]] | None = None, **allocatable: str) -> dict[str, Any]:
    """A node as Kubernetes 1.34 tells of it, shortened."""
    gpus = {GPU: allocatable.pop("gpus")} if "gpus" in allocatable else {}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": taints} if taints else {},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110", **allocatable, **gpus},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }


def pod(on: str, phase: str = "Running", **requests: str) -> dict[str, Any]:
    return {
        "spec": {"nodeName": on, "containers": [{"name": "main", "resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def known(*listed: dict[str, Any], pods: tuple[dict[str, Any], ...] = ()) -> list[capacity.Node]:
    return capacity.nodes(Answer({"items": list(listed)}), Answer({"items": list(pods)}))


def asked(**given: Any) -> Resources:
    return Resources.model_validate({"cpu": "4", "memory": "16Gi", **given})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("1.5", 1.5),
        (".5", 0.5),
        ("16Gi", 16 * 1024**3),
        ("24479284Ki", 24479284 * 1024),
        ("5k", 5000),
        ("1e3", 1000),
        ("2M", 2e6),
        ("0", 0),
        (3, 3),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str | int, value: float) -> None:
    assert number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gb", "-1", "1K"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity"):
        number(text)


def test_what_pods_keep_is_not_free_and_what_they_have_given_back_is() -> None:
    pods = (pod("a", cpu="3", memory="10Gi"), pod("a", "Succeeded", cpu="4"), pod("a", "Pending", cpu="500m"))
    (only,) = known(node("a"), pods=pods)
    assert only.free["cpu"] == pytest.approx(4.5)
    assert only.free["memory"] == 22 * 1024**3
    assert only.free["pods"] == 108


def test_a_pod_keeps_its_containers_or_its_largest_init_container() -> None:
    kept = capacity.requests(
        {
            "spec": {
                "containers": [
                    {"resources": {"requests": {"cpu": "1"}}},
                    {"resources": {"limits": {"cpu": "500m"}}},
                    {},
                ],
                "initContainers": [
                    {"resources": {"requests": {"cpu": "3", "memory": "1Gi"}}},
                    {"resources": {"requests": {"cpu": "1"}}, "restartPolicy": "Always"},
                ],
            }
        }
    )
    assert kept == {"cpu": 3.0, "memory": 1024**3}


def test_a_stage_that_fits_is_ok_beside_the_largest_free_node() -> None:
    nodes = known(node("a", cpu="4"), node("b", gpus="2"), pods=(pod("b", cpu="1", **{GPU: "1"}),))
    finding = capacity.fits(nodes, "attack", asked(gpu_count=1))
    assert finding.state == "ok"
    wanted = "attack: 4 processors, 16.0 GiB, 1 nvidia.com/gpu; "
    assert finding.found == wanted + "largest free node b: 7 processors, 32.0 GiB, 1 nvidia.com/gpu"


def test_a_stage_that_only_an_empty_node_holds_has_to_wait() -> None:
    finding = capacity.fits(known(node("a"), pods=(pod("a", cpu="5"),)), "attack", asked())
    assert finding.state == "ok"
    assert "has to wait now, largest free node a: 3 processors" in finding.found


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({"cpu": "16"}, "no node holds that, a has 8 processors"),
        ({"memory": "64Gi"}, "no node holds that, a has 8 processors, 32.0 GiB"),
        ({"gpu_count": 2}, "no node holds that, a has 8 processors, 32.0 GiB, 1 nvidia.com/gpu"),
        ({"node_selector": {"pool": "gpu"}}, "no node has the labels pool=gpu"),
    ],
)
def test_a_stage_that_no_node_can_hold_is_missing(wish: dict[str, Any], found: str) -> None:
    finding = capacity.fits(known(node("a", gpus="1")), "attack", asked(**wish))
    assert finding.state == "missing"
    assert found in finding.found


TAINT = {"key": "team", "value": "vision", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "state"),
    [
        ([], "missing"),
        ([{"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}], "ok"),
        ([{"key": "team", "value": "speech"}], "missing"),
        ([{"key": "team", "operator": "Exists"}], "ok"),
        ([{"operator": "Exists"}], "ok"),
        ([{"key": "team", "operator": "Exists", "effect": "NoExecute"}], "missing"),
    ],
)
def test_a_tainted_node_counts_for_what_tolerates_it(tolerations: list[dict[str, str]], state: str) -> None:
    assert capacity.fits(known(node("a", taints=[TAINT])), "s", asked(tolerations=tolerations)).state == state


def test_a_taint_that_is_only_preferred_keeps_nobody_out() -> None:
    assert capacity.fits(known(node("a", taints=[{**TAINT, "effect": "PreferNoSchedule"}])), "s", asked()).state == "ok"


def test_the_gpus_own_taint_is_tolerated_unasked_by_some_clusters_only() -> None:
    nodes = known(node("a", taints=[{"key": GPU, "effect": "NoSchedule"}], gpus="1"))
    finding = capacity.fits(nodes, "attack", asked(gpu_count=1))
    assert finding.state == "unknown"
    assert finding.todo == "add the toleration {key: nvidia.com/gpu, operator: Exists}"
    assert capacity.fits(nodes, "report", asked()).state == "missing"


def test_nodes_that_take_no_pods_do_not_count() -> None:
    drained, broken = node("a"), node("b")
    drained["spec"]["unschedulable"] = True
    broken["status"]["conditions"][1]["status"] = "Unknown"
    assert known(drained, broken) == []


def test_gpus_are_counted_by_their_name() -> None:
    nodes = known(node("a", gpus="2"), node("b", gpus="2"), pods=(pod("a", **{GPU: "1"}),))
    (there,) = capacity.gpus(nodes, [GPU, GPU])
    assert (there.state, there.found) == ("ok", "3 of 4 nvidia.com/gpu are free")
    (lost,) = capacity.gpus(nodes, ["nvidia.com/mig-1g.10gb"])
    assert (lost.state, lost.found) == ("missing", "no node has nvidia.com/mig-1g.10gb; there are: nvidia.com/gpu")
    assert list(capacity.gpus(nodes, [])) == []


def test_stages_that_ask_for_the_same_share_a_line() -> None:
    found = list(capacity.stages(known(node("a")), {"one": asked(), "two": asked(), "three": asked(cpu="1")}))
    assert [finding.found.partition(":")[0] for finding in found] == ["one, two", "three"]
