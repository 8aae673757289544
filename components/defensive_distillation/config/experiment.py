"""The settings of a whole sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from defensive_distillation.config.stages.attack import AttackConfig, AttackStageConfig, known_attacks
from defensive_distillation.config.stages.base import StageConfig, Temperature, explain
from defensive_distillation.config.stages.evaluate import EvaluateConfig
from defensive_distillation.config.stages.gate import GateConfig
from defensive_distillation.config.stages.prepare_data import PrepareDataConfig
from defensive_distillation.config.stages.report import ReportConfig
from defensive_distillation.config.stages.scale_logits import ScaleLogitsConfig
from defensive_distillation.config.stages.soft_labels import GenerateSoftLabelsConfig
from defensive_distillation.config.stages.training import TrainDefendedConfig, TrainStudentConfig, TrainTeacherConfig
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.suite.registry import ATTACKS

STAGES: dict[str, type[StageConfig]] = {
    config.stage: config
    for config in (
        PrepareDataConfig,
        TrainTeacherConfig,
        GenerateSoftLabelsConfig,
        TrainStudentConfig,
        TrainDefendedConfig,
        ScaleLogitsConfig,
        AttackConfig,
        EvaluateConfig,
        ReportConfig,
        GateConfig,
    )
}
SET_BY_SWEEP = {  # of the stages' settings, with the setting of the sweep that decides them
    "temperature": "temperatures",
    "attacks": "attacks",
    "shard": "attack.shards",
    "defense": "defenses",
    "parameters": "defenses",
    "seed": "seed",
    "experiment": "name",
}


class DefenseChoice(BaseModel):
    """A defense of the sweep beside distillation, with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    defense: str = Field(description=f"One of {', '.join(DEFENSES)}.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the defense, by name.")


class ExperimentConfig(BaseModel):
    """A whole sweep: the temperatures and the settings of each stage.

    The sweep sets the temperatures, and gives `seed` to each stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("digits", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the experiment and its runs.")
    seed: int = Field(0, ge=0, description="Seed that every stage derives its own from.")
    temperatures: tuple[Temperature, ...] = Field(
        (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
        min_length=1,
        description="Temperatures of the sweep; the baseline without distillation is always added.",
    )
    defenses: tuple[DefenseChoice, ...] = Field(
        (), description="Other defenses beside distillation, each as {defense: NAME, parameters: {…}}."
    )
    attacks: tuple[str, ...] = Field(
        tuple(ATTACKS),
        min_length=1,
        description=(
            "Attacks on every model, each a task of its own; several joined by + share one, such as fgsm+pgd+noise. "
            "transfer is left out for the undistilled model, which it comes from."
        ),
    )
    control_attacks: tuple[str, ...] = Field(
        tuple(name for name, attack in ATTACKS.items() if attack.on_controls),
        min_length=1,
        description="Attacks on the controls, the undistilled model with its logits multiplied by T.",
    )
    prepare_data: PrepareDataConfig = PrepareDataConfig()
    train_teacher: TrainTeacherConfig = TrainTeacherConfig()
    generate_soft_labels: GenerateSoftLabelsConfig = GenerateSoftLabelsConfig()
    train_student: TrainStudentConfig = TrainStudentConfig()
    train_defended: TrainDefendedConfig = TrainDefendedConfig()
    scale_logits: ScaleLogitsConfig = ScaleLogitsConfig()
    attack: AttackConfig = AttackConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()
    gate: GateConfig = GateConfig()

    @field_validator("temperatures")
    @classmethod
    def _temperatures_differ(cls, temperatures: tuple[float, ...]) -> tuple[float, ...]:
        repeated = sorted({t for t in temperatures if temperatures.count(t) > 1})
        if repeated:
            raise ValueError("each temperature may stand once, repeated: " + ", ".join(f"{t:g}" for t in repeated))
        return temperatures

    @field_validator("attacks", "control_attacks")
    @classmethod
    def _attacks_exist(cls, groups: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        named = known_attacks(tuple(name for group in groups for name in group.split("+")))
        borrowed = [name for name in named if ATTACKS[name].surrogate]
        if info.field_name == "control_attacks" and borrowed:
            raise ValueError(f"{borrowed[0]} to a control is no attack: it decides as the undistilled model does")
        return groups

    @property
    def control_temperatures(self) -> tuple[float, ...]:
        """Temperatures of the controls: those of the sweep; 1, which changes nothing, only where there is no other."""
        return tuple(t for t in self.temperatures if t != 1) or self.temperatures

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings of one stage as a pipeline parameter: JSON values, the sweep's seed and name, no temperature."""
        config: StageConfig = getattr(self, stage)
        values = config.model_dump(mode="json", exclude=set(SET_BY_SWEEP), exclude_none=True)
        named = {"experiment": self.name} if "experiment" in type(config).model_fields else {}
        return {**values, **named, "seed": self.seed}

    def attack_tasks(self, groups: Sequence[str]) -> list[dict[str, Any]]:
        """The settings of each task of attacks, of which only those that concern its own: others leave it as it was."""
        values, tasks = self.settings("attack"), []
        config: AttackStageConfig = self.attack
        for group in groups:
            names = group.split("+")
            heeded = {key: value for key, value in values.items() if config.heeds(key, names)}
            tasks += [{**heeded, "attacks": names, "shard": shard} for shard in range(config.shards)]
        return tasks

    def defense_tasks(self) -> list[dict[str, Any]]:
        """The settings of each training under a defense beside distillation."""
        values = self.settings("train_defended")
        return [{**values, **choice.model_dump(mode="json")} for choice in self.defenses]

    @property
    def baseline_attacks(self) -> tuple[str, ...]:
        """The attacks on the undefended model: all but those that borrow its own samples."""
        left = ("+".join(name for name in group.split("+") if not ATTACKS[name].surrogate) for group in self.attacks)
        return tuple(group for group in left if group)


def stage_config(stage: str, values: Mapping[str, Any]) -> Any:
    """The configuration of `stage`, of its own type, from plain values.

    Raises:
        ConfigurationError: for an unknown stage or key, or a value out of range.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
    try:
        return STAGES[stage].model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, stage) from error


def experiment(values: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration of a sweep from plain values.

    Raises:
        ConfigurationError: for an unknown key, or a value out of range.
    """
    for stage, config in STAGES.items():
        for key in SET_BY_SWEEP:
            if key in config.model_fields and key in values.get(stage, {}):
                raise ConfigurationError(f"{stage}.{key}: the sweep sets it, expected {SET_BY_SWEEP[key]!r} instead")
    try:
        return ExperimentConfig.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, "") from error
