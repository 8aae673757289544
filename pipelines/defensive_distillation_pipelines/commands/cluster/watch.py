"""defdistill watch: the progress of a run on a cluster."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import first_line
from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.parser import add_output, command, say, tell

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.connection import Access
    from defensive_distillation_pipelines.cluster.runs import Run, Runs
    from defensive_distillation_pipelines.display.told import Told

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
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.following import link, results

    access = access_of(arguments)
    runs = runs_of(access)
    run = runs.find(arguments.run)
    say(arguments, f"run:     {run.title}", f"link:    {link(access, runs, run)}")
    follow(arguments, access, runs, run)
    tell(arguments, succeeded(run, results(run)))


def follow(arguments: argparse.Namespace, access: Access, runs: Runs, run: Run) -> None:
    """Follows a run until it has succeeded; an interrupt leaves it and says how to come back."""
    from defensive_distillation_pipelines.cluster import following
    from defensive_distillation_pipelines.cluster.closing import close
    from defensive_distillation_pipelines.cluster.watching import RunFailedError

    try:
        following.follow(access, runs, run, quiet=arguments.quiet)
    except KeyboardInterrupt:
        print(
            f"defdistill: the run goes on; look again with 'defdistill watch {run.id}', "
            f"stop it with 'defdistill stop {run.id}'",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    except RunFailedError as error:
        if said := close(runs.get(run.id), first_line(error)):
            say(arguments, said)
        raise


def succeeded(run: Run, found: Told) -> Told:
    """What a run found, and that it succeeded."""
    return replace(found, notes=(*found.notes, f"run {run.title} succeeded"))
