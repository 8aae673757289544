"""defdistill config: the settings that flags, or a run, come to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.parser import (
    RUN_HELP,
    add_settings,
    add_workspace,
    command,
    settings_of,
)

if TYPE_CHECKING:
    from defensive_distillation.config import ExperimentConfig

_FLAGS = ("config", "data_root", "temperatures", "defenses", "seed", "assignments")


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "config",
        _call,
        "Print all settings that flags come to, or those of a run, as YAML that --config takes.",
        "  defdistill config --preset mnist-short --set train.epochs=20\n"
        "  defdistill config --run latest\n"
        "  defdistill config --temperatures 20,100 --json",
    )
    parser.add_argument("--run", metavar="RUN", help=f"{RUN_HELP}; instead of the flags below")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    add_workspace(parser)
    add_settings(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation.config import as_yaml, plain

    config = settings_of(arguments) if arguments.run is None else _of_run(arguments)
    if arguments.json:
        print(json.dumps(plain(config), indent=2, ensure_ascii=False, allow_nan=False))
        return
    print(as_yaml(config), end="")


def _of_run(arguments: argparse.Namespace) -> ExperimentConfig:
    from defensive_distillation_pipelines.local.run_folder import existing_run
    from defensive_distillation_pipelines.local.workspace import Workspace

    given = [name for name in _FLAGS if getattr(arguments, name)]
    if given:
        flag = "--set" if given[0] == "assignments" else f"--{given[0].replace('_', '-')}"
        raise ConfigurationError(f"{flag}: expected without --run, whose settings are shown as they are")
    return existing_run(Workspace(Path(arguments.workspace)), arguments.run).config()
