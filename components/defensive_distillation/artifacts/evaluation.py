"""An evaluation as an artifact: its numbers in the manifest, and what came of each sample, by which networks compare.

The attacks' own artifacts may be gone when two networks are compared; this is what it takes to pair them, thirteen
bytes a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import read_arrays
from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.results import Evaluation

SAMPLES = "samples"  # stands before the names of the tensors; also the key of what the manifest says of them


@dataclass(frozen=True)
class Pairs:
    """What came of each pair of source and target of one attack."""

    source: NDArray[np.int32]  # (P,) into the test images
    target: NDArray[np.int32]  # (P,) class; of an untargeted attack the true one
    success: NDArray[np.bool_]  # (P,)
    distance: NDArray[np.float32]  # (P,) in the attack's own measure; infinite where it failed


@dataclass(frozen=True)
class Errors:
    """How far the nearest known error lies from each of some test images (evaluation/robust.py)."""

    source: NDArray[np.int32]  # (S,)
    linf: NDArray[np.float64]  # (S,)


@dataclass(frozen=True)
class Measured:
    """An evaluation with what it takes to compare it with another one, sample by sample.

    Attributes:
        evaluation: its numbers.
        digest: of the artifact.
        images: digest of the dataset's images and labels.
        correct: (N,) whether each test image is classified right.
        pairs: of each attack by its name, such as 'jsma/logits'.
        arguments: of each attack, by its name.
        errors: None where no attack within balls was run.
    """

    evaluation: Evaluation
    digest: str
    images: str
    correct: NDArray[np.bool_]
    pairs: Mapping[str, Pairs]
    arguments: Mapping[str, Mapping[str, Any]]
    errors: Errors | None

    @property
    def name(self) -> str:
        """The network's label."""
        return self.evaluation.name


def read_measured(artifact: Artifact) -> Measured:
    """The evaluation in an artifact, sample by sample.

    Raises:
        ArtifactError: if it does not hold the samples.
    """
    facts = artifact.facts.get(SAMPLES)
    if facts is None:
        raise ArtifactError(
            f"{artifact.location}: expected an evaluation that tells of each sample, got one of an earlier version; "
            "run evaluate again"
        )
    arrays = {
        name.removeprefix(f"{SAMPLES}."): value
        for name, value in read_arrays(artifact).items()
        if name.startswith(f"{SAMPLES}.")
    }
    has_errors = "errors.linf" in arrays
    return Measured(
        evaluation=evaluation_of(artifact.location, artifact.facts),
        digest=artifact.digest,
        images=facts["images"],
        correct=arrays["correct"],
        pairs={
            name: Pairs(**{key: arrays[f"{name}.{key}"] for key in ("source", "target", "success", "distance")})
            for name in facts["arguments"]
        },
        arguments=facts["arguments"],
        errors=Errors(arrays["errors.source"], arrays["errors.linf"]) if has_errors else None,
    )
