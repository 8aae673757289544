"""The command `defdistill`. It imports what a command needs when that command runs, so that --help is quick."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from defensive_distillation import __version__
from defensive_distillation.config import PRESETS, STAGES
from defensive_distillation.errors import ConfigurationError, InputError
from defensive_distillation.runtime.command import Parser, add_stage_arguments, example, exits, run_stage

WORKSPACE = "workspace"
_RAW = argparse.RawDescriptionHelpFormatter
_DESCRIPTION = """Defensive distillation, and the attacks that judge it.

Trains a network at several softmax temperatures, distils it, attacks it with JSMA, and writes what was found: the
paper's figures, and whether the defense hides gradients or removes adversarial samples.
"""
_EXAMPLES = """examples:
  defdistill run                                  the sweep on handwritten digits, in minutes on a laptop
  defdistill run --preset mnist --data-root data  the paper's MNIST sweep
  defdistill ui                                   compare its models in MLflow
  defdistill compile -o sweep.yaml                the same pipeline for a cluster
  defdistill rerun attack --run RUN --temperature 20 --set max_features=50
  defdistill stage attack --help                  one stage alone
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with 2 for bad input and 1 for faults from outside."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        raise SystemExit(2)
    with exits("defdistill"):
        arguments.call(arguments)


def _parser() -> Parser:
    parser = Parser(prog="defdistill", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=_RAW)
    parser.add_argument("--version", action="version", version=f"defensive-distillation {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    _add_run(commands)
    _add_compile(commands)
    _add_rerun(commands)
    _add_stage(commands)
    _add_report(commands)
    _add_times(commands)
    _add_ui(commands)
    return parser


def _command(commands: Any, name: str, call: Any, summary: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=f"examples:\n{examples}", formatter_class=_RAW
    )
    parser.set_defaults(call=call)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings, the later over the earlier")
    group.add_argument("--preset", default="digits", metavar="NAME", help=f"one of {', '.join(PRESETS)} (digits)")
    group.add_argument("--config", metavar="FILE", help="YAML or TOML file with settings by stage")
    group.add_argument("--data-root", metavar="FOLDER", help="holds MNIST or CIFAR-10: nothing is downloaded")
    group.add_argument("--temperatures", metavar="T,T,…", help="temperatures of the sweep")
    group.add_argument("--seed", metavar="N", help="seed of the experiment")
    group.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="STAGE.KEY=VALUE",
        help="one setting; train.KEY means teacher and student; may be repeated",
    )


def _experiment(arguments: argparse.Namespace) -> Any:
    from defensive_distillation.config import experiment
    from defensive_distillation.config import loading as settings

    assignments = list(arguments.assignments)
    if arguments.data_root is not None:
        assignments.append(f"prepare_data.data_root={Path(arguments.data_root).absolute()}")
    values = settings.values(arguments.preset, arguments.config, assignments)
    if arguments.temperatures is not None:
        values["temperatures"] = [part.strip() for part in arguments.temperatures.split(",") if part.strip()]
    if arguments.seed is not None:
        values["seed"] = arguments.seed
    return experiment(values)


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace", default=WORKSPACE, metavar="FOLDER", help=f"of all runs here ({WORKSPACE})")


def _add_run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        _run,
        "Run the sweep on this machine, or go on with it after a kill.",
        "  defdistill run\n"
        "  defdistill run --preset mnist --data-root data --temperatures 1,20 --set prepare_data.train_limit=10000\n"
        "  defdistill run --config my.yaml --set train.epochs=12 --set attack.sources=20 --run first-try",
    )
    _add_workspace(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run (made from the settings)")
    _add_settings(parser)


def _run(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import run_sweep
    from defensive_distillation_pipelines.local.workspace import Workspace

    print(run_sweep(Workspace(Path(arguments.workspace)), _experiment(arguments), arguments.run, _program()))


def _program() -> str:
    """The command as it was called, for a line to copy."""
    program = Path(sys.argv[0])
    return os.path.relpath(program) if program.name == "defdistill" and program.exists() else "defdistill"


def _add_compile(commands: Any) -> None:
    parser = _command(
        commands,
        "compile",
        _compile,
        "Compile the sweep for a cluster with Kubeflow Pipelines.",
        "  defdistill compile -o sweep.yaml\n"
        "  defdistill compile --preset mnist -o mnist.yaml --resources attack.gpu_count=2\n"
        "  DEFDISTILL_IMAGE=registry.example/defensive-distillation:1 defdistill compile -o sweep.yaml",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the compiled pipeline, YAML")
    parser.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="STAGE.KEY=VALUE",
        help="gpu_type, gpu_count, cpu, memory, node_selector, tolerations, retries or cache; may be repeated",
    )
    _add_settings(parser)


def _compile(arguments: argparse.Namespace) -> None:
    from defensive_distillation.artifacts import storage
    from defensive_distillation_pipelines.definitions.resources import resources
    from defensive_distillation_pipelines.definitions.sweep import compiled, sweep

    changes: dict[str, dict[str, Any]] = {}
    for assignment in arguments.resources:
        key, equals, value = assignment.partition("=")
        stage, dot, name = key.partition(".")
        if not equals or not dot:
            raise ConfigurationError(f"--resources: expected STAGE.KEY=VALUE, got {assignment!r}")
        changes.setdefault(stage, {})[name] = _json(assignment, value) if value[:1] in ("[", "{") else value
    text = compiled(sweep(_experiment(arguments), resources=resources(changes)))
    storage.write_bytes(arguments.output, text.encode())
    print(f"compiled to {arguments.output}")


def _json(assignment: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--resources: expected JSON after '=', got {assignment!r}: {error}") from error


def _add_rerun(commands: Any) -> None:
    parser = _command(
        commands,
        "rerun",
        _rerun,
        "Run one stage of a finished run again, with changed settings if asked; the run stays as it was.",
        "  defdistill rerun attack --run digits-1a2b3c --temperature 20 --set max_features=50\n"
        "  defdistill rerun train_student --run digits-1a2b3c --temperature 5 --set epochs=60\n"
        "  defdistill rerun attack --run digits-1a2b3c --temperature control:20 --set attacks=cw_l2",
    )
    parser.add_argument("stage", metavar="STAGE", help=f"one of {', '.join(STAGES)}")
    parser.add_argument("--run", required=True, metavar="RUN", help="the earlier run; 'latest' is the last one")
    parser.add_argument(
        "--temperature", metavar="T", help="the model: a temperature of the sweep, control:T, or baseline"
    )
    parser.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE", help="a setting of the stage"
    )
    _add_workspace(parser)


def _rerun(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import rerun_stage
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(Path(arguments.workspace))
    print(rerun_stage(workspace, arguments.stage, arguments.run, arguments.temperature, arguments.assignments))


def _add_stage(commands: Any) -> None:
    parser = _command(
        commands,
        "stage",
        _stage,
        "Run one stage alone, on artifacts at local paths or s3:// URIs.",
        "\n".join(example(stage, f"defdistill stage {stage}").partition("\n")[2] for stage in STAGES),
    )
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True, parser_class=Parser)
    for stage, config in STAGES.items():
        prog = f"defdistill stage {stage}"
        one = stages.add_parser(
            stage, help=config.summary, description=config.summary, epilog=example(stage, prog), formatter_class=_RAW
        )
        add_stage_arguments(one, stage)


def _stage(arguments: argparse.Namespace) -> None:
    run_stage(arguments.stage, arguments)


def _add_report(commands: Any) -> None:
    parser = _command(
        commands,
        "report",
        _report,
        "Show the table of a finished run, and write its report again.",
        "  defdistill report digits-1a2b3c\n  defdistill report digits-1a2b3c -o for-my-colleague",
    )
    parser.add_argument("run", metavar="RUN", help="the run; 'latest' is the last one")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="write the report there, too")
    _add_workspace(parser)


def _report(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import show_report
    from defensive_distillation_pipelines.local.workspace import Workspace

    print(show_report(Workspace(Path(arguments.workspace)), arguments.run, arguments.output))


def _add_times(commands: Any) -> None:
    parser = _command(
        commands,
        "times",
        _times,
        "Show where the time of a run went, step by step: imports, reading, computing, writing, MLflow.",
        "  defdistill times latest\n  defdistill times digits-1a2b3c",
    )
    parser.add_argument("run", metavar="RUN", help="the run; 'latest' is the last one")
    _add_workspace(parser)


def _times(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.times import times
    from defensive_distillation_pipelines.local.workspace import Workspace

    print(times(Workspace(Path(arguments.workspace)).existing_run(arguments.run)))


def _add_ui(commands: Any) -> None:
    parser = _command(
        commands,
        "ui",
        _ui,
        "Open the MLflow UI on the runs of a workspace.",
        "  defdistill ui\n  defdistill ui --workspace elsewhere --port 8080",
    )
    parser.add_argument("--port", type=_port, default=5000, metavar="N", help="port on this machine (5000)")
    _add_workspace(parser)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _ui(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(Path(arguments.workspace))
    if not workspace.runs():
        raise InputError(f"--workspace: expected a folder that defdistill run made, got {arguments.workspace}")
    uri = workspace.tracking_uri
    if uri.startswith(("http://", "https://")):
        print("the runs are tracked by the server that MLFLOW_TRACKING_URI names")
        return
    # MLflow opens on another page; experiment 1 is the first that is made in a new database
    page = f"http://127.0.0.1:{arguments.port}/#/experiments/1/runs?workflowType=machine_learning"
    print(f"MLflow on {page}\nend it with Ctrl-C", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    os.execv(sys.executable, [*command, "--port", str(arguments.port), "--workers", "1"])


if __name__ == "__main__":
    main()
