"""defdistill rerun: one stage of a finished run again, here or on a cluster."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from defensive_distillation.config import STAGES, loading
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.parser import (
    add_cluster,
    add_output,
    add_workspace,
    cluster_of,
    command,
    say,
    tell,
    work_of,
)


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "rerun",
        _call,
        "Run one stage of a finished run again, with changed settings if asked; the run stays as it was.",
        "  defdistill rerun attack --run digits-1a2b3c --temperature 20 --set jsma.max_features=50\n"
        "  defdistill rerun train_student --run digits-1a2b3c --temperature 5 --set epochs=60 --and-after\n"
        "  defdistill rerun attack --run digits-1a2b3c --model 'control T=20' --set attacks=cw_l2\n"
        "  defdistill rerun attack --cluster --run 33ec24d0 --temperature 20 --set jsma.max_features=50\n"
        "  defdistill rerun report --cluster --run 33ec24d0 --run 6a52ac29",
    )
    parser.add_argument("stage", metavar="STAGE", help=f"one of {', '.join(STAGES)}")
    parser.add_argument(
        "--run",
        dest="runs",
        action="append",
        required=True,
        metavar="RUN",
        help="the earlier run: its name, the beginning of it, or 'latest'; several make one report over all, on a "
        "cluster",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="LABEL", help="the model, as MLflow names it: baseline, T=20, 'control T=20'")
    which.add_argument("--temperature", metavar="T", help="the same for a distilled model, by its temperature")
    parser.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE", help="a setting of the stage"
    )
    parser.add_argument(
        "--and-after",
        action="store_true",
        help="run what was made from its result again, too, up to a report over all networks; here, not on a cluster",
    )
    add_workspace(parser)
    add_output(parser)
    parser.add_argument("--cluster", action="store_true", help="RUN is one of Kubeflow Pipelines, and so is the rerun")
    add_connection(parser)
    add_cluster(parser)


def _call(arguments: argparse.Namespace) -> None:
    label = arguments.model
    if arguments.temperature is not None:
        label = distillation.student(_temperature(arguments.temperature)).label
    if arguments.cluster:
        _on_cluster(arguments, label or "")
        return
    if len(arguments.runs) > 1:
        raise ConfigurationError(f"--run: expected one run, or --cluster, got {len(arguments.runs)}")
    from defensive_distillation_pipelines.local.workspace import Workspace
    from defensive_distillation_pipelines.runs.rerunning import rerun_stage

    told = rerun_stage(
        Workspace(Path(arguments.workspace)),
        arguments.stage,
        arguments.runs[0],
        label,
        arguments.assignments,
        and_after=arguments.and_after,
        quiet=arguments.quiet,
    )
    tell(arguments, told)


def _on_cluster(arguments: argparse.Namespace, label: str) -> None:
    if arguments.and_after:
        raise ConfigurationError(
            "--and-after: expected without --cluster, where a rerun is one step: run each later stage again by itself"
        )
    changes, shown = loading.stage_changes(arguments.stage, arguments.assignments)
    if not label and arguments.stage not in ("prepare_data", "report"):
        raise ConfigurationError(f"--model: expected the model whose {arguments.stage} is run again, got none")
    if len(arguments.runs) > 1 and arguments.stage != "report":
        raise ConfigurationError(f"--run: expected one run for {arguments.stage}, got {len(arguments.runs)}")
    from defensive_distillation_pipelines.cluster.again import again
    from defensive_distillation_pipelines.cluster.following import numbers
    from defensive_distillation_pipelines.commands.cluster.watch import follow, succeeded

    access, asked = access_of(arguments), cluster_of(arguments)
    runs = runs_of(access)
    earlier = [runs.find(name) for name in arguments.runs]
    name, work = f"rerun {arguments.stage}{shown}", work_of(arguments)
    run = again(runs, arguments.stage, earlier, label, changes, name=name, cluster=asked, work=work)
    say(arguments, f"run:     {run.id}")
    follow(arguments, access, runs, run)
    found = succeeded(run, numbers(earlier[0], run, arguments.stage))
    recorded = f"{run.title}: recorded in MLflow beside {earlier[0].title}, which is as it was"
    tell(arguments, replace(found, notes=(*found.notes, recorded)))


def _temperature(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"--temperature: expected a number, got {text!r}; --model takes labels") from error
