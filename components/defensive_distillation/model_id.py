"""Which network is meant: one identity in manifests, evaluations, MLflow, the command line and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from defensive_distillation.errors import ArtifactError

Role = Literal["baseline", "teacher", "defended", "imported", "control"]
ROLES: tuple[Role, ...] = ("baseline", "teacher", "defended", "imported", "control")
Parameter = bool | int | float | str


class ModelId(BaseModel):
    """A network by its role, its defense and the parameters of that defense.

    Attributes:
        role: baseline, the network that nothing was done to; teacher, which a defended network learns from; defended;
            imported, somebody's own, of whose training nothing is known; control, the baseline changed in one respect
            that the defense also changes.
        defense: name of the defense, '' for the baseline.
        parameters: of the defense.
        label: names the network in commands, runs and files, such as 'T=20'; a teacher has its student's.
        title: names it for a reader, such as 'T = 20'.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    role: Role
    defense: str = ""
    parameters: Mapping[str, Parameter] = {}
    label: str
    title: str

    @classmethod
    def of(cls, facts: Mapping[str, Any], location: str) -> ModelId | None:
        """The network that the artifact at `location` is, or belongs to; None for one of the sweep as a whole.

        Raises:
            ArtifactError: if its facts name none that can be.
        """
        try:
            return cls.model_validate(facts["model"]) if facts.get("model") else None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("facts", "model", *first["loc"])))
            raise ArtifactError(f"{location}: {place}: expected a network's identity, got {first['msg']}") from error

    @classmethod
    def required(cls, facts: Mapping[str, Any], location: str) -> ModelId:
        """As `of`, of an artifact that belongs to a network.

        Raises:
            ArtifactError: if it names none.
        """
        if (found := cls.of(facts, location)) is None:
            raise ArtifactError(f"{location}: facts.model: expected a network's identity, got none")
        return found

    def __str__(self) -> str:
        """'the baseline', 'the teacher T=20', 'the control T=20'."""
        return f"the {self.label}" if self.role in ("baseline", "control") else f"the {self.role} {self.label}"

    @property
    def temperature(self) -> float:
        """T of the training, or that a control's logits are multiplied by; 1 where there is none."""
        return float(self.parameters.get("temperature", 1.0))

    @property
    def known_temperature(self) -> float | None:
        """T that an attacker who knows how the network came about divides its logits by.

        None where nothing tells it, so that T̂ has to do (networks.softmax.logit_temperature).
        """
        return self.temperature if self.role == "baseline" or "temperature" in self.parameters else None

    @property
    def order(self) -> tuple[int, str, tuple[tuple[str, str | float], ...]]:
        """Sorts networks: the baseline, then the defended by defense and parameters, then the controls."""
        parameters = ((name, _sortable(value)) for name, value in sorted(self.parameters.items()))
        return ROLES.index(self.role), self.defense, tuple(parameters)


BASELINE = ModelId(role="baseline", label="baseline", title="no distillation")


def _sortable(value: Parameter) -> str | float:
    return value if isinstance(value, str) else float(value)
