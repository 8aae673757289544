"""defdistill compile: the sweep for a cluster."""

from __future__ import annotations

import argparse
import json
from typing import Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.parser import add_settings, command, settings_of


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "compile",
        _call,
        "Compile the sweep for a cluster with Kubeflow Pipelines.",
        "  defdistill compile -o sweep.yaml\n"
        "  defdistill compile --preset mnist -o mnist.yaml --resources attack.gpu_count=2 --work s3://bucket/work\n"
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
    parser.add_argument(
        "--work", default="", metavar="PLACE", help="s3:// prefix for unfinished work, so that a killed step goes on"
    )
    add_settings(parser)


def _call(arguments: argparse.Namespace) -> None:
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
    pipeline = sweep(settings_of(arguments), resources=resources(changes), work=arguments.work)
    storage.write_bytes(arguments.output, compiled(pipeline).encode())
    print(f"compiled to {arguments.output}")


def _json(assignment: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--resources: expected JSON after '=', got {assignment!r}: {error}") from error
