"""defdistill times: where the time of a run went."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import add_workspace, command


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "times",
        _call,
        "Show where the time of a run went, step by step: imports, reading, computing, writing, MLflow.",
        "  defdistill times latest\n  defdistill times digits-1a2b3c",
    )
    parser.add_argument("run", metavar="RUN", help="the run; 'latest' is the last one")
    add_workspace(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.display.tables import show
    from defensive_distillation_pipelines.local.run_folder import existing_run
    from defensive_distillation_pipelines.local.times import times
    from defensive_distillation_pipelines.local.workspace import Workspace

    show(*times(existing_run(Workspace(Path(arguments.workspace)), arguments.run)))
