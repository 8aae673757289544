"""defdistill run: the sweep on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.parser import (
    add_output,
    add_settings,
    add_workspace,
    command,
    program,
    settings_of,
    tell,
)

if TYPE_CHECKING:
    from defensive_distillation.config import ExperimentConfig
    from defensive_distillation_pipelines.local.containers import Containers


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "run",
        _call,
        "Run the sweep on this machine, or go on with it after a kill.",
        "  defdistill run\n"
        "  defdistill run --preset mnist --data-root data --temperatures 1,20 --set prepare_data.train_limit=10000\n"
        "  defdistill run --config my.yaml --set train.epochs=12 --set attack.jsma.sources=20 --run first-try\n"
        "  defdistill run --runner docker --image defensive-distillation:0.1.0",
    )
    add_workspace(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run (made from the settings)")
    where = parser.add_argument_group("where the steps run")
    where.add_argument(
        "--runner",
        choices=("process", "docker"),
        default="process",
        help="of each step: a process or a container (process)",
    )
    where.add_argument(
        "--image", metavar="NAME", help="of the containers (DEFDISTILL_IMAGE, or what 'make image' builds)"
    )
    where.add_argument("--network", metavar="NAME", help="of the containers, such as host (Docker's choice)")
    add_settings(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import run_sweep
    from defensive_distillation_pipelines.local.workspace import Workspace

    config = settings_of(arguments)
    workspace = Workspace(Path(arguments.workspace))
    containers = _containers(arguments, config)
    tell(arguments, run_sweep(workspace, config, arguments.run, program(), containers, quiet=arguments.quiet))


def _containers(arguments: argparse.Namespace, config: ExperimentConfig) -> Containers | None:
    if arguments.runner == "process":
        for flag in ("image", "network"):
            if getattr(arguments, flag) is not None:
                raise ConfigurationError(f"--{flag}: expected with --runner docker, got it without")
        return None
    from defensive_distillation_pipelines.definitions.resources import Cluster
    from defensive_distillation_pipelines.local.containers import containers

    data = config.prepare_data
    read = [place for place in (data.source, data.data_root) if place is not None]
    return containers(arguments.image or Cluster().image, arguments.network, read)
