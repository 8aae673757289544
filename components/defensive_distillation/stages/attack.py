"""attack: JSMA as in the paper, and the attacks of those who know the defense; each saved part by part."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.attack import attack_tensors
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.artifacts.tensors import pack, unpack, write_tensors
from defensive_distillation.attacks import StopReason
from defensive_distillation.config import AttackConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.evaluation.stored_attack import StoredAttack, join_attacks, store_attack
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.suite.runs import Run, pairs, runs
from defensive_distillation.tracking.recording import Recorder

# samples between two saves: minutes of work on a core, seconds on a GPU, where they must be held at once
PART_ON_CPU, PART, PART_FEATURES = 2_000, 100_000, 2**28


def run(
    config: AttackConfig,
    *,
    dataset: str,
    model: str,
    output: str,
    surrogate: str | None = None,
    work: str | None = None,
    code: str = "",
    tracker: Recorder | None = None,
) -> Artifact:
    """Attacks `model` on test images of `dataset` and writes what came of it to `output`; see `Stage.run`.

    `surrogate` is the undistilled model, which transfer crafts its samples on.
    """
    inputs = {"dataset": [dataset], "model": [model]}
    if surrogate is not None and "transfer" in config.attacks:
        inputs["surrogate"] = [surrogate]
    return STAGE.run(config, inputs, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[AttackConfig]) -> Result:
    config = task.config
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    features = dataset.test_images[0].numel()
    if config.max_features > features and any(name.startswith("jsma") for name in config.attacks):
        raise ConfigurationError(
            f"attack.max_features: expected at most {features}, the features of an image, got {config.max_features}"
        )
    surrogate = _surrogate(task, dataset)
    model = compute.on(device, task.read(read_model, task.input("model"), dataset))
    temperature = task.input("model").facts["temperature"]
    wanted = list(runs(config, temperature, compute.on(device, surrogate) if surrogate else None))
    total = sum(len(_pairs(task, one, dataset)[0]) for one in wanted)
    found: dict[str, StoredAttack] = {}
    for one in wanted:
        found[one.name] = _attack(task, one, model, dataset, device, sum(len(f.success) for f in found.values()), total)
    facts = {"variants": [_summary(one, found[one.name]) for one in wanted], "shard": [config.shard, config.shards]}
    return Result(facts, lambda folder: write_tensors(folder, attack_tensors(found)))


def _pairs(task: Task[AttackConfig], run: Run, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """This shard's test images and classes, in the order of all."""
    config = task.config
    both = pairs(dataset, run.sources, seeds.derive(config.seed, "attack"), targeted=run.targeted)
    if config.shards > len(both[0]):
        raise ConfigurationError(
            f"attack.shards: expected at most {len(both[0])}, the samples of {run.name}, got {config.shards}"
        )
    sources, targets = (each.tensor_split(config.shards)[config.shard] for each in both)
    return sources, targets


def _surrogate(task: Task[AttackConfig], dataset: Dataset) -> nn.Module | None:
    """The network that transfer crafts on, or None without transfer."""
    if "transfer" not in task.config.attacks:
        return None
    if "surrogate" not in task.inputs:
        raise ConfigurationError("attack: expected --surrogate, the undistilled model, for transfer, got none")
    if task.input("surrogate").digest == task.input("model").digest:
        raise ConfigurationError("attack: expected a surrogate for transfer, got the attacked model itself")
    return task.read(read_model, task.input("surrogate"), dataset)


def _attack(
    task: Task[AttackConfig],
    run: Run,
    model: nn.Module,
    dataset: Dataset,
    device: torch.device,
    before: int,
    total: int,
) -> StoredAttack:
    """One run, in parts that are saved, and read again after a kill."""
    config, parts = task.config, []
    seed = seeds.derive(config.seed, "attack")
    sources, targets = _pairs(task, run, dataset)
    size = config.part_size or _part_size(device, dataset)
    for start in range(0, len(sources), size):
        rows = slice(start, start + size)
        source, target = sources[rows], targets[rows]
        # named by both ends: it may go on elsewhere, in parts of another size
        name = f"{run.name.replace('/', '-')}-{start:08d}-{start + len(source):08d}.safetensors"
        saved = task.work.read(name)
        if saved is None:
            done = before + start
            results = run.results(
                model,
                as_input(dataset.test_images[source].to(device)),
                target.to(device),
                seeds=seed // 2 + source,  # of the source, wherever it stands
                batch_size=config.batch_size,
                on_finished=lambda count, done=done: task.progress.update(done + count, total, "samples"),  # type: ignore[misc]
            )
            part = store_attack(dataset.test_images, source, target, results, dense=run.dense)
            task.work.write(name, pack(part.tensors()))
        else:
            part = StoredAttack(**unpack(saved, f"{task.work.location}/{name}"))
        parts.append(part)
        task.progress.update(before + start + len(source), total, "samples")
    return join_attacks(parts)


def _part_size(device: torch.device, dataset: Dataset) -> int:
    return PART_ON_CPU if device.type == "cpu" else min(PART, max(1, PART_FEATURES // dataset.test_images[0].numel()))


def _summary(run: Run, found: StoredAttack) -> dict[str, Any]:
    reasons = torch.bincount(found.stop_reason.long(), minlength=len(StopReason)).tolist()
    return {
        "name": run.name,
        **run.facts,
        "targeted": run.targeted,
        "levels": list(run.levels),
        "pairs": len(found.success),
        "successes": int(found.success.sum()),
        "stop_reasons": {reason.name.lower(): reasons[reason] for reason in StopReason},
    }


def _record(task: Task[AttackConfig], artifact: Artifact) -> None:
    assert task.tracker is not None
    run = task.tracker.model_run(task.label)
    run.params({"temperature": task.input("model").facts["temperature"]})
    settings = task.config.model_dump(mode="json", exclude={"attacks", "shard"})
    own = {key: value for key, value in settings.items() if task.config.concerns(key, task.config.attacks)}
    run.params({f"attack.{key}": value for key, value in own.items()})
    if task.config.shards > 1:
        return  # a share of the samples is no rate of success; the evaluation has it
    run.metrics(
        {
            f"{variant['attack']}_success/{variant['output']}": variant["successes"] / variant["pairs"]
            for variant in artifact.facts["variants"]
            if "output" in variant
        }
    )


STAGE = Stage(AttackConfig, _compute, _record)

if __name__ == "__main__":
    main("attack")
