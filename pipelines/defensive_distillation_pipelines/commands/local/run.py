"""defdistill run: the sweep on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import (
    add_settings,
    add_workspace,
    command,
    program,
    settings_of,
)


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "run",
        _call,
        "Run the sweep on this machine, or go on with it after a kill.",
        "  defdistill run\n"
        "  defdistill run --preset mnist --data-root data --temperatures 1,20 --set prepare_data.train_limit=10000\n"
        "  defdistill run --config my.yaml --set train.epochs=12 --set attack.jsma.sources=20 --run first-try",
    )
    add_workspace(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run (made from the settings)")
    add_settings(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.display.tables import show
    from defensive_distillation_pipelines.local.runs import run_sweep
    from defensive_distillation_pipelines.local.workspace import Workspace

    show(*run_sweep(Workspace(Path(arguments.workspace)), settings_of(arguments), arguments.run, program()))
