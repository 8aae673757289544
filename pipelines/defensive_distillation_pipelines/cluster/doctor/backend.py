"""Kubeflow Pipelines: whether it answers, and which version it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown

OLDEST = (2, 16)  # named loops with Collected
_WANTED = ".".join(map(str, OLDEST))
_BACKEND = "Kubeflow Pipelines"
_VERSION = "its version"
_IMAGES = re.compile(r"(?:^|/)(?:kfp-)?(api-server|apiserver|driver|launcher)(?:@|:)")
_SERVICE = re.compile(r"//ml-pipeline\.([a-z0-9-]+)(?:[.:/]|$)|/namespaces/([a-z0-9-]+)/services/ml-pipeline")
_NUMBERS = re.compile(r"^v?(\d+)\.(\d+)\.\d+")
_HOW = (
    "kubectl get deployment ml-pipeline -n kubeflow -o jsonpath='{.spec.template.spec.containers[*].image}' says it; "
    f"{_WANTED} or later is needed"
)


def answers(healthz: Answer, address: str) -> Finding:
    """Whether the API answers."""
    if healthz.absent:
        return missing(_BACKEND, f"nothing at {address}/apis/v2beta1", "check --host (KF_PIPELINES_ENDPOINT)")
    if not healthz.known:
        return missing(_BACKEND, healthz.why, "nothing can be submitted until it answers")
    users = "one for each profile" if healthz.value.get("multi_user") else "one for all"
    return ok(_BACKEND, f"{address} answers; namespace of runs: {users}")


def namespace(healthz: Answer, address: str, recurring: Answer, wanted: str) -> Iterator[Finding]:
    """Whether runs are where the examination looks: a Kubeflow for one user has them all in its own namespace.

    Args:
        healthz: the answer of /apis/v2beta1/healthz.
        address: of the API, which names the namespace where it is that of a service.
        recurring: recurring runs, which say where they are.
        wanted: the namespace that is looked at.
    """
    if healthz.value.get("multi_user"):
        return
    told = next(
        (str(one["namespace"]) for one in recurring.value.get("recurringRuns") or () if one.get("namespace")), ""
    )
    service = _SERVICE.search(address)
    where = told or (next(filter(None, service.groups())) if service else "")
    if where and where != wanted:
        found = f"Kubeflow Pipelines for one user has all runs in {where}, not in {wanted}"
        yield missing("namespace", found, f"install the chart there, and give --namespace {where} (KFP_NAMESPACE)")
    elif where:
        yield ok("namespace", f"runs are in {where}")
    else:
        yield unknown("namespace", f"runs are where Kubeflow Pipelines is; {wanted} was looked at")


def version(healthz: Answer, images: Iterable[str]) -> Finding:
    """Its version, as it says itself or as the tags of its images do.

    Args:
        healthz: the answer of /apis/v2beta1/healthz, whose tag_name is often 'unknown'.
        images: of pods and workflows, any of which may be Kubeflow's.
    """
    told = [(str(healthz.value.get("tag_name", "")), "as it says"), *_tags(images)]
    for text, source in told:
        numbers = _NUMBERS.match(text)
        if numbers:
            found = f"{text}, {source}"
            if (int(numbers[1]), int(numbers[2])) >= OLDEST:
                return ok(_VERSION, found)
            return missing(_VERSION, found, f"install {_WANTED} or later: earlier ones cannot collect what loops made")
    return unknown(_VERSION, "it does not say, and no image of it could be seen", _HOW)


def images_of_pods(pods: Sequence[dict[str, object]]) -> Iterator[str]:
    """The images of all containers of pods."""
    for pod in pods:
        spec = pod.get("spec")
        yield from _images(spec.get("containers") if isinstance(spec, dict) else None)


def images_of_workflows(workflows: Sequence[dict[str, object]]) -> Iterator[str]:
    """The images of the templates of workflows, and of their init containers."""
    for workflow in workflows:
        spec = workflow.get("spec")
        for template in (spec.get("templates") or ()) if isinstance(spec, dict) else ():
            yield from _images([template.get("container"), *(template.get("initContainers") or ())])


def _images(containers: object) -> Iterator[str]:
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, dict) and container.get("image"):
            yield str(container["image"])


def _tags(images: Iterable[str]) -> Iterator[tuple[str, str]]:
    for image in dict.fromkeys(images):
        if _IMAGES.search(image):
            yield image.partition("@")[0].rpartition(":")[2], f"the tag of {image}"
