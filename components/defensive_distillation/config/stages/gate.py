"""Settings of gate: which measures may get worse, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from defensive_distillation.config.stages.base import ExperimentName, Input, StageConfig
from defensive_distillation.model_id import ModelId, Role
from defensive_distillation.settings import Settings

_COMPARED = "Whether the gate heeds it."


class Rule(Settings):
    """Base of a measure that may get worse by a little; each has its own default."""


class AccuracyRule(Rule):
    """Accuracy, which may fall."""

    compared: bool = Field(True, description=_COMPARED)
    tolerance: float = Field(0.02, ge=0, description="Most that accuracy may fall by: 0.02 is two points.")


class RobustAccuracyRule(Rule):
    """Robust accuracy at each radius, which may fall."""

    compared: bool = Field(True, description=_COMPARED)
    tolerance: float = Field(0.05, ge=0, description="Most that robust accuracy may fall by, at any radius.")


class JsmaRule(Rule):
    """JSMA's success on each output, which may rise."""

    compared: bool = Field(True, description=_COMPARED)
    tolerance: float = Field(0.1, ge=0, description="Most that JSMA's success may rise by, on any output.")


class DistanceRule(Rule):
    """Distances of C&W's attacks, which may shrink."""

    compared: bool = Field(True, description=_COMPARED)
    tolerance: float = Field(
        0.1, ge=0, description="Most that C&W's distances may shrink by, as a share of the champion's."
    )


class VerdictRule(Rule):
    """The verdict, which has an interval of its own."""

    compared: bool = Field(True, description="Whether 'masked' after 'not masked' fails the gate.")


class GateConfig(StageConfig):
    """What a sweep must not lose against the champion."""

    stage: ClassVar[str] = "gate"
    summary: ClassVar[str] = "Compare the sweep with the champion's, and fail where it is clearly worse."
    reads: ClassVar[Mapping[str, Input]] = {
        "evaluations": Input("evaluation", many=True, help="evaluation artifacts of all models"),
        "report": Input("report", help="report artifact of the same sweep, which the gate's outcome is put before"),
        "champion": Input(
            "evaluation",
            many=True,
            optional=True,
            help="evaluation artifacts of the champion; without them it is looked for in MLflow's registry",
        ),
    }
    writes: ClassVar[str] = "gate"
    output: ClassVar[str] = "gate"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    example: ClassVar[str] = (
        "--evaluations out/evaluation out/baseline-evaluation --report out/report --champion old/evaluation "
        "old/baseline-evaluation --output out/gate"
    )

    experiment: ExperimentName = "digits"
    from_registry: bool = Field(
        True, description="Whether the champion is looked for in MLflow's registry where no evaluations are given."
    )
    networks: tuple[Role, ...] = Field(
        ("baseline", "defended"),
        min_length=1,
        description="Roles of the networks that are compared: baseline, defended, control.",
    )
    incomparable: Literal["fail", "pass"] = Field(
        "fail",
        description="What comes of what the champion has and this sweep lacks, or attacked with other settings.",
    )
    accuracy: AccuracyRule = Field(AccuracyRule(), description="Accuracy, which may fall.")
    robust_accuracy: RobustAccuracyRule = Field(
        RobustAccuracyRule(), description="Robust accuracy at each radius, which may fall."
    )
    jsma_success: JsmaRule = Field(JsmaRule(), description="JSMA's success on each output, which may rise.")
    distance: DistanceRule = Field(DistanceRule(), description="Distances of C&W's attacks, which may shrink.")
    verdict: VerdictRule = Field(VerdictRule(), description="The verdict on masked gradients.")

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """None: the gate is on the sweep as a whole."""
        return None
