"""generate_soft_labels: labels the training images again with the teacher's probabilities at T."""

from __future__ import annotations

import torch

from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.config import GenerateSoftLabelsConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.networks.softmax import soft_labels
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[GenerateSoftLabelsConfig]) -> Result:
    config, teacher = task.config, task.input("teacher")
    model_id = ModelId.of(teacher.facts, teacher.location)
    if model_id != distillation.teacher(config.temperature):
        raise ArtifactError(
            f"{teacher.location}: expected a teacher trained at T = {config.temperature:g}, got {model_id}"
        )
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    model = compute.on(device, task.read(read_model, teacher, dataset))
    labels, count = [], len(dataset.train_images)
    for batch in dataset.train_images.split(config.batch_size):
        labels.append(soft_labels(model, as_input(batch.to(device)), config.temperature).cpu())
        task.progress.update(sum(map(len, labels)), count, "images")
    rows = torch.cat(labels)
    facts = {
        "model": distillation.student(config.temperature).model_dump(mode="json"),
        "temperature": config.temperature,
        "images": count,
        "num_classes": dataset.num_classes,
        "mean_largest": float(rows.max(dim=1).values.double().mean()),
        "mean_entropy_bits": float(torch.special.entr(rows.double()).sum(1).mean() / torch.tensor(2.0).log()),
        "teacher_training": teacher.facts["training"],
    }
    return Result(facts, lambda folder: write_tensors(folder, {"soft_labels": rows}))


STAGE = Stage(GenerateSoftLabelsConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("generate_soft_labels")
