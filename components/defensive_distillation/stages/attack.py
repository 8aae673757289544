"""attack: JSMA on a model, every source towards each other class, on each output that was asked for."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation import codecs, compute, seeds
from defensive_distillation.artifacts import Artifact
from defensive_distillation.attacks import StopReason, jsma
from defensive_distillation.codecs import StoredAttack
from defensive_distillation.config import AttackConfig, JsmaOutput
from defensive_distillation.data import Dataset, stratified_subset
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.models import as_input
from defensive_distillation.stage_command import main
from defensive_distillation.stage_run import Result, Stage, Task
from defensive_distillation.tracking import Tracker


def run(
    config: AttackConfig,
    *,
    dataset: str,
    model: str,
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Tracker | None = None,
) -> Artifact:
    """Attacks `model` on test images of `dataset` and writes what came of it to `output`; see `Stage.run`."""
    inputs = {"dataset": [dataset], "model": [model]}
    return STAGE.run(config, inputs, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[AttackConfig]) -> Result:
    config = task.config
    device = compute.device(config.device, config.threads)
    dataset = codecs.read_dataset(task.input("dataset"))
    features = dataset.test_images[0].numel()
    if config.max_features > features:
        raise ConfigurationError(
            f"attack.max_features: expected at most {features}, the features of an image, got {config.max_features}"
        )
    model = codecs.read_model(task.input("model"), dataset).to(device)
    sources, targets = pairs(dataset, config.sources, seeds.derive(config.seed, "attack"))
    training_temperature = task.input("model").facts["temperature"]
    tensors: dict[str, Tensor] = {}
    variants: list[dict[str, Any]] = []
    for number, output in enumerate(config.outputs):
        temperature = training_temperature if output == "scaled" else 1.0
        done = functools.partial(_progress, task, number * len(sources), len(config.outputs) * len(sources))
        found = _attack(task, output, temperature, model, dataset, sources, targets, device, done)
        tensors |= {f"{output}.{name}": tensor for name, tensor in found.tensors().items()}
        variants.append(_summary(output, temperature, found))
    facts = {
        "attack": "jsma",
        "pairs": len(sources),
        "max_features": config.max_features,
        "theta": config.theta,
        "variants": variants,
    }
    return Result(facts, lambda folder: codecs.write_tensors(folder, tensors))


def pairs(dataset: Dataset, sources: int, seed: int) -> tuple[Tensor, Tensor]:
    """Test images and target classes: a stratified choice of `sources`, each towards every other class (P,), (P,)."""
    generator = torch.Generator().manual_seed(seed)
    classes = dataset.num_classes
    labels = dataset.test_labels
    if sources >= classes:
        chosen = stratified_subset(labels, sources, generator)
    else:  # fewer sources than classes: some classes have none
        chosen = torch.randperm(len(labels), generator=generator)[:sources].sort().values
    target = torch.arange(classes).repeat(len(chosen), 1)
    other = target != labels[chosen][:, None]
    return chosen[:, None].expand_as(target)[other], target[other]


def _progress(task: Task[AttackConfig], before: int, total: int, done: int) -> None:
    task.progress.update(before + done, total, "pairs")


def _attack(
    task: Task[AttackConfig],
    output: JsmaOutput,
    temperature: float,
    model: nn.Module,
    dataset: Dataset,
    sources: Tensor,
    targets: Tensor,
    device: torch.device,
    progress: Any,
) -> StoredAttack:
    """One attack, in parts that are saved, and read again after a kill."""
    config, parts = task.config, []
    for start in range(0, len(sources), config.part_size):
        source, target = sources[start : start + config.part_size], targets[start : start + config.part_size]
        name = f"{output}-{start:08d}.safetensors"
        saved = task.work.read(name)
        if saved is None:
            result = jsma(
                model,
                as_input(dataset.test_images[source].to(device)),
                target.to(device),
                theta=config.theta,
                max_features=config.max_features,
                output="logits" if output == "logits" else "probabilities",
                temperature=temperature,
                batch_size=config.batch_size,
                on_finished=lambda done, start=start: progress(start + done),  # type: ignore[misc]
            )
            part = codecs.store_attack(dataset.test_images, source, target, result)
            task.work.write(name, codecs.pack(part.tensors()))
        else:
            part = StoredAttack(**codecs.unpack(saved, f"{task.work.location}/{name}"))
        parts.append(part)
        progress(start + len(source))
    return codecs.join_attacks(parts)


def _summary(output: str, temperature: float, found: StoredAttack) -> dict[str, Any]:
    reasons = torch.bincount(found.stop_reason.long(), minlength=len(StopReason)).tolist()
    return {
        "output": output,
        "temperature": temperature,
        "successes": int(found.success.sum()),
        "stop_reasons": {reason.name.lower(): reasons[reason] for reason in StopReason},
    }


def _record(task: Task[AttackConfig], artifact: Artifact) -> None:
    assert task.tracker is not None
    run = task.tracker.model_run(task.label)
    run.params({"temperature": task.input("model").facts["temperature"]})
    run.params({f"attack.{key}": value for key, value in task.config.model_dump(mode="json").items()})
    run.metrics(
        {
            f"jsma_success/{variant['output']}": variant["successes"] / artifact.facts["pairs"]
            for variant in artifact.facts["variants"]
        }
    )


STAGE = Stage(AttackConfig, _compute, _record)

if __name__ == "__main__":
    main("attack")
