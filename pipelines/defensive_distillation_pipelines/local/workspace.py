"""Where runs on this machine leave what they make.

- mlflow.db, mlartifacts/: MLflow's store
- store/: the artifacts of all runs, as Kubeflow's runner lays them out
- cache/: Kubeflow's index of finished steps
- work/: checkpoints of unfinished ones; may be deleted at any time
- runs/RUN/: config.json, logs/, progress/, outbox/ (what MLflow has not been told yet) and, at the end, report/
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Manifest, storage
from defensive_distillation.config import SET_BY_SWEEP, ExperimentConfig, experiment
from defensive_distillation.errors import ArtifactError, InputError, StorageError


@dataclass(frozen=True)
class Stored:
    """An artifact of the store."""

    location: str
    manifest: Manifest
    digest: str


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

    def run(self, name: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self, name)

    def runs(self) -> list[str]:
        """The names of all runs, the latest last."""
        folders = [config.parent for config in (self.root / "runs").glob("*/config.json")]
        return [folder.name for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime)]

    def existing_run(self, name: str) -> RunFolder:
        """The folder of a run that was started here; 'latest' is the last one.

        Raises:
            InputError: if there is none of that name.
        """
        runs = self.runs()
        if name == "latest" and runs:
            return self.run(runs[-1])
        if name not in runs:
            known = ", ".join(runs) or "none; start one with defdistill run"
            raise InputError(f"run: expected a run of {self.root}, which has {known}; got {name!r}")
        return self.run(name)

    def stored(self) -> dict[str, Stored]:
        """All artifacts of the store by digest."""
        found = {}
        for path in sorted(self.store.rglob(artifacts.MANIFEST)):
            digest = artifacts.file_digest(path)
            found[digest] = Stored(str(path.parent), artifacts.read_manifest(str(path.parent)), digest)
        return found

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


@dataclass(frozen=True)
class RunFolder:
    """One run of the sweep."""

    workspace: Workspace
    name: str

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.workspace.root / "runs" / self.name

    @property
    def progress(self) -> Path:
        """What its steps say of themselves."""
        return self.path / "progress"

    @property
    def kubeflow_log(self) -> Path:
        """What Kubeflow's runner printed."""
        return self.path / "logs" / "kubeflow.log"

    @property
    def mlflow_log(self) -> Path:
        """What the process printed that tells MLflow."""
        return self.path / "logs" / "mlflow.log"

    @property
    def outbox(self) -> Path:
        """What its steps have recorded and MLflow has not been told yet."""
        return self.path / "outbox"

    @property
    def report(self) -> Path:
        """The report, once there is one."""
        return self.path / "report"

    def config(self) -> ExperimentConfig:
        """The settings that it was started with.

        Raises:
            InputError: if they cannot be read.
        """
        path = self.path / "config.json"
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected the settings of a run as JSON, got: {error}") from error
        return experiment(values)

    def begin(self, config: ExperimentConfig) -> None:
        """Makes its folder anew for an attempt; logs of earlier attempts stay.

        Raises:
            InputError: if a run of this name has other settings.
        """
        content = json.dumps(plain(config), indent=1) + "\n"
        settings = self.path / "config.json"
        if settings.exists() and settings.read_text() != content:
            raise InputError(f"--run: expected a new name, {self.name!r} is a run with other settings")
        shutil.rmtree(self.progress, ignore_errors=True)
        for folder in (self.progress, self.path / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        storage.write_bytes(str(settings), content.encode())  # a kill leaves no half of it

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run, so that no second process works at it.

        Raises:
            InputError: if one does.
            StorageError: if the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise StorageError(f"{self.path}: could not write: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(f"run {self.name}: another process is at work on it; wait for it or end it") from error
            yield

    def evaluations(self) -> list[Stored]:
        """The evaluations that its report was made from: the baseline's, the distilled networks', the controls'.

        Raises:
            InputError: if the run has no report yet.
        """
        if not artifacts.exists(str(self.report)):
            raise InputError(
                f"run {self.name}: expected a finished run, it has no report yet; the same "
                "'defdistill run' goes on with it"
            )
        manifest = artifacts.read_manifest(str(self.report))

        def order(stored: Stored) -> tuple[bool, bool, float]:
            evaluation = stored.manifest.facts["evaluation"]
            return evaluation["control"], evaluation["distilled"], evaluation["temperature"]

        return sorted(self._resolved(manifest.inputs["evaluations"], self.workspace.stored()), key=order)

    def lineage(self, label: str) -> dict[str, list[Stored]]:
        """The artifacts behind the model called `label`, by stage, several of attack.

        The undistilled model that samples were transferred from does not count.

        Raises:
            InputError: if the run has no such model.
        """
        evaluations = {stored.manifest.facts["evaluation"]["name"]: stored for stored in self.evaluations()}
        if label not in evaluations:
            raise InputError(f"--temperature: expected one of {', '.join(evaluations)}, got {label!r}")
        store = self.workspace.stored()
        found: dict[str, dict[str, Stored]] = {}
        waiting = [evaluations[label]]
        while waiting:
            stored = waiting.pop()
            found.setdefault(stored.manifest.stage, {})[stored.digest] = stored
            for name, digests in stored.manifest.inputs.items():
                if name != "surrogate":
                    waiting += self._resolved(digests, store)
        return {
            stage: sorted(several.values(), key=lambda stored: str(stored.manifest.config.get("attacks")))
            for stage, several in found.items()
        }

    def _resolved(self, digests: list[str], store: Mapping[str, Stored]) -> list[Stored]:
        missing = [digest for digest in digests if digest not in store]
        if missing:
            raise ArtifactError(
                f"run {self.name}: the artifact {missing[0][:12]} is no longer in {self.workspace.store}"
            )
        return [store[digest] for digest in digests]


def plain(config: ExperimentConfig) -> dict[str, object]:
    """The settings as they may be given again: without what the sweep sets itself."""
    values = config.model_dump(mode="json")
    for section in values.values():
        if isinstance(section, dict):
            section.pop("seed", None)
            for key in SET_BY_SWEEP:
                section.pop(key, None)
    return values


def default_name(config: ExperimentConfig) -> str:
    """The name of a run of these settings: the same settings find the same run again."""
    digest = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()
    return f"{config.name}-{digest[:6]}"
