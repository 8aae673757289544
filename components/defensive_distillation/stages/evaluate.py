"""evaluate: every number of the paper for one model, and the ones that show what they are worth."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from torch import Tensor

from defensive_distillation import seeds
from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.evaluation import SAMPLES
from defensive_distillation.artifacts.facts import AttackFacts, checked
from defensive_distillation.artifacts.model import read_views
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.config import EvaluateConfig
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.network import NetworkFacts, evaluate
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.robust import NearestErrors
from defensive_distillation.evaluation.samples import examples, sample_grid
from defensive_distillation.evaluation.stored_attack import join_attacks
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.input_steps import chance
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.suite.registry import ATTACKS


def _compute(task: Task[EvaluateConfig]) -> Result:
    config, facts = task.config, task.input("model").facts
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    outcomes = _outcomes(task)
    first = task.inputs["attacks"][0].facts
    scaled = functools.partial(read_views, logit_scale=first["logit_scale"])
    views = task.read(scaled, task.input("model"), dataset, device)
    with chance(seeds.derive(config.seed, "evaluate"), device):
        found = evaluate(
            views.judged,
            dataset,
            outcomes,
            network=NetworkFacts.of(facts, _attacked(task)),
            temperature=first["temperature"],
            digest=task.input("dataset").digest,
            seed=config.seed,
            device=device,
            batch_size=config.batch_size,
            gradient_samples=config.gradient_samples,
            on_gradients=lambda done, total: task.progress.update(done, total, "gradients"),
            given=views.given,
        )
    shown, names = examples(dataset, list(outcomes.values()))
    tensors = {f"examples.{name}": tensor for name, tensor in shown.items()}
    for outcome in outcomes.values():
        if outcome.attack.by_class:
            grid = sample_grid(dataset, outcome.samples)
            tensors |= {f"{outcome.variant}.{name}": tensor for name, tensor in grid.items()}
    tensors |= {f"{SAMPLES}.{name}": tensor for name, tensor in _samples(outcomes, found.correct, found.errors).items()}
    content = {
        "model": found.evaluation.model.model_dump(mode="json"),
        "evaluation": found.evaluation.model_dump(mode="json"),
        "examples": names,
        SAMPLES: {
            "images": task.input("dataset").facts["content"],
            "arguments": {name: dict(outcome.facts["arguments"]) for name, outcome in outcomes.items()},
        },
    }
    return Result(content, lambda folder: write_tensors(folder, tensors))


def _outcomes(task: Task[EvaluateConfig]) -> dict[str, Outcome]:
    """What came of all attacks by name, in the order of the attacks: Kubeflow collects in any order.

    Raises:
        ArtifactError: if an attack was on another model or dataset, is unknown here, or stands there twice.
    """
    parts: dict[str, dict[int, Outcome]] = {}
    shards: dict[str, int] = {}
    for artifact in task.inputs["attacks"]:
        _require_same_model(task, artifact)
        shard, count = checked(artifact, AttackFacts).shard
        for facts, samples in zip(artifact.facts["variants"], read_attack(artifact).values(), strict=True):
            name = facts["name"]
            if facts["attack"] not in ATTACKS:
                raise ArtifactError(
                    f"{artifact.location}: expected attacks among {', '.join(ATTACKS)}, got {facts['attack']!r}"
                )
            if shard in parts.setdefault(name, {}) or shards.setdefault(name, count) != count:
                raise ArtifactError(f"{artifact.location}: expected one run of {name}, got a second")
            parts[name][shard] = Outcome(facts, samples)
    outcomes = {name: _joined(name, several, shards[name]) for name, several in parts.items()}
    return dict(sorted(outcomes.items(), key=lambda item: item[1].attack.order))


def _joined(name: str, parts: Mapping[int, Outcome], shards: int) -> Outcome:
    """The shards of one attack as the whole that they are shares of."""
    missing = [str(shard) for shard in range(shards) if shard not in parts]
    if missing:
        raise ArtifactError(f"attacks: expected all {shards} shards of {name}, got none of {', '.join(missing)}")
    each = [parts[shard] for shard in range(shards)]
    summed = {key: sum(part.facts[key] for part in each) for key in ("pairs", "successes")}
    reasons = {key: sum(part.facts["stop_reasons"][key] for part in each) for key in each[0].facts["stop_reasons"]}
    whole = join_attacks([part.samples for part in each])
    return Outcome({**each[0].facts, **summed, "stop_reasons": reasons}, whole)


def _require_same_model(task: Task[EvaluateConfig], attack: Artifact) -> None:
    for name in ("dataset", "model"):
        if attack.manifest.inputs[name] != [task.input(name).digest]:
            raise ArtifactError(
                f"{attack.location}: expected an attack on the {name} {task.input(name).digest[:12]}, "
                f"got one on {attack.manifest.inputs[name][0][:12]}"
            )


def _samples(outcomes: Mapping[str, Outcome], correct: Tensor, errors: NearestErrors | None) -> dict[str, Tensor]:
    """What came of each test image and of each pair, by which networks are compared later."""
    kept = {"correct": correct}
    for name, outcome in outcomes.items():
        kept |= {f"{name}.{key}": tensor for key, tensor in outcome.by_pair.items()}
    return kept | ({"errors.source": errors.source_index.int(), "errors.linf": errors.linf} if errors else {})


def _attacked(task: Task[EvaluateConfig]) -> ModelId:
    """The model of all attacks: the one that was given, or a control that is made of it."""
    attacked = [ModelId.required(artifact.facts, artifact.location) for artifact in task.inputs["attacks"]]
    others = [model for model in attacked if model != attacked[0]]
    if others:
        raise ArtifactError(f"attacks: expected all on one model, got {attacked[0]} and {others[0]}")
    return attacked[0]


STAGE = Stage(EvaluateConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("evaluate")
