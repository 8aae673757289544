"""Why a step waits or has failed, in one line, from what Argo and Kubernetes say of its node and its pod.

Argo's messages: 'Unschedulable: 0/3 nodes are available: …' of a pod that waits, 'main: Error (exit code 1): …' of a
container that has ended, with what it wrote to its termination log at the end, and Kubernetes' own words of a pod that
was refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_CONTAINER = re.compile(r"(?P<name>[\w-]+): (?P<kind>\w*) \(exit code (?P<code>\d+)\)(?:: (?P<words>.*))?")
_KLOG = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ [\w.-]+:\d+\] (?P<words>.*)")
_NOTHING = ("PodInitializing", "ContainerCreating", "")  # a pod that starts says no more than that
_LENGTH = 400  # characters of a reason that people read
_LACKING = {
    "cpu": "free processors",
    "memory": "free memory",
    "ephemeral-storage": "free space on disks",
    "pods": "room for pods",
}
_DEADLINES = ("exceeded its deadline", "exceeded workflow deadline", "longer than the specified deadline")
TIME_OUT = "its time ran out"  # also what Argo says of every pod when a run is stopped


def waits_for(message: str, pod: Mapping[str, Any] | None) -> str:
    """What a pending pod waits for, '' where it only starts."""
    text = _waiting(pod) if pod else ""
    text = message if text in _NOTHING else text
    if text in _NOTHING:
        return ""
    return next((line for rule in (_unschedulable, _image, _refused) if (line := rule(text, pod))), _short(text))


def failure(message: str, pod: Mapping[str, Any] | None = None) -> str:
    """Why a pod has failed; '' where only its log can tell."""
    for rule in (_refused, _image, _store, _memory, _deleted, _ended):
        if line := rule(message, pod):
            return line
    match = _CONTAINER.fullmatch(message)
    return _short(message if match is None else match["words"] or "")


def own_words(log: str) -> str:
    """What a step, or a driver, said last of its failure: its own last line, else the last complaint of Kubeflow's."""
    own, complaint = "", ""
    for line in log.splitlines():
        match = _KLOG.fullmatch(line.strip())
        if match and line.lstrip()[0] in "EF":
            complaint = match["words"]
        elif not match and line.strip() and not line.startswith(("[KFP Executor", " ", "{", "}")):
            own = line.strip()
    if "signal: killed" in complaint:
        return "it was killed, most likely for lack of memory: give the step more, or take a smaller batch_size"
    return _short(own or complaint)


def too_large(message: str) -> str:
    """The line for a Workflow that a cluster cannot hold, '' for any other message."""
    if "longer than maximum allowed size" not in message and "etcdserver: request is too large" not in message:
        return ""
    return (
        "the workflow became larger than a cluster can hold: take fewer temperatures or attacks, or fewer tasks for "
        "them; defdistill compile estimates the size"
    )


def asks_for(pod: Mapping[str, Any] | None) -> str:
    """What the pod's step asks for, such as '4 processors, 16Gi memory, 1 nvidia.com/gpu', '' where not known."""
    containers = (pod or {}).get("spec", {}).get("containers", [])
    main: Mapping[str, Any] = next((one for one in containers if one.get("name") == "main"), {})
    requests = {**main.get("resources", {}).get("limits", {}), **main.get("resources", {}).get("requests", {})}
    words = {"cpu": "processors", "memory": "memory"}
    known = [f"{requests[key]} {word}" for key, word in words.items() if key in requests]
    others = [f"{value} {key}" for key, value in requests.items() if key not in words and str(value) != "0"]
    return ", ".join([*known, *others])


def _waiting(pod: Mapping[str, Any]) -> str:
    """What a pod's containers wait for, those before the step first; else why no node takes it."""
    status = pod.get("status", {})
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = one.get("state", {}).get("waiting") or {}
        if waiting.get("reason", "") not in _NOTHING:
            return ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"
    return ""


def _unschedulable(text: str, pod: Mapping[str, Any] | None) -> str:
    if not text.startswith("Unschedulable"):
        return "gated: its queue has not admitted it yet" if text.startswith("SchedulingGated") else ""
    told = text.partition("Unschedulable: ")[2].partition(" preemption:")[0].partition(" no new claims")[0]
    told = told.rstrip(". ")
    lacking = list(dict.fromkeys(_lacking(told)))
    asked = asks_for(pod)
    what = f"no node has {' and '.join(lacking)}" if lacking else "no node can take it"
    return f"{what}" + (f", it asks for {asked}" if asked else "") + (f": {_short(told)}" if told else "")


def _lacking(told: str) -> Iterator[str]:
    for name in re.findall(r"Insufficient ([\w./-]*\w)", told):
        yield _LACKING.get(name, f"free GPUs ({name})" if "gpu" in name or "nvidia" in name else f"free {name}")
    if "didn't match Pod's node affinity" in told:
        yield "the labels of its node_selector"
    if "had untolerated taint" in told:
        yield "only taints that it tolerates"


def _image(text: str, pod: Mapping[str, Any] | None) -> str:
    if not re.search(r"\b(ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull)\b", text):
        return ""
    quoted = re.search(r'(?:image|image name|reference) "([^"]+)"', text)
    image = f" {quoted[1]}" if quoted else ""
    cause = re.search(
        r"(not found|unauthorized|denied|no such host|connection refused|i/o timeout|invalid ref\S*)", text
    )
    why = f" ({cause[1]})" if cause else ""
    return f"its image{image} cannot be pulled{why}: check DEFDISTILL_IMAGE and the image pull secret"


def _refused(text: str, pod: Mapping[str, Any] | None) -> str:
    if match := re.search(r'violates PodSecurity "([^"]+)": (.*)', text):
        level = match[1].partition(":")[0]
        return f"the namespace refuses its pod, which is not {level!r} as pod security demands: {_short(match[2])}"
    if match := re.search(r"error looking up service account ([\w.-]+)/([\w.-]+)", text):
        return f"the service account {match[2]} does not exist in {match[1]}: --service-account names another"
    if match := re.search(r"exceeded quota: (.*)", text):
        return f"the namespace's quota refuses its pod: {_short(match[1])}"
    if match := re.match(r"CreateContainer\w*Error: (.*)", text):
        return f"its container cannot be made: {_short(match[1])}"
    if match := re.search(r'pods "[^"]*" is forbidden: (.*)', text):
        return f"the namespace refuses its pod: {_short(match[1])}"
    return ""


def _store(text: str, pod: Mapping[str, Any] | None) -> str:
    match = re.search(r"failed to (?:put|save) (?:file|artifact\w*|output\w*)\W*(.*)", text)
    if not match:
        return ""
    return (
        f"the object store does not take its log ({_short(match[1])}): check the store of Argo's artifact repository "
        "and that it runs"
    )


def _memory(text: str, pod: Mapping[str, Any] | None) -> str:
    if "OOMKilled" not in text and "low on resource: memory" not in text:
        return ""
    asked = asks_for(pod)
    return "out of memory" + (f", it asked for {asked}" if asked else "") + ": give the step more, see --resources"


def _deleted(text: str, pod: Mapping[str, Any] | None) -> str:
    if text == "pod deleted":
        return "its pod was deleted, as a node that goes away or a preemption does"
    return ""


def _ended(text: str, pod: Mapping[str, Any] | None) -> str:
    return TIME_OUT if any(words in text for words in _DEADLINES) else ""


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(". ")
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 2]} …"
