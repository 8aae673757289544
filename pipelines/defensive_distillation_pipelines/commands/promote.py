"""defdistill promote: a run becomes the champion."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.parser import add_output, add_workspace, command, tell


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "promote",
        _call,
        "Register a run's models in MLflow and make it the champion that gates compare with.",
        "  defdistill promote latest\n  defdistill promote 0d3c6a54-7be4-4d0e-8a3f-5f1f6a3f0c11 --experiment mnist\n"
        "  defdistill promote --list",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="the run, named as for defdistill compare")
    parser.add_argument("--experiment", metavar="NAME", help="whose champion it becomes (the name in its settings)")
    parser.add_argument("--list", action="store_true", help="show the champions that there are, and change nothing")
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs.promoting import champions, promote_run

    workspace = Workspace(Path(arguments.workspace))
    if arguments.list == (arguments.run is not None):
        raise ConfigurationError("promote: expected a run, or --list")
    told = champions(workspace) if arguments.list else promote_run(workspace, arguments.run, arguments.experiment)
    tell(arguments, told)
