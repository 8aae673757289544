"""defdistill compare: what differs between runs, beyond chance."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation_pipelines.commands.parser import add_output, add_workspace, command, tell


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "compare",
        _call,
        "Show what differs between finished runs, here or on a cluster, with intervals.",
        "  defdistill compare digits-1a2b3c digits-4d5e6f\n"
        "  defdistill compare digits-1a2b3c latest --changed\n"
        "  defdistill compare 0d3c6a54-7be4-4d0e-8a3f-5f1f6a3f0c11 latest --json",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="the run that others are compared with, then those: names or their beginnings, 'latest', or ids of runs "
        "of Kubeflow or MLflow (MLFLOW_TRACKING_URI)",
    )
    parser.add_argument("--changed", action="store_true", help="only what differs beyond chance")
    add_workspace(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs.comparing import compared, told

    found = compared(Workspace(Path(arguments.workspace)), arguments.runs)
    tell(arguments, told(found, changed=arguments.changed))
