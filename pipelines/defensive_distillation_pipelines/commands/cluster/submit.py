"""defdistill submit: the sweep on a cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.cluster.watch import follow, succeeded
from defensive_distillation_pipelines.commands.parser import (
    add_cluster,
    add_output,
    add_settings,
    cluster_of,
    command,
    packaged,
    say,
    settings_of,
    tell,
    work_of,
)

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.connection import Access
    from defensive_distillation_pipelines.cluster.runs import Run, Runs
    from defensive_distillation_pipelines.definitions.resources import Cluster
    from defensive_distillation_pipelines.display.told import Told


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "submit",
        _call,
        "Run the sweep on a cluster with Kubeflow Pipelines.",
        "  defdistill submit --host http://localhost:8888 --wait\n"
        "  defdistill submit --preset mnist --temperatures 1,20 --experiment nightly --name first-try\n"
        "  defdistill submit --preset mnist --runs 3 --wait\n"
        "  defdistill submit --set train.epochs=12 --pipeline-root s3://bucket/artifacts --no-cache --wait",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--experiment", default="defensive-distillation", metavar="NAME", help="made if need be (%(default)s)"
    )
    run.add_argument("--name", metavar="NAME", help="of the run (made from the settings)")
    run.add_argument("--wait", action="store_true", help="show the progress, end with the table; 0 if it succeeded")
    run.add_argument("--gate", action="store_true", help="fail if the sweep is clearly worse than the champion")
    run.add_argument(
        "--runs",
        type=_number,
        default=1,
        metavar="N",
        help="split the temperatures over N runs, and end with one report over all: for a sweep that one cannot hold",
    )
    run.add_argument("--pipeline-root", metavar="PLACE", help="where artifacts go (as the namespace says)")
    run.add_argument("--service-account", metavar="NAME", help="that the pods run as (Kubeflow's default)")
    add_connection(parser)
    add_cluster(parser)
    add_settings(parser)
    add_output(parser)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of runs, got {text!r}")
    return int(text)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.following import link
    from defensive_distillation_pipelines.cluster.submission import submit
    from defensive_distillation_pipelines.display.told import Told

    if arguments.name == "latest":
        raise ConfigurationError("--name: expected a name for a run, got 'latest', which means the last one")
    access = access_of(arguments)
    config, asked = settings_of(arguments), cluster_of(arguments)
    work = work_of(arguments)
    packages = [packaged(part, asked, work, gate=arguments.gate) for part in config.split(arguments.runs)]
    runs = runs_of(access)
    started: list[Run] = []
    links: list[str] = []
    for number, package in enumerate(packages, start=1):
        name = arguments.name or f"{config.name}-{package.digest[:6]}"
        run = submit(
            runs,
            package,
            experiment=arguments.experiment,
            name=name if len(packages) == 1 else f"{name} {number}of{len(packages)}",
            pipeline_root=arguments.pipeline_root,
            service_account=arguments.service_account or asked.service_account,
        )
        links.append(link(access, runs, run))
        say(arguments, f"run:     {run.id}", f"link:    {links[-1]}")
        started.append(run)
    if not arguments.wait:
        begun = [{"run": run.id, "name": run.name, "link": link} for run, link in zip(started, links, strict=True)]
        told = Told([], {"runs": begun}, [f"watch:   defdistill watch {run.id}" for run in started] + _then(started))
    else:
        told = _followed(arguments, access, runs, started, asked)
    tell(arguments, told)


def _then(started: list[Run]) -> list[str]:
    several = " ".join(f"--run {run.id}" for run in started)
    return [f"then:    defdistill rerun report --cluster {several}"] if len(started) > 1 else []


def _followed(arguments: argparse.Namespace, access: Access, runs: Runs, started: list[Run], asked: Cluster) -> Told:
    """What each of the runs found, and of several one report over all, which stands beside the first."""
    from defensive_distillation_pipelines.cluster.again import again
    from defensive_distillation_pipelines.cluster.following import report, results
    from defensive_distillation_pipelines.display.told import Told

    found = []
    for run in started:
        follow(arguments, access, runs, run)
        found.append(succeeded(run, results(run)))
    if len(started) == 1:
        return found[0]
    over = again(runs, "report", started, "", {}, name="report over all temperatures", cluster=asked)
    say(arguments, f"run:     {over.id}")
    follow(arguments, access, runs, over)
    shown = [part for one in found for part in (*one.result, *one.notes)]
    return Told([*shown, f"run {over.title} succeeded", *report(started[0])], {"runs": [one.document for one in found]})
