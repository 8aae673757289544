"""How large the Workflow of a pipeline becomes, before it is started."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from typing import Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.definitions.package import Package
from defensive_distillation_pipelines.definitions.size.nodes import Run
from defensive_distillation_pipelines.definitions.size.templates import RUN
from defensive_distillation_pipelines.definitions.size.text import parameters, text
from defensive_distillation_pipelines.definitions.size.workflow import Compilation

LONGEST = 128 * 1024 - 1  # bytes of one argument of a program, of which a driver gets a level with all its tasks
MOST = 1024 * 1024  # bytes that a Workflow may have (argo-workflows, workflow/packer/packer.go)
LARGEST = 800_000  # bytes, compressed, that we let through: a run that fails is told in more words
_LEVEL = 5  # of zlib, the one whose size is that of the compressor that Argo uses
_KEY = {"key": "accesskey", "name": "mlpipeline-minio-artifact"}


@dataclass(frozen=True)
class Size:
    """What a run takes of a cluster's memory of it.

    Attributes:
        pods: that are started, Kubeflow's drivers among them.
        nodes: in the Workflow's status.
        uncompressed: bytes of the Workflow; beyond `MOST` Argo compresses its nodes and Kubeflow's list of tasks stops.
        compressed: bytes of the Workflow with compressed nodes; beyond `MOST` the run fails.
        longest: bytes of the longest argument that a pod is started with; beyond `LONGEST` the run fails.
    """

    pods: int
    nodes: int
    uncompressed: int
    compressed: int
    longest: int

    def __str__(self) -> str:
        sizes = f"{self.uncompressed / 1000:,.0f} KB uncompressed, {self.compressed / 1000:,.0f} KB compressed"
        return f"{self.pods:,} pods, {self.nodes:,} nodes, {sizes}"


def size_of(package: Package) -> Size:
    """The size of the Workflow at the end of a run that succeeds, with the package's own parameters."""
    compilation = Compilation(package)
    run = Run(compilation, f"{package.name}-x7k2p")
    around = text(_workflow(compilation, run.name))
    nodes = text(dict(sorted(run.nodes.items())))  # as Go writes a map, which tears apart what would compress well
    packed = base64.b64encode(gzip.compress(nodes.encode(), _LEVEL, mtime=0))
    pods = sum(node["type"] == "Pod" for node in run.nodes.values())
    uncompressed, compressed = len(around) + len(nodes.encode()), len(around) + len(packed)
    return Size(pods, len(run.nodes), uncompressed, compressed, run.driver.longest)


def _workflow(compilation: Compilation, name: str) -> dict[str, Any]:
    """The Workflow without its nodes."""
    key_format = "private-artifacts/{{workflow.namespace}}/{{workflow.name}}/{{workflow.creationTimestamp.Y}}/"
    store = {
        "bucket": "mlpipeline",
        "endpoint": "minio-service.kubeflow:9000",
        "insecure": True,
        "keyFormat": key_format + "{{workflow.creationTimestamp.m}}/{{workflow.creationTimestamp.d}}/{{pod.name}}",
        "accessKeySecret": _KEY,
        "secretKeySecret": {**_KEY, "key": "secretkey"},
    }
    retries = {"limit": "2", "retryPolicy": "OnError"}
    spec = {
        "arguments": {"parameters": parameters(dict(compilation.arguments))},
        "entrypoint": "entrypoint",
        "podMetadata": {
            "annotations": {"pipelines.kubeflow.org/v2_component": "true"},
            "labels": {"pipeline/runid": RUN, "pipelines.kubeflow.org/v2_component": "true"},
        },
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "serviceAccountName": "pipeline-runner",
        "templateDefaults": {"inputs": {}, "metadata": {}, "outputs": {}, "retryStrategy": retries},
        "ttlStrategy": {"secondsAfterCompletion": 3600},
        "templates": list(compilation.templates.values()),
    }
    # names, labels and times, the kinds of which are the same for all runs, are counted as they were on one
    metadata = {
        "name": name,
        "generateName": name[:-5],
        "namespace": "kubeflow",
        "uid": RUN,
        "labels": "-" * 600,
    }
    artifacts = {"artifactRepository": {"archiveLogs": True, "s3": store}, "default": True}
    status = {"phase": "Succeeded", "artifactRepositoryRef": artifacts, "conditions": "-" * 250}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def require_fitting(package: Package) -> Size:
    """The size of a pipeline that a cluster can hold.

    Raises:
        ConfigurationError: if it would be too large.
    """
    size = size_of(package)
    if size.compressed > LARGEST or size.longest > LONGEST:
        raise ConfigurationError(
            f"the pipeline is too large for a cluster: expected at most {LARGEST // 1000} KB compressed, got {size}; "
            "take fewer temperatures, no attack_groups, fewer attack.shards, or several runs (submit --runs N)"
        )
    return size
