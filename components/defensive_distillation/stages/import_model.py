"""import_model: a network that was trained elsewhere, as a model artifact like any other."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation import artifacts, seeds
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import BUILT, ONNX_FILE, PROGRAM, TRIED, network_of_bytes, trained_network
from defensive_distillation.artifacts.tensors import unpack, write_tensors
from defensive_distillation.config import ImportModelConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.metrics import chance_where_near
from defensive_distillation.networks import compute
from defensive_distillation.networks.adapter import try_on
from defensive_distillation.networks.architectures import accuracy, as_input, predict
from defensive_distillation.networks.forms import REGISTERED, code_digest, in_registry, is_onnx
from defensive_distillation.networks.imported import Imported, named_network, named_step, network_with
from defensive_distillation.networks.input_steps import chance
from defensive_distillation.networks.views import Views
from defensive_distillation.runtime import origin
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.registry.versions import Files, files_of

SAFE = ".safetensors"
NESTED = ("state_dict", "model_state_dict", "model")  # under which checkpoints keep their weights
LOG = (
    "log it with mlflow.pytorch.log_model(…, serialization_format='pt2'), or save its weights with "
    "safetensors.torch.save_file and give them beside package.module:factory"
)


@dataclass(frozen=True)
class Given:
    """A network as it was given: itself, what the artifact keeps of it, and the facts that it is built by."""

    network: nn.Module
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)
    image_shape: tuple[int, ...] | None = None  # that it takes, where that is known


def _compute(task: Task[ImportModelConfig]) -> Result:
    config = task.config
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    names = [config.model, config.input_step]
    code = code_digest(names)
    if config.code_sha256 not in (None, code):
        raise InputError(
            f"model: expected the code of {' and '.join(filter(None, names))} with SHA-256 {config.code_sha256}, "
            f"got {code or 'none'}: it was changed"
        )
    given = _given(config, dataset)
    recipe = _recipe(config, dataset)
    step = named_step(config.input_step) if config.input_step else None
    views = Views.of(compute.on(device, Imported(given.network, **recipe).eval()), step, config.draws)
    with chance(seeds.derive(config.seed, "import_model"), device):
        _check(views.judged, config, dataset, device, given.image_shape)
        logits = predict(views.judged, dataset.test_images, batch_size=config.batch_size, device=device)
    right = accuracy(logits, dataset.test_labels)
    if warning := _near_chance(right, dataset):
        print(f"import_model: warning: {warning}", file=sys.stderr, flush=True)
    model_id = config.works_for({})
    assert model_id is not None
    facts = {
        "model": model_id.model_dump(mode="json"),
        "architecture": config.model,
        "imported": recipe,
        "input_step": config.input_step,
        "draws": config.draws,
        "code_sha256": code,
        **given.facts,
        "num_classes": dataset.num_classes,
        "image_shape": list(dataset.image_shape),
        "training": [],
        "teacher_training": [],
        "train_accuracy": None,
        "test_accuracy": right,
        "warnings": [warning] if warning else [],
    }
    return Result(facts, lambda folder: write_tensors(folder, given.tensors))


def _given(config: ImportModelConfig, dataset: Dataset) -> Given:
    """The network that the settings name, with its weights."""
    if in_registry(config.model):
        with files_of(config.model, tracking_uri()) as files:
            _require_digest(config.model, files.digest, config.sha256)
            return _promoted(files) if files.artifact else _exported(files, trust=config.trust)
    if is_onnx(config.model):
        return _of_bytes(ONNX_FILE, _content(config.model, config.sha256))
    if config.weights:
        content = _content(config.weights, config.sha256)
        weights = _weights(content, config.weights, trust=config.trust)
        network = network_with(config.model, dataset.num_classes, weights, config.weights)
    else:
        network = named_network(config.model, dataset.num_classes)
    return Given(network, dict(network.state_dict()))


def _promoted(files: Files) -> Given:
    """A network of the pipeline's own trainings, built as it was there."""
    with artifacts.opened(str(files.artifact), "model") as artifact:
        tensors = unpack(artifact.file(TENSORS).read_bytes(), files.reference)
        built = {name: artifact.facts[name] for name in BUILT}
    network = trained_network(built, tensors, files.reference)
    return Given(network, tensors, {"built": built}, tuple(built["image_shape"]))


def _exported(files: Files, *, trust: bool) -> Given:
    """A network that others have logged with mlflow.pytorch, as a graph.

    Raises:
        InputError: for a graph that nobody trusts, since it may run code when it is read; for a pickled module, which
            `trust` does not make tensors alone.
    """
    file, name = files.model, f"{files.reference} ({files.model.name})"
    if file.suffix == ".pt2":
        if not trust:
            raise InputError(
                f"model: expected a model that defdistill promote has registered, got {name}, a graph that others "
                "exported, which may run code when it is read; set trust if you trust them"
            )
        return dataclasses.replace(_of_bytes(PROGRAM, file.read_bytes()), image_shape=files.image_shape)
    if trust:
        _weights(file.read_bytes(), name, trust=True, then=LOG)
    got = "weights without a network" if trust else "which is pickled, and runs code when it is read"
    raise InputError(f"model: expected an exported graph, got {name}, {got}; {LOG}")


def _of_bytes(name: str, content: bytes) -> Given:
    tensors = {name: torch.frombuffer(bytearray(content), dtype=torch.uint8)}
    network = network_of_bytes(tensors)
    assert network is not None
    return Given(network, tensors)


def _content(place: str, sha256: str | None) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: if they are others than those of which `sha256` is.
    """
    content = storage.read_bytes(place)
    _require_digest(place, hashlib.sha256(content).hexdigest(), sha256)
    return content


def _require_digest(place: str, found: str, sha256: str | None) -> None:
    if sha256 not in (None, found):
        raise InputError(f"{place}: expected the file with SHA-256 {sha256}, got one with {found}: it was changed")


def _weights(content: bytes, place: str, *, trust: bool, then: str = "") -> dict[str, Tensor]:
    """The weights in a file by name.

    Args:
        content: of the file.
        place: where it lies, for errors.
        trust: whether a pickled file is read, as tensors alone.
        then: what to do where that cannot be.

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
        hint = f"; {then}" if then else ""
        raise InputError(f"{place}: expected a checkpoint of tensors alone, got: {said}{hint}") from error
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


def _check(
    model: nn.Module,
    config: ImportModelConfig,
    dataset: Dataset,
    device: torch.device,
    image_shape: tuple[int, ...] | None,
) -> None:
    """That the network takes the images, and has a logit for each class."""
    if image_shape not in (None, dataset.image_shape) and not config.image_size:
        takes, has = ("×".join(map(str, shape)) for shape in (image_shape or (), dataset.image_shape))
        raise InputError(f"model: expected one that takes images of {has}, got {config.model}, which takes {takes}")
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


def _settled(config: ImportModelConfig) -> ImportModelConfig:
    return origin.settled(config, tracking_uri())


STAGE = Stage(ImportModelConfig, _compute, settled=_settled)
run = STAGE.run

if __name__ == "__main__":
    main("import_model")
