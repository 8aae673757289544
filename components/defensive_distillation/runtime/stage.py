"""What happens around every stage: inputs are opened and checked, finished work is recognised, results are committed.

A stage is told apart by its fingerprint: its code, its configuration, the digests of its inputs, and the versions and
the kind of device that it computes with. Work in progress lies in `<work>/<fingerprint>/`; a stage that was killed
finds it there and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact, facts, storage
from defensive_distillation.config import StageConfig
from defensive_distillation.errors import (
    ArtifactError,
    ConfigurationError,
    DefensiveDistillationError,
    InputError,
    first_line,
)
from defensive_distillation.model_id import ModelId
from defensive_distillation.runtime.code_version import code_digest
from defensive_distillation.runtime.environment import environment
from defensive_distillation.runtime.progress import Progress
from defensive_distillation.runtime.stopwatch import phase, running, timed
from defensive_distillation.runtime.unfinished import beside, clear, note
from defensive_distillation.tracking import Recorder

Places = Mapping[str, str | Sequence[str] | None]  # of a stage's inputs, by their names
C = TypeVar("C", bound=StageConfig)
R = TypeVar("R")


@dataclass(frozen=True)
class Work:
    """A stage's unfinished work: whole files by name, in a folder or on S3."""

    location: str

    @timed("reading")
    def read(self, name: str) -> bytes | None:
        """The content of a file, or None."""
        path = storage.join(self.location, name)
        return storage.read_bytes(path) if storage.exists(path) else None

    @timed("writing")
    def write(self, name: str, content: bytes) -> None:
        """Puts a file there, whole or not at all."""
        note(self.location)
        storage.write_bytes(storage.join(self.location, name), content)


@dataclass(frozen=True)
class Task(Generic[C]):
    """What a stage's computation is given."""

    config: C
    inputs: Mapping[str, Sequence[Artifact]]
    work: Work
    progress: Progress
    model: ModelId | None  # that it works for, None for the sweep as a whole
    recorder: Recorder | None

    def input(self, name: str) -> Artifact:
        """The one artifact called `name`."""
        return self.inputs[name][0]

    def read(self, reader: Callable[..., R], *arguments: Any) -> R:
        """What `reader` makes of its arguments, in time that counts as reading."""
        with phase("reading"):
            return reader(*arguments)


@dataclass(frozen=True)
class Result:
    """What a computation found, ready to be written."""

    facts: Mapping[str, Any]
    write_files: Callable[[Path], None]


def _nothing_more(config: StageConfig, given: Places) -> AbstractContextManager[Places]:
    """Functions, since a stage goes to other processes, and a lambda cannot."""
    return nullcontext({})


def _as_given(config: Any) -> Any:
    return config


def _any_will_do(artifact: Artifact) -> None:
    pass


@dataclass(frozen=True)
class Stage(Generic[C]):
    """A stage: what its configuration states of it, and what computes its result.

    Attributes:
        config_type: its configuration.
        compute: its result.
        found: inputs that it finds itself where none are given, such as a champion; they decide its identity as all do.
        require: raises what is wrong with a result, once that has been written and recorded.
        settled: its configuration with what decides the result in place of what merely names it, such as an alias.
        code: digest of its code.
    """

    config_type: type[C]
    compute: Callable[[Task[C]], Result]
    found: Callable[[C, Places], AbstractContextManager[Places]] = _nothing_more
    require: Callable[[Artifact], None] = _any_will_do
    settled: Callable[[C], C] = _as_given
    code: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", code_digest(self.config_type.stage))

    def run(
        self,
        config: C,
        *,
        output: str,
        work: str | None = None,
        code: str = "",
        recorder: Recorder | None = None,
        bar: bool = True,
        **inputs: str | Sequence[str] | None,
    ) -> Artifact:
        """Runs the stage, or finds that its result is there already.

        Args:
            config: its configuration.
            output: where its artifact goes: a path or s3:// URI.
            work: where unfinished work is kept, for all stages; beside the output without it, and gone at the end.
            code: the code digest that the caller counts on; '' takes any.
            recorder: records the stage in MLflow.
            bar: whether to show one where there is a terminal.
            inputs: locations of the artifacts that it reads, by the names in `config.reads`; a list for an input that
                takes several, None for one that is left out.

        Raises:
            DefensiveDistillationError: whatever went wrong, in one line.
        """
        name = self.config_type.stage
        if code and code != self.code:
            raise ConfigurationError(f"{name}: expected code version {code}, this installation has {self.code}")
        with ExitStack() as stack:
            clock = stack.enter_context(running())
            with clock.phase("reading"):
                config = self.settled(config)
                given = {**inputs, **stack.enter_context(self.found(config, inputs))}
                opened = {
                    key: [stack.enter_context(artifacts.opened(place, config.reads[key].kind)) for place in places]
                    for key, places in located(config, given).items()
                }
            _require_usable(opened)
            made_from = _Origin(self, config, opened)
            unfinished = work or beside(output)
            place = Work(storage.join(unfinished, made_from.fingerprint[:32]))
            model = config.works_for(
                {key: ModelId.of(several[0].facts, several[0].location) for key, several in opened.items()}
            )
            progress = Progress(name, model, config.part, bar=bar)
            task = Task(config, opened, place, progress, model, recorder)
            progress.started()
            try:
                artifact = finished(output, made_from.fingerprint)
                found = artifact is not None
                if artifact is None:
                    artifacts.writable(output)
                    result = self.compute(task)
                    with clock.phase("writing"):
                        artifact = made_from.write(output, result)
                if not work:
                    clear(unfinished)
                if recorder is not None:
                    # one on S3 is fetched for it
                    with clock.phase("recording"), artifacts.opened(artifact.location, config.writes) as here:
                        recorder.record(here, seconds=None if found else clock.seconds["computing"])
                self.require(artifact)
            except Exception as error:
                progress.failed(first_line(error), getattr(error, "exit_code", 1), getattr(error, "artifact", ""))
                if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
                    raise DefensiveDistillationError(f"{name}: out of memory; try a smaller batch_size") from error
                raise
            progress.finished(artifact.location, clock.seconds)
            return artifact


class _Origin:
    """All that decides a result: stage, code, configuration, inputs, and what it computes with."""

    def __init__(self, stage: Stage[Any], config: StageConfig, inputs: Mapping[str, Sequence[Artifact]]) -> None:
        self.kind = config.writes
        self.identity: dict[str, Any] = {
            "stage": config.stage,
            "code": stage.code,
            "config": config.model_dump(mode="json"),
            # Kubeflow collects in any order: the order of several inputs means nothing
            "inputs": {key: sorted(artifact.digest for artifact in several) for key, several in inputs.items()},
            "environment": environment(config.libraries, getattr(config, "device", None)),
        }
        self.fingerprint = artifacts.fingerprint(**self.identity)

    def write(self, output: str, result: Result) -> Artifact:
        return artifacts.write(
            output, kind=self.kind, facts=result.facts, write_files=result.write_files, **self.identity
        )


def located(config: StageConfig, inputs: Mapping[str, str | Sequence[str] | None]) -> dict[str, list[str]]:
    """The locations of a stage's inputs, by name, without those that are left out or that the settings do not need.

    Raises:
        ConfigurationError: for an input that the stage does not read, or one that is missing.
    """
    unknown = sorted(set(inputs) - set(config.reads))
    if unknown:
        raise ConfigurationError(
            f"{config.stage}: expected {', '.join(config.reads) or 'no input'}, got {unknown[0]!r}"
        )
    places: dict[str, list[str]] = {}
    for name, wanted in config.reads.items():
        given = inputs.get(name)
        several = [given] if isinstance(given, str) else list(given or ())
        if several and config.needs(name):
            places[name] = several
        elif not several and not wanted.optional:
            raise ConfigurationError(f"{config.stage}: expected the input {name}, got none")
    return places


def _require_usable(inputs: Mapping[str, Sequence[Artifact]]) -> None:
    for name, several in inputs.items():
        digests = [artifact.digest for artifact in several]
        for number, artifact in enumerate(several):
            facts.require(artifact.location, artifact.manifest)
            if artifact.digest in digests[:number]:
                raise ArtifactError(f"{name}: expected each artifact once, got {artifact.location} twice")


def finished(output: str, fingerprint: str) -> Artifact | None:
    """The artifact at `output` if it is the result asked for, or None if nothing stands there.

    Raises:
        InputError: if something else stands there.
    """
    if not artifacts.exists(output):
        if not storage.is_remote(output) and (Path(output).is_file() or storage.list_names(output)):
            raise InputError(f"{output}: expected a place where nothing stands, found other files; choose another")
        return None
    manifest = artifacts.read_manifest(output)
    if manifest.fingerprint != fingerprint:
        raise InputError(
            f"{output}: expected nothing or this stage's own result, found a result of {manifest.stage} "
            f"with other settings, inputs, code or libraries; choose another place or remove it"
        )
    with artifacts.opened(output, manifest.kind) as artifact:
        return artifact
