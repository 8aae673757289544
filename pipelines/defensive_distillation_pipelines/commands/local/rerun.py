"""defdistill rerun: one stage of a finished run again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defensive_distillation.config import STAGES
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.cluster import rerun as cluster
from defensive_distillation_pipelines.commands.cluster.flags import add_connection
from defensive_distillation_pipelines.commands.parser import add_cluster, add_workspace, command


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "rerun",
        _call,
        "Run one stage of a finished run again, with changed settings if asked; the run stays as it was.",
        "  defdistill rerun attack --run digits-1a2b3c --temperature 20 --set jsma.max_features=50\n"
        "  defdistill rerun train_student --run digits-1a2b3c --temperature 5 --set epochs=60\n"
        "  defdistill rerun attack --run digits-1a2b3c --model 'control T=20' --set attacks=cw_l2\n"
        "  defdistill rerun attack --cluster --run latest --temperature 20 --set jsma.max_features=50 --profile cpu",
    )
    parser.add_argument("stage", metavar="STAGE", help=f"one of {', '.join(STAGES)}")
    parser.add_argument("--run", required=True, metavar="RUN", help="the earlier run; 'latest' is the last one")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="LABEL", help="the model, as MLflow names it: baseline, T=20, 'control T=20'")
    which.add_argument("--temperature", metavar="T", help="the same for a distilled model, by its temperature")
    parser.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE", help="a setting of the stage"
    )
    add_workspace(parser)
    parser.add_argument(
        "--cluster", action="store_true", help="the run is a cluster's, as one is that is not of this machine"
    )
    add_connection(parser)
    add_cluster(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import rerun_stage
    from defensive_distillation_pipelines.local.workspace import Workspace

    label = arguments.model
    if arguments.temperature is not None:
        label = distillation.student(_temperature(arguments.temperature)).label
    workspace = Workspace(Path(arguments.workspace))
    if cluster.wanted(arguments, workspace.runs()):
        cluster.again(arguments, label)
        return
    print(rerun_stage(workspace, arguments.stage, arguments.run, label, arguments.assignments))


def _temperature(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"--temperature: expected a number, got {text!r}; --model takes labels") from error
