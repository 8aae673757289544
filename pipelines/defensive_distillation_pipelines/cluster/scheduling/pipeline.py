"""The pipeline of a schedule: its newest version is what the next run takes."""

from __future__ import annotations

from typing import Any

from defensive_distillation_pipelines.cluster.runs import API, Runs
from defensive_distillation_pipelines.cluster.server import RefusedError
from defensive_distillation_pipelines.cluster.submission import EXISTS, upload
from defensive_distillation_pipelines.definitions.package import Package

_PREFIX = "scheduled"


def name_of(schedule: str) -> str:
    """The name of a schedule's own pipeline."""
    return f"{_PREFIX}-{schedule}"


def make_newest(runs: Runs, pipeline: str, package: Package) -> str | None:
    """Sees to it that the newest version of a pipeline is this package.

    A version is named by the package's digest. One that was the newest before is uploaded again under a further name,
    since Kubeflow goes by the time of the upload.

    Returns:
        The name of the version that was uploaded, or None if the newest is this package already.
    """
    if _newest(runs, pipeline).split("-")[0] == package.digest:
        return None
    name, count = package.digest, 1
    while True:
        try:
            upload(runs, pipeline, name, package.text)
        except RefusedError as error:
            if error.status != EXISTS:
                raise
            count += 1
            name = f"{package.digest}-{count}"
        else:
            return name


def _newest(runs: Runs, pipeline: str) -> str:
    """The name of the newest version, '' if there is none."""
    query: dict[str, Any] = {"page_size": 1, "sort_by": "created_at desc"}
    versions = runs.server.get(f"{API}/pipelines/{pipeline}/versions", **query).get("pipeline_versions") or [{}]
    return str(versions[0].get("name") or versions[0].get("display_name") or "")
