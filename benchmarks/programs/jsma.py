"""JSMA by every peer: θ = 1, 112 features, targeted, 56 steps for each pair, one thread."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.work import CLASSES, MAX_FEATURES, SHAPES, network, pairs, plain_network

# A softmax at T = 1 would saturate under the bias that keeps class 0 predicted, and its gradient vanish.
FLAT = 1e4


def prepare(
    name: str, *, architecture: str, count: int, batch: int, device: str = "cpu"
) -> Callable[[], dict[str, float]]:
    """The program `name` on `count` pairs, warmed up: ours, and the recipe, by a step of all of them, others on one."""
    own: dict[str, Callable[[], Callable[..., Tensor]]] = {
        "ours": lambda: _ours(architecture, batch, "logits"),
        "ours_plain": lambda: _ours(architecture, batch, "logits", plain=True),
        "ours_probabilities": lambda: _ours(architecture, batch, "probabilities"),
        "recipe": lambda: _recipe(architecture, batch, None),
        "recipe_probabilities": lambda: _recipe(architecture, batch, FLAT),
    }
    peers = {
        "art": lambda: of_art(
            plain_network(architecture).to(device), SHAPES[architecture], batch, device, MAX_FEATURES - 2
        ),
        "torchattacks": lambda: of_torchattacks(plain_network(architecture).to(device), SHAPES[architecture]),
        "torchattacks_frozen": lambda: of_torchattacks(
            plain_network(architecture).to(device).requires_grad_(False), SHAPES[architecture]
        ),
        "cleverhans": lambda: _cleverhans(architecture, batch),
    }
    attack = (own | peers)[name]()
    images, targets = (each.to(device) for each in pairs(architecture, count))
    if name in own:
        attack(images, targets, max_features=2)
    else:
        attack(images[:1], targets[:1])

    def run() -> dict[str, float]:
        adversarial = attack(images, targets)
        changed = (adversarial != images).flatten(1).sum(1).double()
        return {"work": float(count), "changed": float(changed.mean()), "least": float(changed.min())}

    return run


def _ours(architecture: str, batch: int, output: Any, *, plain: bool = False) -> Callable[..., Tensor]:
    """On our own network, or on a `plain` one, as a user brings it."""
    from defensive_distillation.attacks import jsma
    from defensive_distillation.networks import compute

    device = compute.device("cpu", 1)
    model = plain_network(architecture) if plain else compute.on(device, network(architecture))

    def attack(images: Tensor, targets: Tensor, max_features: int = MAX_FEATURES) -> Tensor:
        found = jsma(
            model,
            images,
            targets,
            max_features=max_features,
            output=output,
            temperature=FLAT if output == "probabilities" else 1.0,
            batch_size=batch,
        )
        return found.adversarial

    return attack


def _recipe(architecture: str, batch: int, temperature: float | None) -> Callable[..., Tensor]:
    from benchmarks.programs.recipe import recipe

    settings: dict[str, Any] = {"max_features": MAX_FEATURES, "batch": batch, "temperature": temperature}
    return functools.partial(recipe, plain_network(architecture), **settings)


def art_classifier(model: nn.Module, shape: tuple[int, int, int], device: str) -> Any:
    """A network as ART wants it."""
    from art.estimators.classification import PyTorchClassifier

    kind = "cpu" if device == "cpu" else "gpu"
    return PyTorchClassifier(model, nn.CrossEntropyLoss(), shape, CLASSES, clip_values=(0.0, 1.0), device_type=kind)


def of_art(
    model: nn.Module, shape: tuple[int, int, int], batch: int, device: str, features: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """It stops once more than `features` have changed, two at a time: two fewer than 112 make 56 steps."""
    from art.attacks.evasion import SaliencyMapMethod

    classifier, gamma = art_classifier(model, shape, device), features / np.prod(shape)
    return art_attack(SaliencyMapMethod(classifier, theta=1.0, gamma=gamma, batch_size=batch, verbose=False))


def art_attack(made: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """An attack of ART from tensors to tensors, which it wants as arrays, the classes one by one."""

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        shown, wanted = images.cpu().numpy(), np.eye(CLASSES)[targets.cpu().numpy()]
        return torch.from_numpy(made.generate(shown, wanted)).to(images.device)

    return attack


def of_torchattacks(model: nn.Module, shape: tuple[int, int, int]) -> Callable[[Tensor, Tensor], Tensor]:
    """One image at a time; half of gamma D, rounded up, are its steps."""
    import torchattacks

    made = torchattacks.JSMA(model, theta=1.0, gamma=(MAX_FEATURES - 0.5) / float(np.prod(shape)))
    made.set_mode_targeted_by_label(quiet=True)

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = made(images, targets)
        return found

    return attack


def _cleverhans(architecture: str, batch: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The same network in TensorFlow's graph mode: CleverHans 3.1 wants TensorFlow 1, whose interface 2 still has."""
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    np.product = np.prod  # type: ignore[attr-defined]  # NumPy 2 has dropped the name
    sys.modules["tensorflow"] = tf
    sys.modules["tensorflow_addons"] = types.ModuleType("tensorflow_addons")  # another of its attacks asks for it
    from cleverhans.attacks import SaliencyMapMethod
    from cleverhans.model import Model

    layers = _as_numpy(architecture)

    class Twin(Model):  # type: ignore[misc]
        def fprop(self, x: Any, **_: Any) -> dict[str, Any]:
            return {self.O_LOGITS: _logits(tf, x, layers)}

    channels, height, width = SHAPES[architecture]
    options = {"intra_op_parallelism_threads": 1, "inter_op_parallelism_threads": 1}
    session = tf.Session(config=tf.ConfigProto(**options))
    x, y = tf.placeholder(tf.float32, (None, height, width, channels)), tf.placeholder(tf.float32, (None, CLASSES))
    made = SaliencyMapMethod(Twin("twin", CLASSES, {}), sess=session)
    # half of gamma D, rounded down, are its steps: half a feature more than 112 is safe from rounding
    gamma = (MAX_FEATURES + 0.5) / (channels * height * width)
    adversarial = made.generate(x, y_target=y, theta=1.0, gamma=gamma, clip_min=0.0, clip_max=1.0)
    logits = _logits(tf, x, layers)

    sample = pairs(architecture, 2)[0]
    found = session.run(logits, {x: sample.permute(0, 2, 3, 1).numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, plain_network(architecture)(sample).numpy(), rtol=1e-3, atol=1e-3)

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        parts = []
        for rows in torch.arange(len(images)).split(batch):
            feed = {x: images[rows].permute(0, 2, 3, 1).numpy(), y: np.eye(CLASSES)[targets[rows].numpy()]}
            parts.append(torch.from_numpy(session.run(adversarial, feed)).permute(0, 3, 1, 2))
        return torch.cat(parts)

    return attack


def _as_numpy(architecture: str) -> list[tuple[str, Any, Any]]:
    """Layers as (kind, weights, biases), convolutions as TensorFlow has them."""
    layers: list[tuple[str, Any, Any]] = []
    for layer in plain_network(architecture).children():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            layers.append(("conv", layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()))
        elif isinstance(layer, nn.Linear):
            layers.append(("linear", layer.weight.detach().t().numpy(), layer.bias.detach().numpy()))
        elif not isinstance(layer, nn.Dropout):
            layers.append((type(layer).__name__, None, None))
    return layers


def _logits(tf: Any, x: Any, layers: list[tuple[str, Any, Any]]) -> Any:
    for kind, weight, bias in layers:
        if kind == "conv":
            x = tf.nn.conv2d(x, weight, strides=[1, 1, 1, 1], padding="VALID") + bias
        elif kind == "linear":
            x = tf.matmul(x, weight) + bias
        elif kind == "ReLU":
            x = tf.nn.relu(x)
        elif kind == "MaxPool2d":
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        else:
            assert kind == "Flatten"
            x = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [tf.shape(x)[0], -1])
    return x
