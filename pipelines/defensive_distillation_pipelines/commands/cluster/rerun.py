"""defdistill rerun on a cluster: one container step, which finds what the earlier run has made in MLflow."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.cluster.flags import access_of
from defensive_distillation_pipelines.commands.parser import cluster_of

_OF_THE_SWEEP = ("prepare_data", "report", "gate")  # stages that work for no single model


def wanted(arguments: argparse.Namespace, here: Collection[str]) -> bool:
    """Whether the run is one of a cluster's: it is said, or no run of this machine and a cluster is in reach."""
    if arguments.cluster or arguments.run in here or (arguments.run == "latest" and here):
        return bool(arguments.cluster)
    from defensive_distillation_pipelines.cluster.connection import in_pod

    return access_of(arguments).host is not None or in_pod()


def again(arguments: argparse.Namespace, label: str | None) -> None:
    """Starts the rerun beside the run, shows its progress, and says where its result stands.

    Raises:
        ConfigurationError: for an unknown stage or setting, or without a model.
        InputError: if there is no such run.
        ClusterError: if Kubeflow Pipelines is not reached or refuses, or the rerun fails.
    """
    from defensive_distillation.runtime.kubeflow.again import Request
    from defensive_distillation_pipelines.cluster import connection
    from defensive_distillation_pipelines.cluster.following import link
    from defensive_distillation_pipelines.cluster.runs import Runs
    from defensive_distillation_pipelines.cluster.submission import submit
    from defensive_distillation_pipelines.commands.cluster.watch import followed
    from defensive_distillation_pipelines.definitions.changes import changes
    from defensive_distillation_pipelines.definitions.package import package
    from defensive_distillation_pipelines.definitions.rerun import rerun_of

    title, changed = changes(arguments.stage, arguments.assignments)
    if label is None and arguments.stage not in _OF_THE_SWEEP:
        raise ConfigurationError(f"--model: expected the model whose {arguments.stage} is run again, got none")
    cluster, access = cluster_of(arguments), access_of(arguments)
    runs = Runs(connection.kubeflow(access), access.namespace)
    first = runs.find(arguments.run)
    model = "" if arguments.stage in _OF_THE_SWEEP else label or ""
    request = Request(runs=(first.id,), model=model, changes=changed)
    pipeline = rerun_of(arguments.stage, request, name=title, cluster=cluster, work=arguments.work)
    run = submit(
        runs,
        package(pipeline),
        experiment=first.experiment,
        name=f"{title} of {first.name}",
        pipeline_root=first.pipeline_root,
        service_account=cluster.service_account or first.service_account,
    )
    print(f"run:     {run.id}\nlink:    {link(access, runs, run)}", flush=True)
    followed(access, runs, run)
    print(f"{title}: run {run.title} succeeded\nrecorded in MLflow beside {first.title}, which is as it was")
