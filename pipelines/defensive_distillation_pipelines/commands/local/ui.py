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
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: one that has just ended is gone
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"--port: expected one that is free, got {port}: {error.strerror}") from error


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(Path(arguments.workspace))
    if not workspace.runs():
        raise InputError(f"--workspace: expected a folder that defdistill run made, got {arguments.workspace}")
    uri = workspace.tracking_uri
    if uri.startswith(("http://", "https://")):
        print("the runs are tracked by the server that MLFLOW_TRACKING_URI names")
        return
    _require_free(arguments.port)
    # MLflow opens on another page; experiment 1 is the first that is made in a new database
    page = f"http://127.0.0.1:{arguments.port}/#/experiments/1/runs?workflowType=machine_learning"
    print(f"MLflow on {page}\nend it with Ctrl-C", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    os.execv(sys.executable, [*mlflow, "--port", str(arguments.port), "--workers", "1"])
