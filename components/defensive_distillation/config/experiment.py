"""The settings of a whole sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from defensive_distillation.config.defense_choice import DefenseChoice, named
from defensive_distillation.config.stages.attack import AttackConfig, AttackStageConfig, known_attacks
from defensive_distillation.config.stages.base import LONGEST_NAME, StageConfig, Temperature, explain
from defensive_distillation.config.stages.evaluate import EvaluateConfig
from defensive_distillation.config.stages.gate import GateConfig
from defensive_distillation.config.stages.import_model import ImportModelConfig
from defensive_distillation.config.stages.prepare_data import PrepareDataConfig
from defensive_distillation.config.stages.report import ReportConfig
from defensive_distillation.config.stages.soft_labels import GenerateSoftLabelsConfig
from defensive_distillation.config.stages.training import TrainDefendedConfig, TrainStudentConfig, TrainTeacherConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.settings import Settings
from defensive_distillation.suite import shares
from defensive_distillation.suite.registry import ATTACKS

STAGES: dict[str, type[StageConfig]] = {
    config.stage: config
    for config in (
        PrepareDataConfig,
        TrainTeacherConfig,
        GenerateSoftLabelsConfig,
        TrainStudentConfig,
        TrainDefendedConfig,
        ImportModelConfig,
        AttackConfig,
        EvaluateConfig,
        ReportConfig,
        GateConfig,
    )
}
SET_BY_SWEEP = {  # of the stages' settings, with the setting of the sweep that decides them
    "temperature": "temperatures",
    "attacks": "attacks",
    "logit_scale": "temperatures",
    "craft": "attacks",
    "shard": "attack.shards",
    "defense": "defenses",
    "parameters": "defenses",
    "seed": "seed",
    "experiment": "name",
    "configuration": "the other settings",
}


MOST_STEPS = 5_000  # of attacks: no cluster holds as many, and compiling takes seconds


class ExperimentConfig(Settings):
    """A whole sweep: the temperatures and the settings of each stage.

    The sweep sets the temperatures, and gives `seed` to each stage.
    """

    name: str = Field(
        "digits",
        max_length=LONGEST_NAME,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of the experiment and its runs.",
    )
    seed: int = Field(0, ge=0, description="Seed that every stage derives its own from.")
    temperatures: tuple[Temperature, ...] = Field(
        (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
        description="Temperatures of the sweep's distilled networks; none where `defenses` has no distillation.",
    )
    defenses: tuple[DefenseChoice, ...] = Field(
        (DefenseChoice(defense=distillation.DEFENSE.name),),
        validate_default=True,
        description=(
            "Defenses, each as NAME, NAME:PARAMETER=VALUE or {defense: NAME, parameters: {…}}: "
            f"{', '.join(DEFENSES)}. The baseline without a defense is always added, and is all of 'none'. "
            "distillation alone is trained at every temperature."
        ),
    )
    attacks: tuple[str, ...] = Field(
        tuple(ATTACKS),
        min_length=1,
        description=(
            "Attacks on every model, all in one step, the quick ones first. transfer is left out for the undistilled "
            "model, which it comes from."
        ),
    )
    attack_groups: tuple[str, ...] = Field(
        (),
        description=(
            "The same attacks in several steps, each with a GPU of its own: those joined by + share one, such as "
            "jsma+fgsm,cw_l2; 'each' is one step an attack. None: one step."
        ),
    )
    control_attacks: tuple[str, ...] = Field(
        tuple(name for name, attack in ATTACKS.items() if attack.on_controls),
        min_length=1,
        description="Attacks on the controls, the undistilled model with its logits multiplied by T; in one step.",
    )
    prepare_data: PrepareDataConfig = PrepareDataConfig()
    train_teacher: TrainTeacherConfig = TrainTeacherConfig()
    generate_soft_labels: GenerateSoftLabelsConfig = GenerateSoftLabelsConfig()
    train_student: TrainStudentConfig = TrainStudentConfig()
    train_defended: TrainDefendedConfig = TrainDefendedConfig()
    import_model: ImportModelConfig = ImportModelConfig()
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

    @field_validator("defenses", mode="before")
    @classmethod
    def _defenses_are_named(cls, defenses: Any) -> Any:
        return named(defenses)

    @field_validator("defenses")
    @classmethod
    def _networks_differ(cls, defenses: tuple[DefenseChoice, ...], info: ValidationInfo) -> tuple[DefenseChoice, ...]:
        labels = [choice.defense if choice.by_temperatures else choice.label for choice in defenses]
        if any(choice.by_temperatures for choice in defenses) and "temperatures" in info.data:
            if not info.data["temperatures"]:
                raise ValueError("expected temperatures for distillation, got none")
            labels += [distillation.student(temperature).label for temperature in info.data["temperatures"]]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"each network may stand once, repeated: {', '.join(repeated)}")
        return defenses

    @model_validator(mode="after")
    def _steps_are_few(self) -> Self:
        networks = 1 + len(self.other_defenses) + (len(self.temperatures) if self.distilled else 0)
        steps = networks * self.attack.shards * (len(self.attack_groups) or 1)
        if steps > MOST_STEPS:
            raise ValueError(f"attack.shards: expected at most {MOST_STEPS} steps of attacks in a sweep, got {steps}")
        return self

    @model_validator(mode="after")
    def _shards_have_samples(self) -> Self:
        """As far as the settings tell; the rest is known once the data is looked at (require_shares)."""
        shares.require_shares(self.attack, self.attacks, images=self.prepare_data.test_limit)
        return self

    @model_validator(mode="after")
    def _temperatures_are_of_distillation(self) -> Self:
        if not self.distilled:
            object.__setattr__(self, "temperatures", ())
        return self

    @field_validator("attacks", "control_attacks")
    @classmethod
    def _attacks_exist(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known_attacks(names)
        borrowed = _without_surrogate(names) != names
        if info.field_name == "control_attacks" and borrowed:
            raise ValueError("transfer to a control is no attack: it decides as the undistilled model does")
        if borrowed and len(names) == 1:
            raise ValueError(f"{names[0]} alone leaves no attack on the undistilled model: name another beside it")
        return names

    @field_validator("attack_groups")
    @classmethod
    def _groups_are_the_attacks(cls, groups: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        attacks = info.data.get("attacks", ())
        if groups == ("each",):
            return tuple(attacks)
        grouped = [name for group in groups for name in group.split("+")]
        if groups and sorted(grouped) != sorted(attacks):
            raise ValueError(f"expected each of {', '.join(attacks)} once")
        return groups

    @property
    def imported(self) -> bool:
        """Whether somebody's own network is attacked and evaluated, and nothing is trained."""
        return bool(self.import_model.model)

    @property
    def distilled(self) -> bool:
        """Whether networks are distilled at the temperatures."""
        return any(choice.by_temperatures for choice in self.defenses)

    @property
    def other_defenses(self) -> tuple[DefenseChoice, ...]:
        """The defenses that the stage train_defended trains."""
        return tuple(choice for choice in self.defenses if not choice.by_temperatures)

    @property
    def control_temperatures(self) -> tuple[float, ...]:
        """Temperatures of the controls: those of the sweep; 1, which changes nothing, only where there is no other."""
        return tuple(t for t in self.temperatures if t != 1) or self.temperatures

    def require_shares(self, *, classes: int, images: int) -> None:
        """Looks whether every shard has samples of every attack, on so many classes and test images.

        Raises:
            ConfigurationError: naming the attack that has too few.
        """
        try:
            shares.require_shares(self.attack, self.attacks, classes=classes, images=images)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def split(self, runs: int) -> list[ExperimentConfig]:
        """The same sweep as several, each with a share of the temperatures; other defenses are in the first.

        Raises:
            ConfigurationError: for more runs than temperatures.
        """
        if not self.distilled:
            raise ConfigurationError("--runs: expected distillation among the defenses, whose temperatures are split")
        if runs > len(self.temperatures):
            raise ConfigurationError(
                f"--runs: expected at most {len(self.temperatures)}, one a temperature, got {runs}"
            )
        shares = [self.temperatures[number::runs] for number in range(runs)]
        return [
            self.model_copy(update={"temperatures": share, "defenses": self._chain if number else self.defenses})
            for number, share in enumerate(shares)
        ]

    @property
    def _chain(self) -> tuple[DefenseChoice, ...]:
        return tuple(choice for choice in self.defenses if choice.by_temperatures)

    def settings(self, stage: str, *, lean: bool = False) -> dict[str, Any]:
        """The settings of one stage as a pipeline parameter: JSON values, the sweep's seed and name, no temperature.

        Args:
            stage: its name.
            lean: only what differs from the stage's defaults.
        """
        config: StageConfig = getattr(self, stage)
        fields = type(config).model_fields
        by_sweep = {"seed": self.seed, "experiment": self.name}
        given: dict[str, Any] = {name: value for name, value in by_sweep.items() if name in fields}
        if "configuration" in fields:
            given["configuration"] = as_yaml(self, lean=True)
        return config.model_copy(update=given).model_dump(
            mode="json", exclude=set(SET_BY_SWEEP) - set(given), exclude_none=True, exclude_defaults=lean
        )

    def attack_tasks(self, *, lean: bool = False) -> list[dict[str, Any]]:
        """The settings of each step of attacks on a defended model."""
        return self._attack_tasks([tuple(group.split("+")) for group in self.attack_groups] or [self.attacks], lean)

    def baseline_tasks(self, *, lean: bool = False) -> list[dict[str, Any]]:
        """The same for a network that nothing stands beside, undistilled or imported: none that borrow samples."""
        groups = [tuple(task["attacks"]) for task in self.attack_tasks() if not task.get("shard")]
        return self._attack_tasks(list(filter(None, map(_without_surrogate, groups))), lean)

    def control_tasks(self, *, lean: bool = False) -> list[dict[str, Any]]:
        """The settings of the step of attacks on each control."""
        (task,) = self._attack_tasks([self.control_attacks], lean, shards=1)
        return [{**task, "logit_scale": temperature} for temperature in self.control_temperatures]

    def crafting_task(self, *, lean: bool = False) -> dict[str, Any] | None:
        """The settings of the step that crafts samples on the undistilled model, None where nobody is shown any."""
        borrowing = [name for name in self.attacks if ATTACKS[name].surrogate]
        if self.imported or not borrowing or not (self.distilled or self.other_defenses):
            return None
        (task,) = self._attack_tasks([borrowing], lean, shards=1)
        return {**task, "craft": True}

    def _attack_tasks(
        self, groups: Sequence[Sequence[str]], lean: bool, *, shards: int | None = None
    ) -> list[dict[str, Any]]:
        """Of the settings only those that concern the step's own attacks: a change of others leaves it as it was."""
        config: AttackStageConfig = self.attack
        shards = shards or config.shards
        values = {**self.settings("attack", lean=lean), "shards": shards}
        if lean and shards == 1:
            del values["shards"]
        tasks = []
        for names in groups:
            heeded = {key: value for key, value in values.items() if config.heeds(key, names)}
            of_group = {**heeded, "attacks": list(names)}
            tasks += [{**of_group, **({"shard": shard} if shards > 1 else {})} for shard in range(shards)]
        return tasks

    def defense_tasks(self, *, lean: bool = False) -> list[dict[str, Any]]:
        """The settings of each training under a defense beside distillation."""
        values = self.settings("train_defended", lean=lean)
        return [{**values, **choice.model_dump(mode="json")} for choice in self.other_defenses]


def plain(config: ExperimentConfig, *, lean: bool = False) -> dict[str, object]:
    """The settings as they may be given again: without what the sweep sets itself; lean: and without the defaults."""
    values = config.model_dump(mode="json", exclude_defaults=lean, exclude_none=lean)
    for section in values.values():
        if isinstance(section, dict):
            section.pop("seed", None)
            for key in SET_BY_SWEEP:
                section.pop(key, None)
    return values


def as_yaml(config: ExperimentConfig, *, lean: bool = False) -> str:
    """The settings as a file for --config; lean: without the defaults."""
    import yaml

    text: str = yaml.safe_dump(plain(config, lean=lean), sort_keys=False, allow_unicode=True)
    return text


def _without_surrogate(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not ATTACKS[name].surrogate)


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
        given = values.get(stage, {})
        for key in SET_BY_SWEEP:
            if key in config.model_fields and isinstance(given, Mapping) and key in given:
                raise ConfigurationError(f"{stage}.{key}: the sweep sets it, expected {SET_BY_SWEEP[key]!r} instead")
    try:
        return ExperimentConfig.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, "") from error
