"""train_student: trains the distilled network on the teacher's soft labels, with a softmax at the same T."""

from __future__ import annotations

from defensive_distillation import seeds
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.soft_labels import read_soft_labels
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.artifacts.trained_model import model_facts
from defensive_distillation.config import TrainStudentConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.networks import compute
from defensive_distillation.networks.fit import fit
from defensive_distillation.runtime.checkpoints import resumable
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[TrainStudentConfig]) -> Result:
    config, soft_labels = task.config, task.input("soft_labels")
    targets = task.read(read_soft_labels, soft_labels, task.input("dataset"), config.temperature)
    dataset = task.read(read_dataset, task.input("dataset"))
    fitted = fit(
        dataset,
        targets,
        **config.fit_settings,
        temperature=config.temperature,
        seed=seeds.derive(config.seed, config.stage, config.temperature),
        device=compute.device(config.device, config.threads, tf32=config.tf32),
        **resumable(task),
    )
    facts = model_facts(
        distillation.student(config.temperature),
        config,
        dataset,
        fitted,
        teacher_training=soft_labels.facts["teacher_training"],
        passes=fitted.passes + len(soft_labels.facts["teacher_training"]),
    )
    return Result(facts, lambda folder: write_tensors(folder, fitted.model.state_dict()))


STAGE = Stage(TrainStudentConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("train_student")
