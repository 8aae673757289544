"""defdistill submit: the sweep on a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection
from defensive_distillation_pipelines.commands.parser import (
    add_cluster,
    add_settings,
    cluster_of,
    command,
    package_of,
    settings_of,
)


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "submit",
        _call,
        "Run the sweep on a cluster with Kubeflow Pipelines.",
        "  defdistill submit --host http://localhost:8888 --wait\n"
        "  defdistill submit --preset mnist --temperatures 1,20 --experiment nightly --name first-try\n"
        "  defdistill submit --set train.epochs=12 --pipeline-root s3://bucket/artifacts --no-cache --wait",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--experiment", default="defensive-distillation", metavar="NAME", help="made if need be (%(default)s)"
    )
    run.add_argument("--name", metavar="NAME", help="of the run (made from the settings)")
    run.add_argument("--wait", action="store_true", help="show the progress, end with the table; 0 if it succeeded")
    run.add_argument("--pipeline-root", metavar="PLACE", help="where artifacts go (as the namespace says)")
    run.add_argument("--service-account", metavar="NAME", help="that the pods run as (Kubeflow's default)")
    add_connection(parser)
    add_cluster(parser)
    add_settings(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster import connection
    from defensive_distillation_pipelines.cluster.following import link
    from defensive_distillation_pipelines.cluster.runs import Runs
    from defensive_distillation_pipelines.cluster.submission import submit
    from defensive_distillation_pipelines.commands.cluster.watch import show

    access = access_of(arguments)
    runs = Runs(connection.kubeflow(access), access.namespace)
    package = package_of(arguments)
    run = submit(
        runs,
        package,
        experiment=arguments.experiment,
        name=arguments.name or f"{settings_of(arguments).name}-{package.digest[:6]}",
        pipeline_root=arguments.pipeline_root,
        service_account=arguments.service_account or cluster_of(arguments).service_account,
    )
    print(f"run:     {run.id}\nlink:    {link(access, runs, run)}", flush=True)
    if arguments.wait:
        show(access, runs, run)
    else:
        print(f"watch:   defdistill watch {run.id}")
