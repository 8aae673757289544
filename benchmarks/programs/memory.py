"""The attack stage on many pairs: what it needs must not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.work import CLASSES, SHAPES, network
from defensive_distillation import artifacts
from defensive_distillation.artifacts.dataset import dataset_facts, dataset_tensors
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.config import stage_config
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.model_id import BASELINE
from defensive_distillation.stages import attack

ARCHITECTURE = "papernot_mnist"
FEATURES = 2  # one step: the memory of a step is that of any other


def prepare(name: str) -> Callable[[], dict[str, float]]:
    """The stage on `name` source images, each towards every other class, JSMA on logits."""
    sources = int(name)

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
            dataset, model = _dataset(Path(folder, "dataset"), sources), _model(Path(folder, "model"))
            config = stage_config(
                "attack", {"jsma": {"outputs": ["logits"], "sources": sources, "max_features": FEATURES}}
            )
            found = attack.run(config, dataset=dataset, model=model, output=str(Path(folder, "attack")))
        (variant,) = found.facts["variants"]
        return {"work": float(variant["pairs"])}

    return run


def _dataset(place: Path, sources: int) -> str:
    """Random images of which none is classified wrongly, for class 0 is predicted whatever the image."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (sources, *SHAPES[ARCHITECTURE]), dtype=torch.uint8, generator=generator)
    labels = torch.arange(sources) % CLASSES
    classes = tuple(str(number) for number in range(CLASSES))
    made = Dataset("random", classes, images[:CLASSES].clone(), labels[:CLASSES].clone(), images, labels)
    return _stored(place, "dataset", dataset_facts(made), dataset_tensors(made))


def _model(place: Path) -> str:
    facts = {
        "model": BASELINE.model_dump(mode="json"),
        "architecture": ARCHITECTURE,
        "num_classes": CLASSES,
        "image_shape": list(SHAPES[ARCHITECTURE]),
        "dropout": 0.5,
        "training": [],
        "teacher_training": [],
        "train_accuracy": None,
        "test_accuracy": 0.1,
        "output_layer": "none",
    }
    return _stored(place, "model", facts, network(ARCHITECTURE).state_dict())


def _stored(place: Path, kind: str, facts: dict[str, object], tensors: dict[str, torch.Tensor]) -> str:
    artifacts.write(
        str(place),
        kind=kind,
        stage="benchmark",
        code="",
        config={},
        inputs={},
        facts=facts,
        write_files=lambda folder: write_tensors(folder, tensors),
    )
    return str(place)
