"""Handing a compiled pipeline over: experiment, pipeline and version are found before they are made, then the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from defensive_distillation_pipelines.cluster.runs import API, Run, Runs, is_id
from defensive_distillation_pipelines.cluster.server import RefusedError
from defensive_distillation_pipelines.definitions.package import Package

EXPERIMENT = "defensive-distillation"
EXISTS = 409


def submit(
    runs: Runs,
    package: Package,
    *,
    experiment: str = EXPERIMENT,
    name: str,
    pipeline_root: str | None = None,
    service_account: str | None = None,
) -> Run:
    """Starts a run of a package.

    Args:
        runs: where.
        package: what.
        experiment: name or id of the experiment that the run belongs to.
        name: of the run.
        pipeline_root: where its artifacts go, if not where the namespace says.
        service_account: that its pods run as, if not Kubeflow's default.

    Raises:
        ClusterError: if Kubeflow Pipelines is not reached or refuses.
    """
    scope = runs.scope()
    pipeline, version_id = version(runs, package, scope)
    body: dict[str, Any] = {
        "display_name": name,
        "experiment_id": experiment if is_id(experiment) else experiment_id(runs, experiment, scope),
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version_id},
        "runtime_config": {"pipeline_root": pipeline_root} if pipeline_root else {},
    }
    if service_account:
        body["service_account"] = service_account
    return Run.of(runs.server.post(f"{API}/runs", body))


def version(runs: Runs, package: Package, scope: dict[str, str]) -> tuple[str, str]:
    """The ids of the package's pipeline and version; uploaded if no version of this digest is there.

    Raises:
        ClusterError: if Kubeflow Pipelines is not reached or refuses.
    """
    server, name = runs.server, package.digest
    pipeline = pipeline_id(runs, package.name, scope)

    def stored() -> str | None:
        path = f"{API}/pipelines/{pipeline}/versions"
        several = server.get(path, filter=_named(name), page_size=1).get("pipeline_versions")
        return str(several[0]["pipeline_version_id"]) if several else None

    return pipeline, found_or_made(stored, lambda: upload(runs, pipeline, name, package.text))


def pipeline_id(runs: Runs, name: str, scope: dict[str, str]) -> str:
    """The id of the pipeline of this name, which is made if there is none."""

    def known() -> str | None:
        try:
            return str(runs.server.get(f"{API}/pipelines/names/{name}", **scope)["pipeline_id"])
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def made() -> str:
        return str(runs.server.post(f"{API}/pipelines", {"display_name": name, "name": name, **scope})["pipeline_id"])

    return found_or_made(known, made)


def upload(runs: Runs, pipeline: str, name: str, text: str) -> str:
    """The id of a new version of a pipeline."""
    answer = runs.server.upload(
        f"{API}/pipelines/upload_version",
        f"{name}.yaml",
        text.encode(),
        name=name,
        display_name=name,
        pipelineid=pipeline,
    )
    return str(answer["pipeline_version_id"])


def experiment_id(runs: Runs, name: str, scope: dict[str, str]) -> str:
    """The id of the experiment of this name, which is made if there is none."""
    path = f"{API}/experiments"

    def known() -> str | None:
        several = runs.server.get(path, filter=_named(name), page_size=1, **scope).get("experiments")
        return str(several[0]["experiment_id"]) if several else None

    return found_or_made(known, lambda: str(runs.server.post(path, {"display_name": name, **scope})["experiment_id"]))


def found_or_made(find: Callable[[], str | None], make: Callable[[], str]) -> str:
    """What is found, else made; somebody else may have made it at the same moment."""
    found = find()
    if found is not None:
        return found
    try:
        return make()
    except RefusedError as error:
        found = find() if error.status == EXISTS else None
        if found is None:
            raise
        return found


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]})
