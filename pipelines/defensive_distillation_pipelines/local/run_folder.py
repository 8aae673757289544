"""One run of a workspace: its folder, its settings, and the artifacts behind its report."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from defensive_distillation import artifacts, provenance
from defensive_distillation.artifacts import Manifest, Stored, storage
from defensive_distillation.config import ExperimentConfig, experiment, plain
from defensive_distillation.errors import ArtifactError, InputError, StorageError, first_line
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.status import statuses
from defensive_distillation_pipelines.local.workspace import LOOK, Workspace, is_held, removal

_COMMAND = "command.txt"
LATEST = "latest"  # what the run that was started last is called


@dataclass(frozen=True)
class RunFolder:
    """One run of the sweep."""

    workspace: Workspace
    name: str
    below: str = ""  # the folder in it of what is done beside the sweep

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.workspace.root / "runs" / self.name / self.below

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
        """What the process printed that records the run in MLflow."""
        return self.path / "logs" / "mlflow.log"

    @property
    def plan(self) -> Path:
        """The steps of the pipeline that runs, as JSON."""
        return self.path / "plan.json"

    @property
    def kept_places(self) -> Path:
        """What its last start found done: the place of an artifact in the store a line."""
        return self.path / "kept.txt"

    def kept(self) -> dict[str, Manifest]:
        """What its last start found done, by its place, as far as it is still there."""
        places = self.kept_places.read_text().splitlines() if self.kept_places.exists() else []
        found = [str(self.workspace.store / place) for place in places]
        return {place: artifacts.read_manifest(place) for place in found if artifacts.exists(place)}

    @property
    def made_digests(self) -> Path:
        """The artifacts that its earlier starts and reruns have made: a digest a line."""
        return self.path / "made.txt"

    @property
    def failure(self) -> Path:
        """Why its last start failed, if it did."""
        return self.path / "failure.txt"

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
            values = json.loads(path.read_bytes())
            if not isinstance(values, dict):
                raise InputError(f"{type(values).__name__}, no object")
            return experiment(values)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: expected the settings of a run as JSON, got: {first_line(error)}; "
                f"{removal(self.path)} removes the run, and what it has made stays in the store"
            ) from error

    def begin(self, config: ExperimentConfig) -> None:
        """Makes its folder anew for an attempt; logs of earlier attempts stay.

        Raises:
            InputError: if a run of this name has other settings.
        """
        content = json.dumps(plain(config), indent=1) + "\n"
        settings = self.path / "config.json"
        if settings.exists() and plain(self.config()) != plain(config):
            raise InputError(f"--run: expected a new name, {self.name!r} is a run with other settings")
        self.clear()
        storage.write_bytes(str(self.path / _COMMAND), provenance.command().encode())
        storage.write_bytes(str(settings), content.encode())  # a kill leaves no half of it

    @property
    def command(self) -> str:
        """By which it was started last, '' where nobody knows."""
        path = self.path / _COMMAND
        return path.read_text(errors="replace") if path.is_file() else ""

    def clear(self) -> None:
        """Forgets what the steps of the last start said, but for what they have made."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.made_digests.open("a") as made:
            made.writelines(f"{digest}\n" for digest in self._told())
        for file in (self.failure, self.kept_places):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.progress, ignore_errors=True)
        for folder in (self.progress, self.path / "logs"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def again(self) -> RunFolder:
        """Where its stages are run again: what stands of the sweep stays as it is."""
        return replace(self, below="rerun")

    def own(self) -> set[str]:
        """Digests of its report and of all that it made itself, also in starts that did not end and in reruns."""
        made = set(self._told())
        if self.made_digests.exists():
            made |= set(self.made_digests.read_text().split())
        if artifacts.exists(str(self.report)):
            made.add(artifacts.stored(str(self.report)).digest)
        return made | (set() if self.below else self.again.own())

    def _told(self) -> list[str]:
        """Digests of what the steps of its last start have made, as far as it is still there."""
        store = self.workspace.store
        places = [status.artifact for status in statuses(self.progress).values() if status.artifact]
        moved = [str(store / place.rpartition(f"/{store.name}/")[2]) for place in places]
        return [artifacts.stored(place).digest for place in moved if artifacts.exists(place)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run, so that no second process works at it.

        Raises:
            InputError: if one does.
            StorageError: if the folder cannot be made.
        """
        self.workspace.require_kept()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock", timeout=LOOK):
                self.workspace.require_kept()  # from here on who cleans sees this lock
                yield
        except Timeout as error:
            raise InputError(f"run {self.name}: another process is at work on it; wait for it or end it") from error
        except OSError as error:
            raise StorageError(f"{error.filename or self.path}: could not write: {error.strerror or error}") from error

    @property
    def running(self) -> bool:
        """Whether a process is at work on it."""
        return is_held(self.path / ".lock")

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

        return sorted(
            self._resolved(manifest.inputs["evaluations"], self.workspace.stored()),
            key=lambda stored: model_of(stored).order,
        )

    def lineage(self, label: str) -> dict[str, list[Stored]]:
        """The artifacts behind the model called `label`, by stage, several of attack.

        The undistilled model that samples were transferred from does not count, nor do these samples.

        Raises:
            InputError: if the run has no such model.
        """
        evaluations = {model_of(stored).label: stored for stored in self.evaluations()}
        if label not in evaluations:
            raise InputError(f"--model: expected one of {', '.join(evaluations)}, got {label!r}")
        by_stage: dict[str, list[Stored]] = {}
        for stored in self._behind(evaluations[label], without=("surrogate", "crafted")):
            by_stage.setdefault(stored.manifest.stage, []).append(stored)
        return {
            stage: sorted(several, key=lambda stored: str(stored.manifest.config.get("attacks")))
            for stage, several in by_stage.items()
        }

    def made(self, report: str) -> list[Stored]:
        """The report at this location and all artifacts behind it, each after those that it was made from."""
        return self._behind(artifacts.stored(report))

    def _behind(self, last: Stored, *, without: Sequence[str] = ()) -> list[Stored]:
        store = self.workspace.stored()
        by_digest: dict[str, Stored] = {}

        def visit(stored: Stored) -> None:
            for name, digests in stored.manifest.inputs.items():
                if name not in without:
                    for one in self._resolved(digests, store):
                        if one.digest not in by_digest:
                            visit(one)
            by_digest[stored.digest] = stored

        visit(last)
        return list(by_digest.values())

    def _resolved(self, digests: list[str], store: Mapping[str, Stored]) -> list[Stored]:
        missing = [digest for digest in digests if digest not in store]
        if missing:
            damaged = self.workspace.damaged()
            raise ArtifactError(
                f"run {self.name}: the artifact {missing[0][:12]} is no longer in {self.workspace.store}"
                + (
                    f", or damaged: {removal(*damaged)} removes what is, and 'defdistill run' then"
                    if damaged
                    else "; the same 'defdistill run'"
                )
                + " makes it again"
            )
        return [store[digest] for digest in digests]


def model_of(stored: Stored) -> ModelId:
    """The network that an artifact is, or belongs to."""
    return ModelId.required(stored.manifest.facts, stored.location)


def existing_run(workspace: Workspace, name: str) -> RunFolder:
    """The folder of a run that was started here, by its name or the beginning of it; 'latest' is the last one.

    Raises:
        InputError: if there is none of that name, or several begin so.
    """
    runs = workspace.runs()
    if name == LATEST and runs:
        return RunFolder(workspace, runs[-1])
    near = [run for run in runs if name and run.startswith(name)]
    if len(near) > 1 and name not in near:
        raise InputError(f"run: expected the beginning of one run, got {name!r}, of {', '.join(near)}")
    if not near:
        known = ", ".join(runs) or "none; start one with defdistill run"
        raise InputError(f"run: expected a run of {workspace.root}, which has {known}; got {name!r}")
    return RunFolder(workspace, name if name in near else near[0])


def default_name(config: ExperimentConfig) -> str:
    """The name of a run of these settings: the same settings find the same run again."""
    digest = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()
    return f"{config.name}-{digest[:6]}"
