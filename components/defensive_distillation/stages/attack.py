"""attack: JSMA as in the paper, and the attacks of those who know the defense; each saved part by part."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.artifacts.attack import attack_tensors, read_attack
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.facts import AttackFacts, checked
from defensive_distillation.artifacts.model import read_model, read_views
from defensive_distillation.artifacts.tensors import pack, unpack, write_tensors
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.config import AttackStageConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.evaluation.stored_attack import StoredAttack, counted, join_attacks, store_attack
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input, predict
from defensive_distillation.networks.input_steps import chance
from defensive_distillation.networks.softmax import logit_temperature
from defensive_distillation.networks.views import Views
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.suite.execution import AttackCall, attack_calls, crafting_calls, sample_seeds
from defensive_distillation.suite.fitting import fitted
from defensive_distillation.suite.registry import SECTIONS

# samples between two saves: minutes of work on a core, seconds on a GPU, where they must be held at once
PART_ON_CPU, PART, PART_FEATURES = 2_000, 100_000, 2**28
SIZED = 500  # images that tell the size of the logits


def _compute(task: Task[AttackStageConfig]) -> Result:
    config = task.config
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    if config.half_width is not None:
        config = fitted(config, dataset.test_images, dataset.num_classes)
    _require_fitting(config, dataset)
    surrogate = _surrogate(task, dataset)
    scaled = functools.partial(read_views, logit_scale=config.logit_scale)
    views = task.read(scaled, task.input("model"), dataset, device)
    model_id = task.model or ModelId.required(task.input("model").facts, task.input("model").location)
    temperature = model_id.known_temperature or _logit_temperature(config, views.judged, dataset, device)
    calls = list(
        crafting_calls(config)
        if config.craft
        else attack_calls(config, temperature, compute.on(device, surrogate) if surrogate else None)
    )
    crafted = _crafted(task, config)
    pairs = {call.name: _pairs(config, call, dataset) for call in calls}
    total, done = sum(len(sources) for sources, _ in pairs.values()), 0
    stored: dict[str, StoredAttack] = {}
    for call in calls:
        parts = _parts(task, config, call, pairs[call.name], views, dataset, device, done, total, crafted)
        stored[call.name] = join_attacks(list(parts))
        done += len(stored[call.name].success)
    facts = {
        "model": model_id.model_dump(mode="json"),
        "logit_scale": config.logit_scale,
        "temperature": temperature,
        "variants": [counted(call.facts, stored[call.name]) for call in calls],
        "shard": [config.shard, config.shards],
    }
    return Result(facts, lambda folder: write_tensors(folder, attack_tensors(stored)))


def _logit_temperature(config: AttackStageConfig, model: nn.Module, dataset: Dataset, device: torch.device) -> float:
    """T̂ of a network of which no T is known."""
    images = dataset.test_images[:SIZED]
    with chance(seeds.derive(config.seed, "attack"), device):
        return logit_temperature(predict(model, images, batch_size=config.batch_size or SIZED, device=device))


def _require_fitting(config: AttackStageConfig, dataset: Dataset) -> None:
    """Refuses settings that the images do not allow."""
    features = dataset.test_images[0].numel()
    for name in SECTIONS:
        check = getattr(getattr(config, name), "check_features", None)
        if check is not None and config.heeds(name, config.attacks) and (wrong := check(features)):
            raise ConfigurationError(f"attack.{name}.{wrong}")


def _pairs(config: AttackStageConfig, call: AttackCall, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """This shard's test images and classes, in the order of all."""
    both = call.pairs(dataset, seeds.derive(config.seed, "attack"))
    if config.shards > len(both[0]):
        raise ConfigurationError(
            f"attack.shards: expected at most {len(both[0])}, the samples of {call.name}, got {config.shards}"
        )
    sources, targets = (each.tensor_split(config.shards)[config.shard] for each in both)
    return sources, targets


def _surrogate(task: Task[AttackStageConfig], dataset: Dataset) -> nn.Module | None:
    """The network that samples are crafted on, or None where no attack needs one."""
    if not task.config.needs("surrogate") or "crafted" in task.inputs:
        return None
    if "surrogate" not in task.inputs:
        raise ConfigurationError("attack: expected --surrogate, the undistilled model, for transfer, got none")
    if task.input("surrogate").digest == task.input("model").digest:
        raise ConfigurationError("attack: expected a surrogate for transfer, got the attacked model itself")
    return task.read(read_model, task.input("surrogate"), dataset)


def _crafted(task: Task[AttackStageConfig], config: AttackStageConfig) -> list[StoredAttack]:
    """The samples crafted on another network, at each confidence; [] where this step crafts its own or needs none."""
    if not config.needs("crafted") or "crafted" not in task.inputs:
        return []
    artifact = task.input("crafted")
    wanted = [(call.name, call.facts["arguments"]) for call in crafting_calls(config)]
    made_from = artifact.manifest.inputs
    if [(one["name"], one["arguments"]) for one in checked(artifact, AttackFacts).model_dump()["variants"]] != wanted:
        raise ConfigurationError(
            f"attack: expected --crafted with the samples of {', '.join(name for name, _ in wanted)} under the same "
            f"settings, got others: {artifact.location}; --surrogate in its place crafts them here"
        )
    if made_from["dataset"] != [task.input("dataset").digest] or made_from["model"] == [task.input("model").digest]:
        raise ConfigurationError("attack: expected --crafted from the same dataset and another model, got others")
    return list(task.read(read_attack, artifact).values())


def _of_sources(
    crafted: Sequence[StoredAttack], dataset: Dataset, sources: Tensor, device: torch.device
) -> list[AttackResult]:
    """The samples crafted of these test images (P,), at each confidence."""
    found = []
    for stored in crafted:
        rows = torch.searchsorted(stored.source_index, sources).clamp(max=len(stored.source_index) - 1)
        if not torch.equal(stored.source_index[rows], sources):
            raise ConfigurationError("attack: expected --crafted of the same test images, got others")
        made = as_input(stored.adversarial(dataset.test_images, rows)).to(device)
        of_each = (stored.success, stored.stop_reason, stored.gradient_evaluations.long())
        images = as_input(dataset.test_images[sources]).to(device)
        found.append(AttackResult.of(images, made, *(each[rows].to(device) for each in of_each)))
    return found


def _parts(
    task: Task[AttackStageConfig],
    config: AttackStageConfig,
    call: AttackCall,
    pairs: tuple[Tensor, Tensor],
    views: Views,
    dataset: Dataset,
    device: torch.device,
    before: int,
    total: int,
    crafted: Sequence[StoredAttack],
) -> Iterator[StoredAttack]:
    """One call, in parts that are saved, and read again after a kill."""
    sources, targets = pairs
    seed = seeds.derive(config.seed, "attack")
    size = config.part_size or _part_size(device, dataset)
    for start in range(0, len(sources), size):
        source, target = sources[start : start + size], targets[start : start + size]
        # named by both ends: it may go on elsewhere, in parts of another size
        name = f"{call.name.replace('/', '-')}-{start:08d}-{start + len(source):08d}.safetensors"
        saved = task.work.read(name)
        if saved is None:
            with chance(seeds.derive(config.seed, name), device):
                borrows = call.attack.surrogate and crafted
                shown = _of_sources(crafted, dataset, source, device) if borrows else None
                results = call.results(
                    views,
                    as_input(dataset.test_images[source].to(device)),
                    target.to(device),
                    seeds=sample_seeds(seed, source),
                    batch_size=config.batch_size,
                    crafted=shown,
                    on_finished=lambda count, done=before + start: task.progress.update(done + count, total, "samples"),  # type: ignore[misc]
                )
            part = store_attack(dataset.test_images, source, target, results, dense=call.attack.dense)
            task.work.write(name, pack(part.tensors()))
        else:
            part = StoredAttack(**unpack(saved, f"{task.work.location}/{name}"))
        compute.give_back_memory()  # what is kept of a part is little, and lies between what is freed
        task.progress.update(before + start + len(source), total, "samples")
        yield part


def _part_size(device: torch.device, dataset: Dataset) -> int:
    return PART_ON_CPU if device.type == "cpu" else min(PART, max(1, PART_FEATURES // dataset.test_images[0].numel()))


STAGE = Stage(AttackStageConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("attack")
