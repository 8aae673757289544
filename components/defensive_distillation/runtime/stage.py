"""What happens around every stage: inputs are opened and checked, finished work is recognised, results are committed.

A stage is told apart by its fingerprint: its code, its configuration and the digests of its inputs. Work in progress
lies in `<work>/<fingerprint>/`; a stage that was killed finds it there and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact, storage
from defensive_distillation.config import StageConfig
from defensive_distillation.errors import (
    ArtifactError,
    ConfigurationError,
    DefensiveDistillationError,
    InputError,
    first_line,
)
from defensive_distillation.runtime.code_version import code_digest
from defensive_distillation.runtime.progress import Progress
from defensive_distillation.runtime.stopwatch import phase, running, timed
from defensive_distillation.tracking.recording import Recorder

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
        storage.write_bytes(storage.join(self.location, name), content)


@dataclass(frozen=True)
class Task(Generic[C]):
    """What a stage's computation is given."""

    config: C
    inputs: Mapping[str, Sequence[Artifact]]
    work: Work
    progress: Progress
    label: str  # the model that it works for
    tracker: Recorder | None

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


@dataclass(frozen=True)
class Stage(Generic[C]):
    """A stage: what computes its result, and what records it in MLflow."""

    config_type: type[C]
    compute: Callable[[Task[C]], Result]
    record: Callable[[Task[C], Artifact], None]
    code: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", code_digest(self.config_type.stage))

    def run(
        self,
        config: C,
        inputs: Mapping[str, Sequence[str]],
        output: str,
        *,
        work: str | None = None,
        code: str = "",
        tracker: Recorder | None = None,
    ) -> Artifact:
        """Runs the stage, or finds that its result is there already.

        Args:
            config: its configuration.
            inputs: locations of the artifacts it reads, by name.
            output: where its artifact goes: a path or s3:// URI.
            work: where unfinished work is kept, for all stages; beside the output without it, and gone at the end.
            code: the code digest that the caller counts on; '' takes any.
            tracker: records the stage in MLflow.

        Raises:
            DefensiveDistillationError: whatever went wrong, in one line.
        """
        name = self.config_type.stage
        if code and code != self.code:
            raise ConfigurationError(f"{name}: expected code version {code}, this installation has {self.code}")
        with ExitStack() as stack:
            watch = stack.enter_context(running())
            with watch.phase("reading"):
                opened = {
                    key: [stack.enter_context(artifacts.opened(place, config.reads[key])) for place in places]
                    for key, places in inputs.items()
                }
            _require_different(opened)
            # Kubeflow collects in any order: the order of several inputs means nothing
            digests = {key: sorted(artifact.digest for artifact in found) for key, found in opened.items()}
            settings = config.model_dump(mode="json")
            identity = artifacts.fingerprint(name, self.code, settings, digests)
            label = label_of(config, {key: [a.facts for a in found] for key, found in opened.items()})
            unfinished = work or f"{output.rstrip('/')}.work"
            place = Work(storage.join(unfinished, identity[:32]))
            task = Task(config, opened, place, Progress(name, label, config.part), label, tracker)
            task.progress.started()
            try:
                artifact = finished(output, identity)
                if artifact is None:
                    artifacts.writable(output)
                    result = self.compute(task)
                    with watch.phase("writing"):
                        artifact = artifacts.write(
                            output,
                            kind=config.writes,
                            stage=name,
                            code=self.code,
                            config=settings,
                            inputs=digests,
                            facts=result.facts,
                            write_files=result.write_files,
                        )
                if not work:
                    storage.remove(unfinished)
                if tracker is not None:
                    # one on S3 is fetched for it
                    with watch.phase("recording"), artifacts.opened(artifact.location, config.writes) as here:
                        self._record(task, here, tracker)
            except Exception as error:
                task.progress.failed(first_line(error), getattr(error, "exit_code", 1))
                if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
                    raise DefensiveDistillationError(f"{name}: out of memory; try a smaller batch_size") from error
                raise
            task.progress.finished(artifact.location, watch.seconds)
            return artifact

    def _record(self, task: Task[C], artifact: Artifact, tracker: Recorder) -> None:
        name = self.config_type.stage
        self.record(task, artifact)
        tags = {
            "defdistill.stage": name,
            **{f"defdistill.artifact.{place}": artifact.location for place in _places(name, task.config.part)},
            f"defdistill.code.{name}": artifact.manifest.code,
            **({"defdistill.model": task.label} if task.label else {}),
        }
        if "dataset" in task.inputs:
            tags["defdistill.dataset"] = task.input("dataset").digest
        run = tracker.model_run(task.label) if task.label else tracker.sweep_run()
        run.tags({key: value for key, value in tags.items() if key != "defdistill.model"})
        if tracker.rerun:
            run.ended()
        step = tracker.step_run()
        if step is not None:  # Kubeflow logged its own parameters there: ours carry a prefix
            step.tags(tags)
            step.params({f"defdistill.{key}": value for key, value in task.config.model_dump(mode="json").items()})


def _places(stage: str, part: str) -> list[str]:
    """Names of an artifact in MLflow's tags: the stage's, or 'attack.pgd' or 'attack.pgd.2of4' for each of a task."""
    attacks, _, shard = part.partition(" ")
    return [".".join(filter(None, (stage, one, shard))) for one in attacks.split("+")]


def _require_different(inputs: Mapping[str, Sequence[Artifact]]) -> None:
    for name, found in inputs.items():
        digests = [artifact.digest for artifact in found]
        for number, artifact in enumerate(found):
            if artifact.digest in digests[:number]:
                raise ArtifactError(f"{name}: expected each artifact once, got {artifact.location} twice")


def finished(output: str, identity: str) -> Artifact | None:
    """The artifact at `output` if it is the result asked for, or None if nothing stands there.

    Raises:
        InputError: if something else stands there.
    """
    if not artifacts.exists(output):
        if not storage.is_remote(output) and (Path(output).is_file() or storage.list_names(output)):
            raise InputError(f"{output}: expected a place where nothing stands, found other files; choose another")
        return None
    manifest = artifacts.read_manifest(output)
    if manifest.fingerprint != identity:
        raise InputError(
            f"{output}: expected nothing or this stage's own result, found a result of {manifest.stage} "
            f"with other settings, inputs or code; choose another place or remove it"
        )
    with artifacts.opened(output, manifest.kind) as artifact:
        return artifact


def label_of(config: StageConfig, facts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The model that a stage works for: 'baseline', 'T=20', 'control T=20', or '' for the sweep as a whole.

    A teacher at T = 1 is the baseline: nothing is distilled into it. With its logits multiplied by T it is a control.
    """
    if config.stage == "scale_logits":
        return control_label(getattr(config, "temperature", 1.0))
    if "model" in facts:
        model = facts["model"][0]
        if model["role"] == "control":
            return control_label(model["temperature"])
        return model_label(distilled=model["role"] == "student", temperature=model["temperature"])
    temperature = getattr(config, "temperature", None)
    if temperature is None:
        return ""
    return model_label(distilled=config.stage != "train_teacher", temperature=temperature)


def model_label(*, distilled: bool, temperature: float) -> str:
    """'baseline' for a network trained on hard labels at T = 1, else 'T=20' and so on."""
    return "baseline" if not distilled and temperature == 1 else f"T={temperature:g}"


def control_label(temperature: float) -> str:
    """'control T=20': the undistilled network with its logits multiplied by T."""
    return f"control T={temperature:g}"
