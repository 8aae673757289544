"""The recording process of a local run: takes to MLflow what its steps have finished, while they run.

`python -m defensive_distillation.tracking.follow RUN_NAME RUN_DIR [--rerun NAME]` is one process for all steps, so that
they need no MLflow, which takes four seconds of a processor to import, and only one process writes its database, which
MLFLOW_TRACKING_URI names: an argument, which may hold a password, is for everybody to read.
It prints the id of the sweep's run as its first line. Then it records, until its standard input ends, what the
progress files in RUN_DIR tell of. Lines of the standard input are locations of more artifacts, such as those that
Kubeflow's cache held, which are recorded at the end; or the word FAILED, which then marks the sweep's run as failed.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from defensive_distillation import artifacts
from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation.tracking import INTERVAL
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.ending import close, is_open, reopen
from defensive_distillation.tracking.records import epochs, failed, record
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation.tracking.status import FAILED, KILLED, STOPPED, statuses

POLL = 0.3  # seconds between two looks at the progress


class Follower:
    """Records what the steps of a run have made, each artifact once."""

    def __init__(self, tree: RunTree, run_dir: Path) -> None:
        """`run_dir` is the folder that the steps write their progress below."""
        self._tree = tree
        self._progress = run_dir / "progress"
        self._recorded: set[str] = set()  # locations
        self._told: dict[str, float] = {}  # when the epochs of a running training were recorded last
        self._failed: set[str] = set()  # tasks

    def look(self) -> None:
        """Records what steps have left, and the epochs of trainings that run or have failed."""
        for task, status in statuses(self._progress).items():
            if status.artifact:  # a gate has one also where it failed
                # one that was there already has no epochs to tell of
                self.record(status.artifact, status.seconds.get("computing") if status.history else None)
            elif status.history and status.model:
                now = time.monotonic()
                if now - self._told.get(task, -INTERVAL) >= INTERVAL:
                    epochs(self._tree, status.model, status.history)
                    self._told[task] = now
            if status.state == "failed" and task not in self._failed:
                failed(self._tree, status.model, status.message)
                self._failed.add(task)

    def record(self, location: str, seconds: float | None = None) -> None:
        """Records an artifact, and how long a training took, unless that was done before."""
        if location not in self._recorded:
            with artifacts.opened(location, artifacts.read_manifest(location).kind) as artifact:
                record(self._tree, artifact, seconds=seconds)
            self._recorded.add(location)

    def end(self, lines: Sequence[str]) -> None:
        """Records what is left when the run has ended, and ends what is open: it failed, or was stopped."""
        self._told.clear()
        self.look()
        for line in lines:
            if line != FAILED:
                self.record(line)
        if FAILED in lines:
            close(self._tree, FAILED, "")
        elif is_open(self._tree):
            close(self._tree, KILLED, STOPPED)


def follow(uri: str, run_name: str, run_dir: Path, *, rerun: str = "") -> None:
    """Records a run until the standard input ends.

    Raises:
        TrackingError: if the server does not answer.
        ArtifactError: if an artifact is damaged or gone.
    """
    tree = RunTree(uri, run_name, rerun=rerun, alone=True)
    reopen(tree)
    print(tree.parent_id, flush=True)
    follower, content = Follower(tree, run_dir), b""
    while True:
        if select.select([sys.stdin], [], [], POLL)[0]:
            more = os.read(sys.stdin.fileno(), 65536)
            if not more:
                break
            content += more
        else:
            follower.look()
    follower.end(content.decode().splitlines())


def main() -> None:
    """The command; an error is one line, and the process ends with its exit code."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Record a local run in MLflow until the standard input ends."
    )
    parser.add_argument("run_name")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--rerun", default="")
    arguments = parser.parse_args()
    try:
        follow(tracking_uri(), **vars(arguments))
    except DefensiveDistillationError as error:
        print(first_line(error), file=sys.stderr)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
