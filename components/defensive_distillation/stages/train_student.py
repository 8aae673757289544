"""train_student: trains the distilled network on the teacher's soft labels, with a softmax at the same T."""

from __future__ import annotations

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.soft_labels import read_soft_labels
from defensive_distillation.config import TrainStudentConfig
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.stages import fitting
from defensive_distillation.tracking.recording import Recorder


def run(
    config: TrainStudentConfig,
    *,
    dataset: str,
    soft_labels: str,
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Recorder | None = None,
) -> Artifact:
    """Trains on the artifacts `dataset` and `soft_labels` and writes the model to `output`; see `Stage.run`."""
    inputs = {"dataset": [dataset], "soft_labels": [soft_labels]}
    return STAGE.run(config, inputs, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[TrainStudentConfig]) -> Result:
    soft_labels = task.input("soft_labels")
    targets = task.read(read_soft_labels, soft_labels, task.input("dataset"), task.config.temperature)
    dataset = task.read(read_dataset, task.input("dataset"))
    return fitting.fit(task, dataset, targets, role="student", teacher_training=soft_labels.facts["teacher_training"])


STAGE = Stage(TrainStudentConfig, _compute, fitting.record)

if __name__ == "__main__":
    main("train_student")
