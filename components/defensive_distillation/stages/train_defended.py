"""train_defended: trains a network under a defense that has no stages of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.artifacts.trained_model import model_facts
from defensive_distillation.config import TrainDefendedConfig
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.networks import compute
from defensive_distillation.networks.fit import Fitted, fit
from defensive_distillation.networks.objectives.objective import Objective
from defensive_distillation.runtime.checkpoints import resumable
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[TrainDefendedConfig]) -> Result:
    config, dataset = task.config, task.read(read_dataset, task.input("dataset"))
    defense = DEFENSES[config.defense]
    settings = defense.settings.model_validate(config.parameters)
    model_id = defense.model_id("defended", config.parameters)
    seed = seeds.derive(config.seed, f"{config.stage} {model_id.label}")
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    trainings: list[Fitted] = []

    def fit_on(
        targets: Tensor,
        *,
        name: str = "",
        temperature: float = 1.0,
        architecture: str = "{}",
        objective: Objective | None = None,
        rate: float = 1.0,
        start: Callable[[nn.Module], None] | None = None,
    ) -> nn.Module:
        fitted = fit(
            dataset,
            targets,
            **config.fit_settings
            | {
                "architecture": architecture.format(config.architecture),
                "learning_rate": rate * config.learning_rate,
            },
            objective=objective,
            start=start,
            temperature=temperature,
            seed=seeds.derive(seed, name, temperature),
            device=device,
            **resumable(task, name),
        )
        trainings.append(fitted)
        return fitted.model

    model = defense.train(dataset, settings, fit=fit_on, device=device, seed=seed)
    facts = model_facts(model_id, config, dataset, trainings[-1], passes=sum(training.passes for training in trainings))
    return Result(facts, lambda folder: write_tensors(folder, model.state_dict()))


STAGE = Stage(TrainDefendedConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("train_defended")
