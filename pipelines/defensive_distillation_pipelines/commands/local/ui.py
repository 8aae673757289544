"""defdistill ui: MLflow's pages on the runs of a workspace."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Any

from defensive_distillation.errors import InputError
from defensive_distillation_pipelines.commands.parser import add_workspace, command

HOST = "127.0.0.1"


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "ui",
        _call,
        "Open the MLflow UI on the runs of a workspace.",
        "  defdistill ui\n  defdistill ui --workspace elsewhere --port 8080",
    )
    parser.add_argument("--port", type=_port, default=5000, metavar="N", help="port on this machine (5000)")
    add_workspace(parser)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def _require_free(port: int) -> None:
    """Raises an InputError where another program listens: MLflow's server would say so in ten lines, and succeed."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: one that just ended is no other
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"--port: expected a free port, got {port}: {error.strerror}; choose another with --port"
            ) from error


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation.tracking import database
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(Path(arguments.workspace))
    if not workspace.runs():
        raise InputError(f"--workspace: expected a folder that defdistill run made, got {arguments.workspace}")
    uri = workspace.tracking_uri
    if uri.startswith(("http://", "https://")):
        print("the runs are tracked by the server that MLFLOW_TRACKING_URI names")
        return
    _require_free(arguments.port)
    page = f"http://{HOST}:{arguments.port}"
    print(f"MLflow on {page}{_views(page, uri)}\nend it with Ctrl-C", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # it may hold a password: no argument, which everybody can read
    os.environ["MLFLOW_ARTIFACTS_DESTINATION"] = str((workspace.root / database.FILES).absolute())
    os.chdir(workspace.root)  # what MLflow writes below the current folder belongs to the workspace, too
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(arguments.port)]
    os.execv(sys.executable, [*command, "--workers", "1"])


def _views(page: str, uri: str) -> str:
    """The address of the page that shows sweeps by temperature, and a line for the one of networks side by side."""
    from defensive_distillation.tracking import database
    from defensive_distillation.tracking.client import EXPERIMENT
    from defensive_distillation.tracking.views import NETWORKS, SWEEPS, address

    place = database.place_of(uri)
    if place is None:
        return ""
    database.prepare(place)
    experiment = database.experiment_id(place, os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    if experiment is None:
        return ""
    return f"{address(experiment, SWEEPS)}\nnetworks: {page}{address(experiment, NETWORKS)}"
