"""defdistill list: the runs of a workspace."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import add_output, add_workspace, command, tell


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "list",
        _call,
        "List the runs of a workspace, latest first: state, networks, accuracy, verdict, size on disk.",
        "  defdistill list\n  defdistill list --workspace elsewhere --json",
    )
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs.listing import told

    tell(arguments, told(Workspace(Path(arguments.workspace))))
