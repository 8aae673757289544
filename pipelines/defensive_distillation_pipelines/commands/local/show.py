"""defdistill show: one run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import RUN_HELP, add_output, add_workspace, command, tell


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "show",
        _call,
        "Show a run: its settings, its steps, what it found, where report and logs lie, and why it failed if it did.",
        "  defdistill show latest\n  defdistill show digits-1a --json",
    )
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.run_folder import existing_run
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs.showing import told

    tell(arguments, told(existing_run(Workspace(Path(arguments.workspace)), arguments.run)))
