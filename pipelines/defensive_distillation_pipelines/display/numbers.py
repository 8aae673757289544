"""The numbers in one artifact: an evaluation's as those of a sweep, others' in a line or a table of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import RenderableType

from defensive_distillation.artifacts import Stored
from defensive_distillation.artifacts.facts import require
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.words import count, per_cent
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.display.grid import Grid
from defensive_distillation_pipelines.display.told import Told

Facts = Mapping[str, Any]


def of_artifact(stored: Stored, *notes: str) -> Told:
    """What a stage found, by what it made; `notes` say where to look next."""
    require(stored.location, stored.manifest)
    facts, kind = stored.manifest.facts, stored.manifest.kind
    shown, numbers = _OF_KIND[kind](facts)
    document = {
        "stage": stored.manifest.stage,
        "kind": kind,
        "model": stored.label or None,
        "artifact": stored.location,
        "digest": stored.digest,
        **numbers,
    }
    return Told(shown, document, notes)


def _evaluation(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    evaluations = [Evaluation.model_validate(facts["evaluation"])]
    return tables.of_sweep(evaluations), tables.as_document(evaluations)


def _attack(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    found = [
        {
            "attack": variant["name"],
            "pairs": variant["pairs"],
            "successes": variant["successes"],
            "reached": variant["successes"] / variant["pairs"] if variant["pairs"] else None,
        }
        for variant in facts["variants"]
    ]
    cells = [
        (one["attack"], count(one["pairs"]), f"{100 * one['reached']:.1f}" if one["pairs"] else "-") for one in found
    ]
    shard, shards = facts["shard"]
    share = f" of shard {shard + 1} of {shards}" if shards > 1 else ""
    note = f"Of all pairs{share}: evaluate leaves out images that are misclassified without an attack."
    return ["", Grid(("attack", "pairs", "reached, %"), cells), note, ""], {"attacks": found}


def _model(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    test, train, epochs = facts.get("test_accuracy"), facts.get("train_accuracy"), len(facts["training"])
    said = [
        f"accuracy {per_cent(test)}" if test is not None else "",
        f"{per_cent(train)} of the training images" if train is not None else "",
        f"after {epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "",
    ]
    return [", ".join(filter(None, said))], {"test_accuracy": test, "train_accuracy": train, "epochs": epochs or None}


def _soft_labels(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    numbers = {name: facts[name] for name in ("images", "mean_largest", "mean_entropy_bits")}
    return [
        f"soft labels of {count(facts['images'])} images: largest probability {facts['mean_largest']:.3f}, entropy "
        f"{facts['mean_entropy_bits']:.2f} bits, means"
    ], numbers


def _dataset(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    shape = "×".join(map(str, facts["image_shape"]))
    numbers = {name: facts[name] for name in ("name", "train_images", "test_images", "classes", "image_shape")}
    return [
        f"{facts['name']}: {count(facts['train_images'])} training and {count(facts['test_images'])} test images of "
        f"{len(facts['classes'])} classes, {shape}"
    ], numbers


def _gate(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    return [facts["sentence"]], {"outcome": facts["outcome"], "sentence": facts["sentence"]}


def _report(facts: Facts) -> tuple[list[RenderableType], dict[str, Any]]:
    return [f"a report on {', '.join(facts['models'])}"], {"models": facts["models"]}


_OF_KIND: dict[str, Callable[[Facts], tuple[list[RenderableType], dict[str, Any]]]] = {
    "dataset": _dataset,
    "model": _model,
    "soft_labels": _soft_labels,
    "attack": _attack,
    "evaluation": _evaluation,
    "report": _report,
    "gate": _gate,
}
