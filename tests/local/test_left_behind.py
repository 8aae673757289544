"""What a failed or a finished run leaves: no password, token or user of an address, and nothing in /tmp."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import mlflow_server

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

SECRET = b"sesame"
SMALL = (
    *("--defenses", "none", "--set", "prepare_data.train_limit=60", "--set", "prepare_data.test_limit=20"),
    *("--set", "train.epochs=1", "--set", "train.minimum_progress=0", "--set", "attacks=noise"),
    *("--set", "control_attacks=noise", "--set", "attack.bounded.samples=2"),
)


def run(workspace: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "run", "--workspace", str(workspace)]
    return subprocess.run(
        [*command, *SMALL, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=400,
        check=False,
    )


def test_no_secret_stands_in_what_runs_leave_and_nothing_else_stays(
    tmp_path: Path,
) -> None:
    workspace = tmp_path / "workspace"
    with mlflow_server.running(tmp_path / "mlflow") as server:
        environment = {
            "MLFLOW_TRACKING_URI": server.replace("://", "://me:sesame@"),
            "AWS_ENDPOINT_URL": "http://me:sesame@127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "open-sesame",
            "TMPDIR": str(tmp_path / "temporary"),
        }
        (tmp_path / "temporary").mkdir()
        failed = run(workspace, environment, "--set", "prepare_data.source=s3://bucket/photos.zip")
        finished = run(workspace, environment)
    assert (failed.returncode, finished.returncode) == (1, 0), failed.stderr + finished.stderr
    assert "127.0.0.1:9" in failed.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [
        path for path in (workspace / "work").rglob("*") if path.is_file()
    ] == []  # finished work leaves none behind
    left = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    assert len(left) > 20
    left |= {Path("said"): "".join((failed.stdout, failed.stderr, finished.stdout, finished.stderr)).encode()}
    left |= {path: path.read_bytes() for path in (tmp_path / "mlflow").rglob("*") if path.is_file()}
    assert [path for path, content in left.items() if SECRET in content] == []
