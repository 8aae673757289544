"""A stage as a command: flags and help from its configuration model, one line and an exit code for what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import importlib
import io
import os
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from defensive_distillation import __version__
from defensive_distillation.artifacts import Artifact
from defensive_distillation.config import STAGES, ExperimentConfig, StageConfig, loading, stage_config
from defensive_distillation.errors import ConfigurationError, DefensiveDistillationError, first_line

_SETTING = "set_"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and points to --help, instead of printing the usage; takes no shortened flag."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> typing.NoReturn:
        """Prints one line and exits with 2."""
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_stage_arguments(parser: argparse.ArgumentParser, stage: str) -> None:
    """Adds a flag for each artifact that the stage reads and writes, and for each of its settings."""
    config = STAGES[stage]
    places = parser.add_argument_group("artifacts: local paths or s3://bucket/prefix alike")
    for name, wanted in config.reads.items():
        places.add_argument(
            _flag(name),
            dest=f"in_{name}",
            required=not wanted.optional,
            nargs="+" if wanted.many else None,
            metavar="PLACE",
            help=wanted.help,
        )
    places.add_argument("--output", required=True, metavar="PLACE", help=f"where the {config.writes} artifact goes")
    places.add_argument(
        "--work", metavar="PLACE", help="where unfinished work is kept for all stages (default: beside the output)"
    )
    group = parser.add_argument_group("settings")
    group.add_argument("--preset", choices=loading.PRESETS, help="begin with the values of a preset")
    group.add_argument("--config", metavar="FILE", help="YAML or TOML file with settings by stage")
    _add_settings(group, config)


def example(stage: str, prog: str) -> str:
    """A command that works, for the help."""
    return f"example:\n  {prog} {STAGES[stage].example}"


def run_stage(stage: str, arguments: argparse.Namespace, *, quiet: bool = False) -> Artifact:
    """Runs a stage as the flags say, with a bar in a terminal unless `quiet`; what it made."""
    from defensive_distillation.tracking.connection import recorder

    config = _config(stage, arguments)
    inputs = {name: getattr(arguments, f"in_{name}") for name in config.reads}
    made: Artifact = implementation(stage).run(
        config, output=arguments.output, work=arguments.work, recorder=recorder(), bar=not quiet, **inputs
    )
    return made


def described(stage: str, made: Artifact) -> str:
    """What a stage made, and where it lies, in a line."""
    return f"{stage}: {made.manifest.kind} {made.digest[:12]} at {made.location}"


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
        print(described(stage, run_stage(stage, parser.parse_args(argv))))
    raise SystemExit(0)


@contextlib.contextmanager
def exits(prog: str) -> Iterator[None]:
    """Ends the process with one line and the right code where an error is one that a user can act on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale that has no word for it loses no run
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries again when it ends
        raise SystemExit(0) from None  # who read it has seen enough, as `head` has
    except OSError as error:
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"{prog}: standard output: could not write: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from error
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
        merged = loading.values(arguments.preset or "digits", arguments.config)
        unknown = sorted(set(merged) - set(ExperimentConfig.model_fields), key=str)
        if unknown:
            raise ConfigurationError(f"{arguments.config}: expected the name of a stage, got {unknown[0]!r}")
        values = dict(merged.get(stage, {}))
        if "seed" in merged:
            values["seed"] = merged["seed"]
    for name, value in vars(arguments).items():
        if name.startswith(_SETTING) and value is not None:
            values = loading.merged(values, loading.nested(name.removeprefix(_SETTING).split("."), value))
    config: StageConfig = stage_config(stage, values)
    return config


def _add_settings(group: Any, model: type[BaseModel], before: str = "") -> None:
    """A flag for each setting; those of a section begin with its name and a dot."""
    for name, field in model.model_fields.items():
        if section := loading.section(field):
            _add_settings(group, section, f"{before}{name}.")
        else:
            _add_setting(group, before + name, field)


def _add_setting(group: Any, name: str, field: FieldInfo) -> None:
    default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
    meaning = f"{loading.described(field)} ({default})".replace("%", "%%")
    options: dict[str, Any] = {"dest": _SETTING + name, "default": None, "help": meaning}
    if field.annotation is bool:
        group.add_argument(_flag(name), action=argparse.BooleanOptionalAction, **options)
    else:
        parse = functools.partial(loading.parse, field=field)
        group.add_argument(_flag(name), type=parse, metavar=_metavar(field.annotation), **options)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    return f"default {default:g}" if isinstance(default, float) else f"default {'none' if default == '' else default}"


def _metavar(annotation: Any) -> str:
    if typing.get_origin(annotation) is tuple:
        return "A,B"
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return {int: "N", float: "X", str: "TEXT"}.get(kinds[0], "VALUE")
