"""import_model: a network that was trained elsewhere, as a model artifact like any other."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import ONNX_FILE, imported_network
from defensive_distillation.artifacts.tensors import unpack, write_tensors
from defensive_distillation.config import ImportModelConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.metrics import chance_where_near
from defensive_distillation.networks import compute
from defensive_distillation.networks.adapter import try_on
from defensive_distillation.networks.architectures import accuracy, as_input, predict
from defensive_distillation.networks.forms import REGISTERED, is_onnx
from defensive_distillation.networks.imported import named_network, network_with
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task

SAFE = ".safetensors"
NESTED = ("state_dict", "model_state_dict", "model")  # under which checkpoints keep their weights
TRIED = 2  # images on which a network is tried


def _compute(task: Task[ImportModelConfig]) -> Result:
    config = task.config
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    tensors = _tensors(config, dataset)
    recipe = _recipe(config, dataset)
    model = compute.on(device, imported_network(config.model, recipe, tensors, dataset.num_classes).eval())
    _check(model, config, dataset, device)
    logits = predict(model, dataset.test_images, batch_size=config.batch_size, device=device)
    right = accuracy(logits, dataset.test_labels)
    if warning := _near_chance(right, dataset):
        print(f"import_model: warning: {warning}", file=sys.stderr, flush=True)
    model_id = config.works_for({})
    assert model_id is not None
    facts = {
        "model": model_id.model_dump(mode="json"),
        "architecture": config.model,
        "imported": recipe,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "training": [],
        "teacher_training": [],
        "train_accuracy": None,
        "test_accuracy": right,
        "warnings": [warning] if warning else [],
    }
    return Result(facts, lambda folder: write_tensors(folder, tensors))


def _tensors(config: ImportModelConfig, dataset: Dataset) -> dict[str, Tensor]:
    """The weights of the network, or the bytes of its ONNX file."""
    if is_onnx(config.model):
        content = _content(config.model, config.sha256)
        return {ONNX_FILE: torch.frombuffer(bytearray(content), dtype=torch.uint8)}
    if config.weights:
        content = _content(config.weights, config.sha256)
        weights = _weights(content, config.weights, trust=config.trust)
        network = network_with(config.model, dataset.num_classes, weights, config.weights)
    else:
        network = named_network(config.model, dataset.num_classes)
    return dict(network.state_dict())


def _content(place: str, sha256: str | None) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: if they are others than those of which `sha256` is.
    """
    content = storage.read_bytes(place)
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise InputError(f"{place}: expected the file with SHA-256 {sha256}, got one with {found}: it was changed")
    return content


def _weights(content: bytes, place: str, *, trust: bool) -> dict[str, Tensor]:
    """The weights in a file by name.

    Raises:
        InputError: for a pickled file that nobody trusts, or one that holds no weights.
    """
    if PurePosixPath(place).suffix.lower() == SAFE:
        return unpack(content, place)
    if not trust:
        raise InputError(
            f"weights: expected a file {SAFE}, got {place}, which may be pickled, and run code when it is read; "
            "convert it with safetensors.torch.save_file, or set trust"
        )
    try:
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{place}: expected a checkpoint of tensors alone, got: {said}") from error
    for key in NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InputError(f"{place}: expected weights by name, got {type(loaded).__name__}")
    return loaded


def _recipe(config: ImportModelConfig, dataset: Dataset) -> dict[str, Any]:
    """What stands before and behind the network (networks.imported.Imported)."""
    grey = dataset.image_shape[0] == 1
    channels = 3 if grey and (config.model.startswith(REGISTERED) or len(config.mean) == 3) else None
    return {
        "image_size": config.image_size,
        "channels": channels,
        "mean": list(config.mean),
        "std": list(config.std),
        "class_logits": list(config.class_logits),
    }


def _check(model: nn.Module, config: ImportModelConfig, dataset: Dataset, device: torch.device) -> None:
    """That the network takes the images, and has a logit for each class."""
    if config.class_logits and len(config.class_logits) != dataset.num_classes:
        raise InputError(
            f"class_logits: expected one for each of {dataset.num_classes} classes, got {len(config.class_logits)}"
        )
    images = as_input(dataset.test_images[:TRIED].to(device))
    found = try_on(model, images).shape[1]
    if found != dataset.num_classes:
        raise InputError(
            f"model: expected {dataset.num_classes} logits, one for each class of the data, got {found}; "
            "class_logits says which of them are whose"
        )


def _near_chance(right: float, dataset: Dataset) -> str:
    """What to look for where the network hardly knows the images; '' where it does."""
    chance = chance_where_near(right, dataset.test_labels)
    if chance is None:
        return ""
    return (
        f"{100 * right:.1f} % of the test images are classified right, and the largest class is {100 * chance:.1f} % "
        "of them: are mean, std, class_logits and image_size those of the training?"
    )


STAGE = Stage(ImportModelConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("import_model")
