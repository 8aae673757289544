"""defdistill report: a run's table and report again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import (
    RUN_HELP,
    add_output,
    add_workspace,
    command,
    local_folder,
    tell,
)


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "report",
        _call,
        "Show the table of a finished run, and write its report again.",
        "  defdistill report digits-1a2b3c\n  defdistill report digits-1a2b3c -o for-my-colleague",
    )
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("-o", "--output", type=local_folder, metavar="FOLDER", help="write the report there, too")
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import show_report
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(Path(arguments.workspace))
    tell(arguments, show_report(workspace, arguments.run, arguments.output, quiet=arguments.quiet))
