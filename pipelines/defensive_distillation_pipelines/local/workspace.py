"""Where runs on this machine leave what they make.

- mlflow.db, mlartifacts/: MLflow's store
- store/: the artifacts of all runs, as Kubeflow's runner lays them out
- cache/: Kubeflow's index of finished steps
- work/: checkpoints of unfinished ones; may be deleted at any time
- runs/RUN/: config.json, plan.json (its steps), logs/, progress/ and, at the end, report/; rerun/ the same of a rerun
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.errors import InputError

LOOK = 0.5  # seconds to wait for a lock: who only looks whether it is held lets go of it at once


def is_held(lock: Path) -> bool:
    """Whether a process holds this lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # a workspace that only others may write
        return False


@dataclass(frozen=True)
class Workspace:
    """The folders of a workspace."""

    root: Path

    @property
    def store(self) -> Path:
        """The artifacts of all runs."""
        return self.root / "store"

    @property
    def cache(self) -> Path:
        """Kubeflow's index of finished steps."""
        return self.root / "cache"

    @property
    def work(self) -> Path:
        """Checkpoints and parts of unfinished steps."""
        return self.root / "work"

    @property
    def tracking_uri(self) -> str:
        """MLflow's database: the usual variable, or SQLite in the workspace."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root.absolute()}/mlflow.db"

    def runs(self) -> list[str]:
        """The names of all runs, the one that was started last at the end."""
        settings = (self.root / "runs").glob("*/config.json")  # each start writes them
        return [path.parent.name for path in sorted(settings, key=lambda path: (path.stat().st_mtime_ns, path))]

    def stored(self) -> dict[str, Stored]:
        """All artifacts of the store by digest."""
        found = [artifacts.stored(str(path.parent)) for path in sorted(self.store.rglob(artifacts.MANIFEST))]
        return {one.digest: one for one in found}

    @property
    def cleaning(self) -> Path:
        """The lock of `defdistill clean`."""
        return self.root / ".cleaning"

    def require_kept(self) -> None:
        """Fails while what is no longer needed is removed.

        Raises:
            InputError: if it is.
        """
        if is_held(self.cleaning):
            raise InputError(f"--workspace: {self.root} is being cleaned; start again when that has ended")

    def create(self) -> None:
        """Makes the folders.

        Raises:
            InputError: if they cannot be made.
        """
        try:
            for folder in (self.store, self.cache, self.work, self.root / "runs"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--workspace: expected a folder that can be written, got {self.root}: {error}") from error
