"""Settings that several attacks share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from defensive_distillation.suite.specification import Section

JsmaOutput = Literal["probabilities", "logits", "scaled"]
_OUTPUTS = "What is differentiated: probabilities (the paper's, T = 1), logits, scaled (probabilities of z/T)."


def rising(numbers: tuple[float, ...], *, above: float, most: float, bounds: str) -> tuple[float, ...]:
    """`numbers`, if they rise and lie within the bounds.

    Raises:
        ValueError: if not; pydantic reports it.
    """
    if list(numbers) != sorted(set(numbers)) or not all(above < number <= most for number in numbers):
        raise ValueError(f"expected rising numbers {bounds}")
    return numbers


class Jsma(Section):
    """The defaults are the authors' own."""

    outputs: tuple[JsmaOutput, ...] = Field(("probabilities", "logits", "scaled"), min_length=1, description=_OUTPUTS)
    sources: int = Field(10_000, ge=1, description="Test images that are attacked, each towards every other class.")
    max_features: int = Field(112, ge=0, description="Budget: the most features that may change.")
    theta: float = Field(
        1.0, ge=-1, le=1, description="Change of a feature in one step; above 0 brightens, below 0 darkens."
    )

    @field_validator("theta")
    @classmethod
    def _theta_moves(cls, theta: float) -> float:
        if theta == 0:
            raise ValueError("theta must not be 0")
        return theta

    @field_validator("outputs")
    @classmethod
    def _outputs_differ(cls, outputs: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(outputs)) != len(outputs):
            raise ValueError("each may be named once")
        return outputs

    def check_features(self, features: int) -> str:
        """What is wrong with the budget for images of `features` features, '' if nothing."""
        if self.max_features <= features:
            return ""
        return f"max_features: expected at most {features}, the features of an image, got {self.max_features}"


TARGETS = Field(
    None,
    ge=1,
    description="Other classes that each is attacked towards, drawn for it at random; none: every other class.",
)


class TargetedJsma(Jsma):
    """The defaults are the authors' own."""

    targets: int | None = TARGETS


class Bounded(Section):
    """Attacks within L∞ balls, which are untargeted, on the same samples; transfer is compared with them."""

    samples: int = Field(1_000, ge=1, description="Test images of fgsm, pgd, square, noise and transfer.")
    epsilons: tuple[float, ...] = Field(
        (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1.0),
        min_length=1,
        description="Radii of the L∞ ball, rising, images in [0, 1]; the last should be 1, where nothing is bounded.",
    )

    @field_validator("epsilons")
    @classmethod
    def _rise(cls, epsilons: tuple[float, ...]) -> tuple[float, ...]:
        return rising(epsilons, above=0.0, most=1.0, bounds="above 0 and at most 1")


class CarliniWagner(Section):
    """How the nearest sample is searched for, in all three norms; transfer crafts its samples so."""

    sources: int = Field(100, ge=1, description="Test images that are attacked, each towards every other class.")
    targets: int | None = TARGETS
    steps: int = Field(1_000, ge=1, description="Steps of the optimiser for one constant.")
    search_steps: int = Field(9, ge=1, description="Constants that are tried in L2, by binary search.")
    learning_rate: float | None = Field(
        None, gt=0, le=1e6, description="Step size of the optimiser; none: the authors', 0.01, and 0.005 in L∞."
    )
    initial_constant: float = Field(
        1.0, ge=1e-10, le=1e10, description="First constant, in units of what a linear network would need."
    )
    constant_factor: float = Field(4.0, ge=1.01, le=1e6, description="Factor on the constant where it did not suffice.")

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `carlini_wagner` and of `transfer`."""
        return self.model_dump(exclude={"sources", "targets"})
