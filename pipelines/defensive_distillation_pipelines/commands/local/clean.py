"""defdistill clean: what of a workspace nothing needs any more."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation_pipelines.commands.parser import add_output, add_workspace, command, tell

if TYPE_CHECKING:
    from defensive_distillation_pipelines.display.told import Told


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "clean",
        _call,
        "Remove what no run needs any more, or runs with what only they use. Without a run that is unfinished work, "
        "with which a stopped run would go on, and artifacts that no run uses. Nothing goes that a running run may "
        "use, no file of others, and no record in MLflow.",
        "  defdistill clean --dry-run\n"
        "  defdistill clean digits-1a2b3c\n"
        "  defdistill clean --older-than 30 --yes\n"
        "  defdistill clean --all --workspace elsewhere",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="these runs alone: names or their beginnings")
    parser.add_argument(
        "--older-than", type=_days, metavar="DAYS", help="runs alone that were started longer ago than that"
    )
    parser.add_argument("--all", action="store_true", help="every run, and whatever no run needs")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask in a terminal")
    add_workspace(parser)
    add_output(parser)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of days, got {text!r}")
    return days


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs import cleaning

    workspace = Workspace(Path(arguments.workspace))
    with cleaning.alone(workspace):
        gone = cleaning.chosen(workspace, arguments.runs, arguments.older_than, everything=arguments.all)
        only_runs = bool(arguments.runs) or arguments.older_than is not None
        kinds = cleaning.waste(workspace, gone, unneeded=arguments.all or not only_runs)
        found = cleaning.told(workspace, gone, kinds, freed=not arguments.dry_run and bool(kinds))
        if kinds and not arguments.dry_run:
            if not arguments.yes:
                _ask(cleaning.told(workspace, gone, kinds, freed=False))
            cleaning.remove(workspace, kinds)
    tell(arguments, found)


def _ask(found: Told) -> None:
    """Asks once in a terminal; anything but yes ends the command."""
    from defensive_distillation_pipelines.display.told import show

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    show(*found.result)
    if input("remove it? [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing was removed")
        raise SystemExit(1)
