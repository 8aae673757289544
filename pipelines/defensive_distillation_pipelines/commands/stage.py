"""defdistill stage: one stage alone."""

from __future__ import annotations

import argparse
from typing import Any

from defensive_distillation.config import STAGES
from defensive_distillation.runtime.command import Parser, add_stage_arguments, described, example, run_stage
from defensive_distillation_pipelines.commands.parser import Raw, add_output, command, tell


def add(commands: Any) -> None:
    """Adds the verb, and below it each stage."""
    parser = command(
        commands,
        "stage",
        _call,
        "Run one stage alone, on artifacts at local paths or s3:// URIs.",
        "\n".join(example(stage, f"defdistill stage {stage}").partition("\n")[2] for stage in STAGES),
    )
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True, parser_class=Parser)
    for stage, config in STAGES.items():
        prog = f"defdistill stage {stage}"
        one = stages.add_parser(
            stage, help=config.summary, description=config.summary, epilog=example(stage, prog), formatter_class=Raw
        )
        add_stage_arguments(one, stage)
        add_output(one)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation.artifacts import stored
    from defensive_distillation_pipelines.display.numbers import of_artifact

    made = run_stage(arguments.stage, arguments, quiet=arguments.quiet)
    tell(arguments, of_artifact(stored(made.location), described(arguments.stage, made)))
