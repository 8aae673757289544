"""train_teacher: trains a network on hard labels with a softmax at T; at T = 1 it is the baseline."""

from __future__ import annotations

from torch.nn.functional import one_hot

from defensive_distillation import seeds
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.artifacts.trained_model import model_facts
from defensive_distillation.config import TrainTeacherConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.networks import compute
from defensive_distillation.networks.fit import fit
from defensive_distillation.runtime.checkpoints import resumable
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[TrainTeacherConfig]) -> Result:
    config, dataset = task.config, task.read(read_dataset, task.input("dataset"))
    alone = config.temperature == 1 and config.baseline_threads
    fitted = fit(
        dataset,
        one_hot(dataset.train_labels, dataset.num_classes).float(),
        **config.fit_settings,
        temperature=config.temperature,
        seed=seeds.derive(config.seed, config.stage, config.temperature),
        device=compute.device(config.device, alone or config.threads, tf32=config.tf32),
        **resumable(task),
    )
    facts = model_facts(distillation.teacher(config.temperature), config, dataset, fitted)
    return Result(facts, lambda folder: write_tensors(folder, fitted.model.state_dict()))


STAGE = Stage(TrainTeacherConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("train_teacher")
