"""defdistill watch: the progress of a run on a cluster."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import first_line
from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.parser import command

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.connection import Access
    from defensive_distillation_pipelines.cluster.runs import Run, Runs

RUN_HELP = "id of the run, its beginning, its name, or 'latest'"


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "watch",
        _call,
        "Show the progress of a run on a cluster until it ends; exits with 0 if it succeeded, else with 1.",
        "  defdistill watch latest\n  defdistill watch 33ec24d0 --host http://localhost:8888",
    )
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_connection(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.following import link

    access = access_of(arguments)
    runs = runs_of(access)
    run = runs.find(arguments.run)
    print(f"run:     {run.title}\nlink:    {link(access, runs, run)}", flush=True)
    show(access, runs, run)


def show(access: Access, runs: Runs, run: Run, *, table: bool = True) -> None:
    """Follows a run and ends with its table, if it has one; an interrupt leaves it and says how to come back."""
    from defensive_distillation_pipelines.cluster.closing import close
    from defensive_distillation_pipelines.cluster.following import follow, results
    from defensive_distillation_pipelines.cluster.watching import RunFailedError
    from defensive_distillation_pipelines.display import tables

    try:
        follow(access, runs, run)
    except KeyboardInterrupt:
        print(
            f"defdistill: the run goes on; look again with 'defdistill watch {run.id}', "
            f"stop it with 'defdistill stop {run.id}'",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    except RunFailedError as error:
        if said := close(runs.get(run.id), first_line(error)):
            print(said, flush=True)
        raise
    tables.show(*(results(run) if table else ()), f"run {run.title} succeeded")
