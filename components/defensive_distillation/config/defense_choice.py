"""Which defenses a sweep has, each with its parameters."""

from __future__ import annotations

import difflib
from typing import Any, Self

from pydantic import Field, model_validator

from defensive_distillation.defenses import distillation
from defensive_distillation.defenses.registry import DEFENSES, all_parameters
from defensive_distillation.settings import Settings

NONE = "none"  # names the baseline, which is always there
_DISTILLATION = distillation.DEFENSE.name


class DefenseChoice(Settings):
    """A defense of the sweep; also from a text, such as 'label_smoothing' or 'adversarial_training:epsilon=0.1'."""

    defense: str = Field(description=f"One of {', '.join(DEFENSES)}.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the defense, by name.")

    def __str__(self) -> str:
        """As the command line takes it."""
        return ":".join([self.defense, *(f"{name}={value}" for name, value in self.parameters.items())])

    @property
    def by_temperatures(self) -> bool:
        """Whether this is distillation at the temperatures of the sweep, in stages of its own."""
        return self.defense == _DISTILLATION and not self.parameters

    @property
    def label(self) -> str:
        """Of the network that is trained under it."""
        return DEFENSES[self.defense].model_id("defended", self.parameters).label

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        name, *pairs = (part.strip() for part in given.split(":"))
        parameters = dict(pair.partition("=")[::2] for pair in pairs)
        if not all(parameters.values()):
            raise ValueError(f"expected NAME or NAME:PARAMETER=VALUE, got {given!r}")
        return {"defense": name, "parameters": parameters}

    @model_validator(mode="after")
    def _exists(self) -> Self:
        known_defense(self.defense)
        if not self.by_temperatures:
            object.__setattr__(self, "parameters", all_parameters(self.defense, self.parameters))
        return self


def known_defense(name: str) -> None:
    """Raises ValueError, which pydantic reports, unless there is a defense of that name."""
    if name not in DEFENSES:
        near = difflib.get_close_matches(name, DEFENSES, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"expected a defense among {', '.join(DEFENSES)}, got {name!r}{meant}")


def named(given: Any) -> Any:
    """A list of choices without those that name the baseline; whatever else was given."""
    return [one for one in given if one not in (NONE, {"defense": NONE})] if isinstance(given, list | tuple) else given
