"""Nodes: what is left of them, and whether each stage fits one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown
from defensive_distillation_pipelines.cluster.quantity import memory, number
from defensive_distillation_pipelines.definitions.resources import Resources

_GPU = "GPUs"
_STAGE = "stage"
_DONE = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Node:
    """A node that takes pods: what it has for them, and what is left now."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    whole: Mapping[str, float]
    free: Mapping[str, float]


def nodes(listed: Answer, pods: Answer) -> list[Node]:
    """The nodes that take pods, with what the pods of all namespaces leave of them."""
    taken: dict[str, dict[str, float]] = {}
    for pod in pods.items:
        if pod.get("status", {}).get("phase") not in _DONE:
            node = taken.setdefault(pod.get("spec", {}).get("nodeName", ""), {"pods": 0.0})
            for name, amount in {**requests(pod), "pods": 1.0}.items():
                node[name] = node.get(name, 0.0) + amount
    return [_node(node, taken.get(node["metadata"]["name"], {})) for node in listed.items if _takes_pods(node)]


def requests(pod: Mapping[str, Any]) -> dict[str, float]:
    """What a pod keeps of its node: its containers together, or the largest init container if that is more."""
    spec = pod.get("spec", {})
    total = _sum(spec.get("containers") or ())
    started = _sum(one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
    for name, amount in started.items():
        total[name] = total.get(name, 0.0) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _sum([container]).items():
            total[name] = max(total.get(name, 0.0), amount)
    return total


def gpus(known: list[Node], types: Iterable[str]) -> Iterator[Finding]:
    """How many GPUs of each kind that is asked for there are, and how many are free."""
    for kind in sorted(set(types)):
        whole, free = (sum(getattr(node, part).get(kind, 0.0) for node in known) for part in ("whole", "free"))
        if whole:
            yield ok(_GPU, f"{free:g} of {whole:g} {kind} are free")
        else:
            offered = sorted({name for node in known for name in node.whole if _is_gpu(name) and node.whole[name]})
            found = f"no node has {kind}" + (f"; there are: {', '.join(offered)}" if offered else "")
            yield missing(_GPU, found, "install the GPU's device plugin, set gpu_type, or take --profile cpu")


def stages(known: list[Node], asked: Mapping[str, Resources]) -> Iterator[Finding]:
    """Whether each stage fits a node; stages that ask for the same share a line."""
    groups: dict[str, list[str]] = {}
    for stage, wish in asked.items():
        groups.setdefault(repr(_wish(wish)), []).append(stage)
    for names in groups.values():
        yield fits(known, ", ".join(names), asked[names[0]])


def fits(known: list[Node], names: str, asked: Resources) -> Finding:
    """Whether a node can hold what stages ask for, and does now."""
    wanted = needs(asked)
    wish = f"{names}: {_shown(wanted, asked.gpu_type)}"
    open_to = [node for node in known if _accepts(node, asked, _tolerations(asked))]
    if not open_to:
        return _closed(known, asked, wish)
    largest = max(open_to, key=lambda node: _room(node.free, wanted))
    best = f"largest free node {largest.name}: {_shown(_part(largest.free, wanted), asked.gpu_type)}"
    if _holds(largest.free, wanted):
        return ok(_STAGE, f"{wish}; {best}")
    if any(_holds(node.whole, wanted) for node in open_to):
        return ok(_STAGE, f"{wish}; has to wait now, {best}")
    biggest = max(open_to, key=lambda node: _room(node.whole, wanted))
    most = _shown(_part(biggest.whole, wanted), asked.gpu_type)
    found = f"{wish}; no node holds that, {biggest.name} has {most}"
    return missing(_STAGE, found, "ask for less (--resources) or add a larger node")


def _closed(known: list[Node], asked: Resources, wish: str) -> Finding:
    """Where no node takes the pod; some clusters add the GPU's toleration (admission ExtendedResourceToleration)."""
    of_gpu = {"key": asked.gpu_type, "operator": "Exists", "effect": "NoSchedule"}
    if asked.gpu_count and any(_accepts(node, asked, [*_tolerations(asked), of_gpu]) for node in known):
        found = f"{wish}; its nodes have the taint {asked.gpu_type}, which only some clusters tolerate unasked"
        return unknown(_STAGE, found, f"add the toleration {{key: {asked.gpu_type}, operator: Exists}}")
    return missing(_STAGE, f"{wish}; no node has {_where(asked)}", "change node_selector or tolerations")


def not_known(listed: Answer) -> Finding:
    """Where nodes may not be read."""
    return unknown("nodes", listed.why or "no nodes", "rights on nodes say more (the chart's rbac.cluster)")


def needs(asked: Resources) -> dict[str, float]:
    """What is asked of a node, as numbers."""
    wanted = {"cpu": number(asked.cpu), "memory": number(asked.memory), "pods": 1.0}
    return wanted | ({asked.gpu_type: float(asked.gpu_count)} if asked.gpu_count else {})


def _node(node: Mapping[str, Any], taken: Mapping[str, float]) -> Node:
    whole = {name: number(amount) for name, amount in node.get("status", {}).get("allocatable", {}).items()}
    return Node(
        name=node["metadata"]["name"],
        labels=node["metadata"].get("labels") or {},
        taints=tuple(node.get("spec", {}).get("taints") or ()),
        whole=whole,
        free={name: max(amount - taken.get(name, 0.0), 0.0) for name, amount in whole.items()},
    )


def _takes_pods(node: Mapping[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in node.get("status", {}).get("conditions") or ()}
    return not node.get("spec", {}).get("unschedulable") and conditions.get("Ready", "True") == "True"


def _sum(containers: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in containers:
        told = container.get("resources") or {}
        for name, amount in {**(told.get("limits") or {}), **(told.get("requests") or {})}.items():
            total[name] = total.get(name, 0.0) + number(amount)
    return total


def _wish(asked: Resources) -> tuple[Any, ...]:
    return (sorted(needs(asked).items()), sorted(asked.node_selector.items()), _tolerations(asked))


def _accepts(node: Node, asked: Resources, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the node has the labels and no taint that is not tolerated."""
    tolerated = list(tolerations)
    return asked.node_selector.items() <= node.labels.items() and all(
        taint.get("effect") == "PreferNoSchedule" or any(_tolerates(one, taint) for one in tolerated)
        for taint in node.taints
    )


def _tolerations(asked: Resources) -> list[dict[str, Any]]:
    return [one.model_dump(exclude_none=True) for one in asked.tolerations]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint.get("key")
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")


def _holds(room: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(room.get(name, 0.0) >= amount for name, amount in wanted.items())


def _room(room: Mapping[str, float], wanted: Mapping[str, float]) -> tuple[float, float]:
    """How well a node serves: the scarcest of what is wanted, then memory."""
    return min(room.get(name, 0.0) / amount for name, amount in wanted.items() if amount), room.get("memory", 0.0)


def _part(room: Mapping[str, float], wanted: Mapping[str, float]) -> dict[str, float]:
    return {name: room.get(name, 0.0) for name in wanted}


def _shown(amounts: Mapping[str, float], gpu: str) -> str:
    texts = [f"{amounts['cpu']:g} processors", memory(amounts["memory"])]
    return ", ".join([*texts, *([f"{amounts[gpu]:g} {gpu}"] if gpu in amounts else [])])


def _where(asked: Resources) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in asked.node_selector.items())
    return f"the labels {labels} and only taints that it tolerates" if labels else "only taints that it tolerates"


def _is_gpu(name: str) -> bool:
    return "/" in name and ("gpu" in name or "mig" in name)
