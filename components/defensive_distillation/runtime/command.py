"""A stage as a command: flags and help from its configuration model, one line and an exit code for what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from defensive_distillation import __version__
from defensive_distillation.config import PRESETS, STAGES, ExperimentConfig, StageConfig, stage_config
from defensive_distillation.config import loading as settings
from defensive_distillation.errors import ConfigurationError, DefensiveDistillationError, first_line

_KINDS = {
    "dataset": "dataset artifact of prepare_data",
    "model": "model artifact of train_teacher or train_student",
    "soft_labels": "soft-label artifact of generate_soft_labels",
    "attack": "attack artifact",
    "evaluation": "evaluation artifact",
}
_OPTIONAL = {"surrogate": "model artifact of the undistilled network, for transfer"}
_EXAMPLES = {
    "prepare_data": "--source digits --output out/digits",
    "train_teacher": "--dataset out/digits --temperature 20 --epochs 30 --output out/teacher",
    "generate_soft_labels": "--dataset out/digits --teacher out/teacher --temperature 20 --output out/soft-labels",
    "train_student": (
        "--dataset out/digits --soft-labels out/soft-labels --temperature 20 --epochs 30 --output out/student"
    ),
    "scale_logits": "--model out/baseline --temperature 20 --output out/control",
    "attack": "--dataset out/digits --model out/student --sources 10 --output out/attack",
    "evaluate": "--dataset out/digits --model out/student --attacks out/attack --output out/evaluation",
    "report": "--evaluations out/evaluation out/baseline-evaluation --output out/report",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and points to --help, instead of printing the usage."""

    def error(self, message: str) -> typing.NoReturn:
        """Prints one line and exits with 2."""
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_stage_arguments(parser: argparse.ArgumentParser, stage: str) -> None:
    """Adds a flag for each artifact that the stage reads and writes, and for each of its settings."""
    config = STAGES[stage]
    places = parser.add_argument_group("artifacts: local paths or s3://bucket/prefix alike")
    for name, kind in config.reads.items():
        many, optional = name in config.reads_many, name in config.reads_optional
        help_text = _OPTIONAL[name] if optional else _KINDS[kind] + (", one or more" if many else "")
        places.add_argument(
            _flag(name),
            dest=f"in_{name}",
            required=not optional,
            nargs="+" if many else None,
            metavar="PLACE",
            help=help_text,
        )
    places.add_argument("--output", required=True, metavar="PLACE", help=f"where the {config.writes} artifact goes")
    places.add_argument(
        "--work", metavar="PLACE", help="where unfinished work is kept for all stages (default: beside the output)"
    )
    group = parser.add_argument_group("settings")
    group.add_argument("--preset", choices=list(PRESETS), help="begin with the values of a preset")
    group.add_argument("--config", metavar="FILE", help="YAML or TOML file with settings by stage")
    for name, field in config.model_fields.items():
        _add_setting(group, name, field)


def example(stage: str, prog: str) -> str:
    """A command that works, for the help."""
    return f"example:\n  {prog} {_EXAMPLES[stage]}"


def run_stage(stage: str, arguments: argparse.Namespace) -> None:
    """Runs a stage as the flags say, and prints where its artifact lies."""
    from defensive_distillation.tracking.mlflow_runs import tracker

    config = _config(stage, arguments)
    inputs = {name: getattr(arguments, f"in_{name}") for name in config.reads}
    artifact = implementation(stage).run(
        config, **inputs, output=arguments.output, work=arguments.work, tracker=tracker()
    )
    print(f"{stage}: {artifact.manifest.kind} {artifact.digest[:12]} at {artifact.location}")


def implementation(stage: str) -> Any:
    """The module of a stage, which imports torch."""
    return importlib.import_module(f"defensive_distillation.stages.{stage}")


def main(stage: str, argv: Sequence[str] | None = None) -> typing.NoReturn:
    """`python -m defensive_distillation.stages.STAGE`."""
    prog = f"python -m defensive_distillation.stages.{stage}"
    parser = Parser(
        prog=prog,
        description=STAGES[stage].summary,
        epilog=example(stage, prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"defensive-distillation {__version__}")
    add_stage_arguments(parser, stage)
    with exits(stage):
        run_stage(stage, parser.parse_args(argv))
    raise SystemExit(0)


@contextlib.contextmanager
def exits(prog: str) -> Iterator[None]:
    """Ends the process with one line and the right code where an error is one that a user can act on."""
    try:
        yield
    except DefensiveDistillationError as error:
        print(f"{prog}: {first_line(error)}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt:
        print(f"{prog}: stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "out of memory" not in str(error):
            raise
        print(f"{prog}: out of memory; try a smaller batch size", file=sys.stderr)
        raise SystemExit(1) from error


def _config(stage: str, arguments: argparse.Namespace) -> StageConfig:
    values: dict[str, Any] = {}
    if arguments.preset or arguments.config:
        merged = settings.values(arguments.preset or "digits", arguments.config)
        unknown = sorted(set(merged) - set(ExperimentConfig.model_fields), key=str)
        if unknown:
            raise ConfigurationError(f"{arguments.config}: expected the name of a stage, got {unknown[0]!r}")
        values = dict(merged.get(stage, {}))
        if "seed" in merged:
            values["seed"] = merged["seed"]
    given = {name: value for name, value in vars(arguments).items() if name.startswith("set_") and value is not None}
    return stage_config(stage, {**values, **{name.removeprefix("set_"): value for name, value in given.items()}})


def _add_setting(group: Any, name: str, field: FieldInfo) -> None:
    default = "required" if field.is_required() else _shown(field.default)
    options: dict[str, Any] = {"dest": f"set_{name}", "default": None, "help": f"{field.description} ({default})"}
    options["help"] = options["help"].replace("%", "%%")
    if field.annotation is bool:
        group.add_argument(_flag(name), action=argparse.BooleanOptionalAction, **options)
    else:
        parse = functools.partial(settings.parse, field=field)
        group.add_argument(_flag(name), type=parse, metavar=_metavar(field.annotation), **options)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return "default " + ",".join(map(str, default))
    return f"default {default:g}" if isinstance(default, float) else f"default {default}"


def _metavar(annotation: Any) -> str:
    if typing.get_origin(annotation) is tuple:
        return "A,B"
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return {int: "N", float: "X", str: "TEXT"}.get(kinds[0], "VALUE")
