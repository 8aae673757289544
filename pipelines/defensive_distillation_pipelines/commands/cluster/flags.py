"""The flags that lead to a cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.connection import Access
    from defensive_distillation_pipelines.cluster.runs import Runs


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `access_of` reads."""
    group = parser.add_argument_group("the cluster; variables of Kubeflow and Kubernetes give what flags do not")
    group.add_argument("--host", metavar="URL", help="Kubeflow Pipelines' API (KF_PIPELINES_ENDPOINT)")
    group.add_argument("--namespace", metavar="NAME", help="namespace of the runs (KFP_NAMESPACE)")
    group.add_argument("--token", help="bearer token; others on this machine may see it, not so KFP_EXISTING_TOKEN")
    group.add_argument("--cookies", help="cookies of a session behind a login page (KFP_COOKIES)")
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig (the current one)")


def access_of(arguments: argparse.Namespace) -> Access:
    """The way to the cluster from the flags of `add_connection`."""
    from defensive_distillation_pipelines.cluster.connection import Access

    return Access.of(
        host=arguments.host,
        namespace=arguments.namespace,
        token=arguments.token,
        cookies=arguments.cookies,
        context=arguments.context,
    )


def runs_of(access: Access) -> Runs:
    """The runs that are there."""
    from defensive_distillation_pipelines.cluster import connection
    from defensive_distillation_pipelines.cluster.runs import Runs

    return Runs(connection.kubeflow(access), access.namespace)
