"""Where runs on this machine leave what they make.

- mlflow.db, mlartifacts/: MLflow's store
- store/: the artifacts of all runs, as Kubeflow's runner lays them out
- cache/: Kubeflow's index of finished steps
- work/: checkpoints of unfinished ones; may be deleted at any time
- runs/RUN/: config.json, plan.json (its steps), logs/, progress/ and, at the end, report/; rerun/ the same of a rerun
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.errors import ArtifactError, InputError

_NO_PATH = ("%", "?", "#", "{{", *map(chr, range(32)), *map(chr, range(0xDC80, 0xDD00)))  # at last: what is no text

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
        """All artifacts of the store by digest; what cannot be read is left out, for another run may not need it."""
        return {one.digest: one for one in self._looked_at().values() if one is not None}

    def damaged(self) -> list[Path]:
        """What of the store cannot be read."""
        return [place for place, found in self._looked_at().items() if found is None]

    def _looked_at(self) -> dict[Path, Stored | None]:
        places = [path.parent for path in sorted(self.store.rglob(artifacts.MANIFEST))]
        return {place: _readable(place) for place in places if not place.name.startswith(".")}  # what a kill left

    def forget_damaged(self) -> None:
        """Removes what of Kubeflow's index cannot be read, which would end every run: those steps are run again."""
        for entry in self.cache.rglob("*.json"):
            if not _is_entry(entry):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

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
        if wrong := next((part for part in _NO_PATH if part in str(self.root.absolute())), None):
            raise InputError(
                f"--workspace: expected a path without {wrong!r}, which MLflow or Kubeflow would take for more than a "
                f"part of its name, got {self.root.absolute()}"
            )
        try:
            for folder in (self.store, self.cache, self.work, self.root / "runs"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--workspace: expected a folder that can be written, got {self.root}: {error}") from error


def removal(*places: Path) -> str:
    """The command that removes what is damaged."""
    return shlex.join(["rm", "-r", *map(str, places)])


def _readable(place: Path) -> Stored | None:
    try:
        return artifacts.stored(str(place))
    except ArtifactError:
        return None


def _is_entry(path: Path) -> bool:
    """Whether a file holds the outputs of a step as Kubeflow's index has them: artifacts by name, each somewhere."""
    try:
        outputs = json.loads(path.read_bytes())
        return all(isinstance(output["uri"], str) for output in outputs.values())
    except (OSError, ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return False
