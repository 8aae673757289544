"""train_teacher: trains a network on hard labels with a softmax at T; at T = 1 it is the baseline."""

from __future__ import annotations

from torch.nn.functional import one_hot

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.config import TrainTeacherConfig
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.stages import fitting
from defensive_distillation.tracking.recording import Recorder


def run(
    config: TrainTeacherConfig,
    *,
    dataset: str,
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Recorder | None = None,
) -> Artifact:
    """Trains on the artifact `dataset` and writes the model to `output`; see `Stage.run`."""
    return STAGE.run(config, {"dataset": [dataset]}, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[TrainTeacherConfig]) -> Result:
    dataset = task.read(read_dataset, task.input("dataset"))
    targets = one_hot(dataset.train_labels, dataset.num_classes).float()
    return fitting.fit(task, dataset, targets, role="teacher", teacher_training=[])


STAGE = Stage(TrainTeacherConfig, _compute, fitting.record)

if __name__ == "__main__":
    main("train_teacher")
