"""audit: the whole suite on a classifier of one's own, and the verdict on its gradients."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.auditing.attacking import attacked
from defensive_distillation.auditing.images import TestImages, test_images
from defensive_distillation.auditing.result import Audit
from defensive_distillation.config import stage_config
from defensive_distillation.config.loading import merged
from defensive_distillation.datasets.dataset import Dataset, content_digest
from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.metrics import chance_where_near
from defensive_distillation.evaluation.network import NetworkFacts, evaluate
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.adapter import Adapter, Classifier, adapter_in, try_on
from defensive_distillation.networks.architectures import as_input, predict
from defensive_distillation.networks.input_steps import Step, chance
from defensive_distillation.networks.softmax import logit_temperature
from defensive_distillation.networks.views import Views
from defensive_distillation.reporting.findings.images import few_images
from defensive_distillation.runtime.progress import Progress
from defensive_distillation.suite import fitting
from defensive_distillation.suite.registry import ATTACKS

GRADIENT_SAMPLES = 100
BATCH = 128  # images in a forward pass
MOST_CLASSES = 10**6  # before the model has told


def audit(
    model: Classifier,
    images: Any,
    labels: Any,
    *,
    epsilons: Sequence[float] | float | None = None,
    attacks: Sequence[str] | str | None = None,
    input_step: Step | None = None,
    draws: int = 1,
    classes: Sequence[str] | None = None,
    half_width: float = fitting.HALF_WIDTH,
    on_grid: bool = False,
    settings: Mapping[str, Any] | None = None,
    name: str = "the model",
    data: str = "the images",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
) -> Audit:
    """Attacks a classifier with the whole suite, checks the attacks, and judges whether its gradients are masked.

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K): a module, which is copied, or any function, of
            tensors or of NumPy arrays. Normalisation belongs into it, the softmax does not.
        images: (N, C, H, W), floating point in [0, 1] or uint8, rounded to 8 bits; or inputs (N, ...) of any other
            shape in [0, 1], as they are.
        labels: (N,) whole numbers from 0, or one-hot.
        epsilons: L∞ radii; None: up to 8/255 for photographs, else, as for digits, up to 0.3. 1 is always added.
        attacks: names of attacks; None: all but transfer. With more than 20 classes the targeted ones go towards 9
            of them, drawn at random for each image, unless `settings` say otherwise.
        input_step: what the defense does to an image before the network, where that hides the gradient (quantisation,
            JPEG): from images to images. `model` is then the network behind it; naive attackers differentiate the step
            as it is, adaptive ones as the identity (BPDA).
        draws: for a random network: decisions are by the mean logits of so many draws, and adaptive attackers
            differentiate that mean (EOT); naive ones see a single draw.
        classes: names of the classes.
        half_width: of the 95 % interval of a rate, which decides how many images are attacked.
        on_grid: whether a last step of every attack brings its samples to the 256 values of an image of 8 bits.
        settings: of the attacks, by section, as under `attack` in docs/configuration.md: {"pgd": {"steps": 100}}.
        name: of the model, for the report.
        data: of the images, for the report.
        seed: that everything random derives from.
        device: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.
        batch_size: samples at once; None: as many as keep the device busy.
        progress: whether to show a bar where there is a terminal.

    Raises:
        InputError: for a model, images or labels that cannot be used, with what was expected and what came.
    """
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    started = time.perf_counter()
    where = compute.device(device, torch.get_num_threads())
    with chance(seeds.derive(seed, "audit"), where):
        views = Views.of(compute.on(where, Adapter(model)), input_step, draws)
        dataset, logits = _tried(views.judged, where, images, labels, classes, data, batch_size or BATCH)
        config = settings_for(
            dataset,
            epsilons=epsilons,
            attacks=attacks,
            half_width=half_width,
            given={"seed": seed, "batch_size": batch_size, "on_grid": on_grid, **(settings or {})},
        )
        if on_grid and dataset.test_images.dtype != torch.uint8:
            shape = tuple(dataset.test_images.shape)
            raise InputError(f"on_grid: expected images (N, C, H, W) with C 1 or 3, got inputs of shape {shape}")
        temperature = logit_temperature(logits)
        shown = Progress("audit", bar=progress)
        outcomes = attacked(
            views,
            dataset,
            config,
            temperature,
            device=where,
            on_finished=lambda done, total: shown.update(done, total, "samples"),
        )
        found = evaluate(
            views.judged,
            dataset,
            outcomes,
            network=NetworkFacts(ModelId(role="imported", label=name, title=name), type(model).__name__),
            temperature=temperature,
            digest=content_digest(dataset),
            seed=seed,
            device=where,
            batch_size=batch_size or BATCH,
            gradient_samples=GRADIENT_SAMPLES,
            given=views.given,
        )
    return Audit.of(
        found.evaluation,
        dataset,
        outcomes,
        warnings=_warnings(
            found.evaluation,
            dataset,
            step=input_step is not None,
            draws=draws,
            differentiable=adapter_in(views.given).differentiable,
        ),
        seconds=time.perf_counter() - started,
    )


def settings_for(
    dataset: Dataset,
    *,
    epsilons: Sequence[float] | float | None,
    attacks: Sequence[str] | str | None,
    half_width: float,
    given: Mapping[str, Any],
) -> Any:
    """An AttackConfig: what fits the data, and over it what was given.

    Raises:
        InputError: for a radius outside (0, 1], or an attack that needs another network.
        ConfigurationError: for an unknown attack or setting.
    """
    values: dict[str, Any] = fitting.fitting_sections(dataset.test_images, dataset.num_classes, half_width)
    if epsilons is not None:
        values["bounded"]["epsilons"] = fitting.rising(epsilons)
    names = fitting.fitting_attacks() if attacks is None else attacks
    values["attacks"] = (names,) if isinstance(names, str) else tuple(names)
    for name in values["attacks"]:
        if name in ATTACKS and ATTACKS[name].surrogate:
            raise InputError(f"attacks: expected some that need no other network than the model, got {name}")
    return stage_config("attack", merged(values, given))


def _tried(
    model: nn.Module,
    device: torch.device,
    images: Any,
    labels: Any,
    classes: Sequence[str] | None,
    data: str,
    batch_size: int,
) -> tuple[TestImages, Tensor]:
    """The images as a dataset, and their logits, after both have been checked."""
    count, grey = _taken(model, device, images, labels, batch_size)
    if classes is not None and len(classes) != count:
        raise InputError(f"classes: expected {count} names, one for each logit of the model, got {len(classes)}")
    dataset = test_images(images, labels, classes=count if classes is None else classes, name=data, grey=grey)
    logits = predict(model, dataset.test_images, batch_size=batch_size, device=device)
    if not bool(logits.isfinite().all()):
        wrong = int((~logits.isfinite()).any(1).sum())
        raise InputError(f"model: expected finite logits, got NaN or infinity on {wrong} of {len(logits)} images")
    return dataset, logits


def _taken(model: nn.Module, device: torch.device, images: Any, labels: Any, batch_size: int) -> tuple[int, bool]:
    """K, and whether inputs of three dimensions are grey images: series, where the model takes nothing else."""
    refused: InputError | None = None
    for grey in (True, False) if np.ndim(images) == 3 else (True,):
        unnamed = test_images(images, labels, classes=MOST_CLASSES, name="", grey=grey)
        try:
            return try_on(model, as_input(unnamed.test_images[:batch_size].to(device))).shape[1], grey
        except InputError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _warnings(
    evaluation: Evaluation,
    dataset: Dataset,
    *,
    step: bool,
    draws: int,
    differentiable: bool,
) -> tuple[str, ...]:
    """What a person should know before they believe the numbers."""
    said, accuracy = [], evaluation.accuracy
    faults = {sign.name for sign in evaluation.masking.gradient}
    if "stepped" in faults and not differentiable:
        said.append(
            "the model returns logits without a gradient (arrays, no_grad or detach within), so the verdict is on the "
            "function, and need not hold of the network in it: give one of tensors that PyTorch can differentiate, and "
            "a step that it cannot as input_step="
        )
    elif "stepped" in faults and not step:
        said.append(
            "give the step without a gradient as input_step=, and as the model the network behind it: adaptive attacks "
            "then go round it"
        )
    if "random" in faults and draws == 1:
        said.append(
            "give draws=16 or so: decisions, and what adaptive attacks differentiate, are then means; if the model is "
            "not meant to be random, put the networks that the function calls into evaluation mode: network.eval()"
        )
    if (chance := chance_where_near(accuracy, dataset.test_labels)) is not None:
        said.append(
            f"the model classifies {accuracy:.1%} right, and the largest class is {chance:.1%} of the images: are "
            "normalisation, order of the classes and of the channels, and image size those of its training?"
        )
    if few := few_images([evaluation]):
        said.append(few)
    return tuple(said)
