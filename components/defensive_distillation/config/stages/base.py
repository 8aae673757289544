"""What the settings of all stages share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, ValidationError

from defensive_distillation.errors import ConfigurationError
from defensive_distillation.model_id import ModelId
from defensive_distillation.settings import Settings, shown

MOST_THREADS = 1024
LONGEST_NAME = 63  # of what Kubernetes is told
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False, description="Temperature T of the softmax, above 0.")]

ExperimentName = Annotated[
    str,
    Field(
        max_length=LONGEST_NAME,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of the experiment that a champion is known by.",
    ),
]


@dataclass(frozen=True)
class Input:
    """An artifact that a stage reads: its kind, whether there may be several or none, and a word for --help."""

    kind: str
    many: bool = False
    optional: bool = False
    help: str = ""


class StageConfig(Settings):
    """Base of a stage's settings, which also states what the stage is.

    Attributes:
        stage: its name.
        summary: what it does, for --help.
        reads: its inputs by name.
        writes: the kind of its artifact.
        output: the name of that artifact among the stage's arguments in a pipeline.
        libraries: whose versions are part of its identity, for they decide bytes.
        example: arguments of a command that works.
    """

    stage: ClassVar[str]
    summary: ClassVar[str]
    reads: ClassVar[Mapping[str, Input]] = {}
    writes: ClassVar[str]
    output: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")
    example: ClassVar[str]

    seed: int = Field(0, ge=0, description="Seed of the experiment; each stage derives its own from it.")

    @property
    def part(self) -> str:
        """What tells apart several tasks of this stage that work for one model."""
        return ""

    def needs(self, name: str) -> bool:
        """Whether these settings make use of the input `name`."""
        return name in self.reads

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The network that the stage works for, by the networks of its inputs; None for the sweep as a whole."""
        return inputs.get("model")


class ComputeConfig(StageConfig):
    """What the stages that run a network share."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?|mps)$",
        description="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.",
    )
    threads: int = Field(
        1,
        ge=1,
        le=MOST_THREADS,
        description="CPU threads. Results are the same bytes only for the same number.",
    )
    tf32: bool = Field(
        False,
        description=(
            "On a GPU, products and convolutions with 10 bits after the point (TF32): faster, other results. Elsewhere "
            "nothing."
        ),
    )


def explain(error: ValidationError, where: str) -> ConfigurationError:
    """Turns pydantic's report into one line: which setting, what was expected, what came."""
    problem = error.errors()[0]
    path = ".".join(str(part) for part in problem["loc"])
    place = ".".join(part for part in (where, path) if part)
    others = len({found["loc"] for found in error.errors()}) - 1
    more = f" (and {others} more)" if others else ""
    if problem["type"] == "extra_forbidden":
        return ConfigurationError(f"{place}: expected a setting of the stage, got a key that does not exist{more}")
    expected = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    expected = expected.removeprefix(f"{place.rpartition('.')[2]}: ")
    # a check of our own over several settings names the one that is wrong
    ours = problem["type"] == "value_error" and ", got " in expected
    got = "" if ours else f", got {shown(problem['input'])}"
    return ConfigurationError(f"{place}: {expected}{got}{more}" if place else f"{expected}{more}")
