"""defdistill stop: ends a run on a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.cluster.watch import RUN_HELP
from defensive_distillation_pipelines.commands.parser import command


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "stop",
        _call,
        "Stop a run on a cluster; what its steps have finished stays.",
        "  defdistill stop latest\n  defdistill stop 33ec24d0 --host http://localhost:8888",
    )
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_connection(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.closing import close, ended

    runs = runs_of(access_of(arguments))
    run = runs.find(arguments.run)
    print(runs.stop(run), flush=True)
    run = ended(runs, run)
    if run.outcome is None:
        print(f"it has not ended yet: defdistill watch {run.id}")
        return
    if said := close(run, ""):
        print(said)
