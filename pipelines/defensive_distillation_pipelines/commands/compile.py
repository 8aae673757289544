"""defdistill compile: the sweep for a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from defensive_distillation_pipelines.commands.parser import add_cluster, add_settings, command, package_of


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "compile",
        _call,
        "Compile the sweep for Kubeflow Pipelines 2.16 or later, and say how large its workflow will be.",
        "  defdistill compile -o sweep.yaml\n"
        "  defdistill compile --preset mnist -o mnist.yaml --resources attack.gpu_count=2 --work s3://bucket/work\n"
        "  defdistill compile -o sweep.yaml --profile cpu --resources resources.yaml --resources queue=team-a\n"
        "  DEFDISTILL_IMAGE=registry.example/defensive-distillation:1 defdistill compile -o sweep.yaml",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the compiled pipeline, YAML")
    add_cluster(parser)
    add_settings(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation.artifacts import storage
    from defensive_distillation_pipelines.definitions.size import size_of

    package = package_of(arguments)
    storage.write_bytes(arguments.output, package.text.encode())
    print(f"compiled to {arguments.output}: {size_of(package)}")
