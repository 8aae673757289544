"""defdistill times: where the time of a run went."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import RUN_HELP, add_output, add_workspace, command, tell


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "times",
        _call,
        "Show where the time of a run went, step by step: imports, reading, computing, writing, MLflow.",
        "  defdistill times latest\n  defdistill times digits-1a2b3c",
    )
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.run_folder import existing_run
    from defensive_distillation_pipelines.local.times import times
    from defensive_distillation_pipelines.local.workspace import Workspace

    tell(arguments, times(existing_run(Workspace(Path(arguments.workspace)), arguments.run)))
