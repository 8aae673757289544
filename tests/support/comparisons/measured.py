"""Networks measured sample by sample, for the tests of comparisons: only what a test names differs from the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from defensive_distillation import artifacts
from defensive_distillation.artifacts.arrays import TENSORS, read_arrays
from defensive_distillation.artifacts.evaluation import SAMPLES, Errors, Measured, Pairs
from defensive_distillation.evaluation.results import Masked, RobustAccuracy
from support.evaluations import evaluation, wilson

CLASSES = 10


def pairs(success: Sequence[bool], distance: Sequence[float] | None = None, *, per_source: int = 9) -> Pairs:
    """Pairs in order, nine a source; one that failed is infinitely far."""
    reached = np.array(success, dtype=np.bool_)
    number = np.arange(len(reached), dtype=np.int32)
    length = np.ones(len(reached)) if distance is None else np.array(distance)
    return Pairs(
        source=number // per_source,
        target=number % per_source,
        success=reached,
        distance=np.where(reached, length, np.inf).astype(np.float32),
    )


def network(
    temperature: float | None = 20.0,
    *,
    correct: Sequence[bool] = (True,) * 100,
    attacks: Mapping[str, Pairs] | None = None,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    errors: Sequence[float] | None = None,
    epsilons: tuple[float, ...] = (0.1, 0.3, 1.0),
    masked: Masked = "no",
    images: str = "5e" * 32,
) -> Measured:
    """A network of which only what is given was measured."""
    right = np.array(correct, dtype=np.bool_)
    found = evaluation(temperature, probabilities=150, logits=150, scaled=150, accuracy=float(right.mean()))
    changed: dict[str, Any] = {"masking": found.masking.model_copy(update={"masked": masked})}
    if errors is not None:
        hits = [sum(error > epsilon for error in errors) for epsilon in epsilons]
        changed["robust"] = RobustAccuracy(
            samples=len(errors),
            misclassified=sum(error == 0 for error in errors),
            epsilons=epsilons,
            right=tuple(hits),
            fooled=tuple(len(errors) - sum(error == 0 for error in errors) - hit for hit in hits),
            accuracy=tuple(hit / len(errors) for hit in hits),
            intervals=tuple(wilson(hit, len(errors)) for hit in hits),
        )
    ran = attacks or {}
    return Measured(
        evaluation=found.model_copy(update=changed),
        digest="",
        images=images,
        correct=right,
        pairs=ran,
        arguments={name: {} for name in ran} if arguments is None else arguments,
        errors=None
        if errors is None
        else Errors(np.arange(len(errors), dtype=np.int32), np.array(errors, dtype=np.float64)),
    )


def shares(true: int, of: int) -> list[bool]:
    """`true` times True, then False."""
    return [True] * true + [False] * (of - true)


def rewritten(
    source: str,
    place: Path,
    arrays: Mapping[str, NDArray[Any]] = {},
    *,
    change: Callable[[dict[str, Any]], object] = lambda facts: None,
    **found: Any,
) -> str:
    """The evaluation artifact at `source` with other samples, named without their prefix, other numbers and facts."""
    with artifacts.opened(source, "evaluation") as artifact:
        manifest, content = artifact.manifest.model_dump(mode="json"), read_arrays(artifact)
    facts = manifest["facts"]
    facts["evaluation"] |= found
    change(facts)
    content |= {f"{SAMPLES}.{name}": array for name, array in arrays.items()}
    kept = {key: manifest[key] for key in ("kind", "stage", "code", "config", "inputs", "environment")}
    artifacts.write(str(place), **kept, facts=facts, write_files=lambda folder: save_file(content, folder / TENSORS))
    return str(place)
