"""What each stage can be told: one frozen model per stage, the paper's values as defaults.

Command-line flags, pipeline parameters and the tables in docs/configuration.md are made from these models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from defensive_distillation.errors import ConfigurationError

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False, description="Temperature T of the softmax, above 0.")]
JsmaOutput = Literal["probabilities", "logits", "scaled"]
AttackName = Literal[
    "jsma",
    "jsma_decreasing",
    "jsma_untargeted",
    "fgsm",
    "pgd",
    "cw_l2",
    "cw_l0",
    "cw_linf",
    "square",
    "transfer",
    "noise",
]


class StageConfig(BaseModel):
    """What all stages share. `reads` and `writes` map the names of artifacts to their kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stage: ClassVar[str]
    summary: ClassVar[str]
    reads: ClassVar[Mapping[str, str]] = {}
    reads_many: ClassVar[frozenset[str]] = frozenset()  # inputs that take one artifact or more
    reads_optional: ClassVar[frozenset[str]] = frozenset()  # inputs that may be left out
    writes: ClassVar[str]

    seed: int = Field(0, ge=0, description="Seed of the experiment; each stage derives its own from it.")

    @property
    def part(self) -> str:
        """What tells apart several tasks of this stage that work for one model."""
        return ""


class ComputeConfig(StageConfig):
    """What the stages that run a network share."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="CPU threads. Results are the same bytes only for the same number.",
    )
    tf32: bool = Field(
        False,
        description=(
            "On a GPU, products and convolutions with 10 bits after the point (TF32): faster, other results. Elsewhere "
            "nothing."
        ),
    )


class PrepareDataConfig(StageConfig):
    """Where the images come from and which of them are used."""

    stage: ClassVar[str] = "prepare_data"
    summary: ClassVar[str] = "Read, check and split a dataset."
    writes: ClassVar[str] = "dataset"

    source: str = Field(
        "digits",
        min_length=1,
        description=(
            "digits (embedded), mnist, cifar10, or a folder or archive (.zip, .tar, .tar.gz, .tar.xz) of images "
            "by class, at a path or an s3:// URI."
        ),
    )
    data_root: str | None = Field(
        None, description="Folder that holds MNIST or CIFAR-10 in torchvision's form; nothing is downloaded then."
    )
    train_limit: int | None = Field(None, ge=1, description="Keep a stratified subset of this many training images.")
    test_limit: int | None = Field(None, ge=1, description="Keep a stratified subset of this many test images.")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the images held out, where the source has no train/ and test/."
    )
    image_size: int | None = Field(
        None, ge=8, description="Scale the images of a folder to this many pixels square; all must agree without it."
    )
    max_unpacked_bytes: int = Field(
        8 * 2**30, ge=1, description="An archive that unpacks to more than this many bytes is refused."
    )


class TrainConfig(ComputeConfig):
    """How a network is trained; the defaults are the paper's for MNIST (Tables I and II)."""

    architecture: str = Field(
        "papernot_mnist",
        min_length=1,
        description="papernot_mnist, papernot_cifar10, or torchvision:NAME for any torchvision classifier.",
    )
    temperature: Temperature = 1.0
    epochs: int = Field(50, ge=1, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, description="Images in a step of the optimiser.")
    learning_rate: float = Field(0.1, gt=0, description="Step size of stochastic gradient descent.")
    momentum: float = Field(0.5, ge=0, lt=1, description="Momentum of stochastic gradient descent.")
    decay: float = Field(
        1.0, gt=0, le=1, description="Factor on learning rate and momentum after each `decay_epochs` epochs."
    )
    decay_epochs: int = Field(10, ge=1, description="Epochs between two decays.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout rate after the fully connected layers.")
    output_gain_exponent: float = Field(
        0.75,
        ge=0,
        le=1,
        description="The initial weights of the last layer are multiplied by T to this power; 0 leaves them.",
    )
    mixed_precision: bool = Field(
        False, description="Passes in bfloat16, weights and loss in float32: faster where the hardware has it."
    )
    minimum_progress: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fail a training that covers less of the way from chance to accuracy 1 than this; 0 lets all pass.",
    )

    @property
    def training_threads(self) -> int:
        """CPU threads of the training."""
        return self.threads


class TrainTeacherConfig(TrainConfig):
    """Training on hard labels: the teacher at T, and at T = 1 the baseline without distillation."""

    stage: ClassVar[str] = "train_teacher"
    summary: ClassVar[str] = "Train a network on the dataset's labels, softmax at T."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset"}
    writes: ClassVar[str] = "model"

    baseline_threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads at T = 1: a sweep on one machine trains nothing beside the baseline. None: `threads`.",
    )

    @property
    def training_threads(self) -> int:
        """CPU threads of the training."""
        return self.baseline_threads if self.baseline_threads and self.temperature == 1 else self.threads


class GenerateSoftLabelsConfig(ComputeConfig):
    """Labelling the training images again with the teacher's probabilities."""

    stage: ClassVar[str] = "generate_soft_labels"
    summary: ClassVar[str] = "Label the training images with the teacher's probabilities at T."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset", "teacher": "model"}
    writes: ClassVar[str] = "soft_labels"

    temperature: Temperature = 1.0
    batch_size: int = Field(500, ge=1, description="Images in a forward pass.")


class TrainStudentConfig(TrainConfig):
    """Training on soft labels: the paper's distilled network."""

    stage: ClassVar[str] = "train_student"
    summary: ClassVar[str] = "Train the distilled network on soft labels, softmax at T."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset", "soft_labels": "soft_labels"}
    writes: ClassVar[str] = "model"


class ScaleLogitsConfig(StageConfig):
    """The control: an undistilled network whose logits are as large as a distilled one's."""

    stage: ClassVar[str] = "scale_logits"
    summary: ClassVar[str] = "Multiply the logits of the undistilled network by T: the control."
    reads: ClassVar[Mapping[str, str]] = {"model": "model"}
    writes: ClassVar[str] = "model"

    temperature: Temperature = 1.0


class AttackConfig(ComputeConfig):
    """The attacks; the defaults are the authors' own."""

    stage: ClassVar[str] = "attack"
    summary: ClassVar[str] = "Attack a model: JSMA as in the paper, and what an adaptive attacker has."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset", "model": "model", "surrogate": "model"}
    reads_optional: ClassVar[frozenset[str]] = frozenset({"surrogate"})
    writes: ClassVar[str] = "attack"

    attacks: tuple[AttackName, ...] = Field(
        ("jsma",),
        min_length=1,
        description=f"Attacks that are run: {', '.join(get_args(AttackName))}.",
    )
    outputs: tuple[JsmaOutput, ...] = Field(
        ("probabilities", "logits", "scaled"),
        min_length=1,
        description=(
            "What JSMA differentiates: probabilities (the paper's, T = 1), logits, scaled (probabilities of z/T)."
        ),
    )
    sources: int = Field(10_000, ge=1, description="Test images that JSMA attacks, each towards every other class.")
    max_features: int = Field(112, ge=0, description="Budget of JSMA: the most features that may change.")
    theta: float = Field(
        1.0, ge=-1, le=1, description="Change of a feature in one step; above 0 brightens, below 0 darkens."
    )
    other_outputs: tuple[JsmaOutput, ...] = Field(
        ("scaled",),
        min_length=1,
        description="What jsma_untargeted and jsma_decreasing (which turns the sign of theta) differentiate.",
    )
    other_sources: int = Field(1_000, ge=1, description="Test images that jsma_untargeted and jsma_decreasing attack.")
    samples: int = Field(
        1_000, ge=1, description="Test images of fgsm, pgd, square, noise and transfer, which are untargeted."
    )
    epsilons: tuple[float, ...] = Field(
        (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1.0),
        min_length=1,
        description="Radii of the L∞ ball, rising, images in [0, 1]; the last should be 1, where nothing is bounded.",
    )
    pgd_steps: int = Field(40, ge=1, description="Steps of a run of pgd.")
    pgd_restarts: int = Field(2, ge=1, description="Runs of pgd: the first from the source, others from random points.")
    square_queries: int = Field(1_000, ge=1, description="Forward passes of square for each sample and radius.")
    noise_tries: int = Field(1, ge=1, description="Draws of noise for each sample and radius.")
    cw_sources: int = Field(
        100, ge=1, description="Test images that cw_l2, cw_l0 and cw_linf attack, each towards every other class."
    )
    cw_steps: int = Field(1_000, ge=1, description="Steps of C&W's optimiser for one constant; also of transfer.")
    cw_search_steps: int = Field(9, ge=1, description="Constants that cw_l2 tries, by binary search; also transfer.")
    cw_learning_rate: float | None = Field(
        None, gt=0, description="Step size of C&W's optimiser; none: the authors', 0.01, and 0.005 for cw_linf."
    )
    cw_initial_constant: float = Field(
        1.0, gt=0, description="First constant of C&W and of transfer, in units of what a linear network would need."
    )
    cw_constant_factor: float = Field(
        4.0, gt=1, description="Factor on the constant of C&W and of transfer where it did not suffice."
    )
    confidences: tuple[float, ...] = Field(
        (0.0, 10.0, 20.0, 30.0, 40.0),
        min_length=1,
        description="Confidences κ, rising, at which transfer crafts its samples on the undistilled model.",
    )
    batch_size: int | None = Field(
        None, ge=1, description="Samples attacked at once; none: 128 on a CPU, on a GPU as many as keep it busy."
    )
    part_size: int | None = Field(
        None,
        ge=1,
        description=(
            "Samples between two saves; a killed attack goes on from the last. None: 2,000 on a CPU, 100,000 on a GPU."
        ),
    )
    shards: int = Field(
        1, ge=1, description="Equal shares of the samples, each attacked by a task of its own; they change no result."
    )
    shard: int = Field(0, ge=0, description="Which of the shards this is, from 0.")

    used_by: ClassVar[Mapping[str, str]] = {  # which attacks a setting concerns, as a regular expression
        "outputs": "jsma",
        "sources": "jsma",
        "max_features": "jsma.*",
        "theta": "jsma.*",
        "other_.*": "jsma_.*",
        "samples": "fgsm|pgd|square|noise|transfer",
        "epsilons": "fgsm|pgd|square|noise",
        "pgd_.*": "pgd",
        "square_.*": "square",
        "noise_.*": "noise",
        "cw_sources": "cw_.*",
        "cw_search_steps": "cw_l2|transfer",
        "cw_(steps|learning_rate|initial_constant|constant_factor)": "cw_.*|transfer",
        "confidences": "transfer",
    }

    @property
    def part(self) -> str:
        """The attacks, one or more a task, and which of the shards: 'fgsm+pgd 2of4'."""
        return part_name("+".join(self.attacks), self.shard, self.shards)

    def concerns(self, setting: str, attacks: Sequence[str]) -> bool:
        """Whether a setting decides what comes of `attacks`."""
        users = [re.compile(who) for what, who in self.used_by.items() if re.fullmatch(what, setting)]
        return not users or any(user.fullmatch(attack) for user in users for attack in attacks)

    @field_validator("theta")
    @classmethod
    def _theta_moves(cls, theta: float) -> float:
        if theta == 0:
            raise ValueError("theta must not be 0")
        return theta

    @model_validator(mode="after")
    def _shard_exists(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"expected a shard from 0 to {self.shards - 1}, of {self.shards} shards, got {self.shard}")
        return self

    @field_validator("outputs", "other_outputs", "attacks")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("each may be named once")
        return names

    @field_validator("epsilons", "confidences")
    @classmethod
    def _rise(cls, numbers: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        low, high = (0.0, 1.0) if info.field_name == "epsilons" else (-1.0, inf)
        if list(numbers) != sorted(set(numbers)) or not all(low < number <= high for number in numbers):
            bounds = "above 0 and at most 1" if info.field_name == "epsilons" else "from 0"
            raise ValueError(f"expected rising numbers {bounds}")
        return numbers


class EvaluateConfig(ComputeConfig):
    """Every number of the paper for one model, and the honest ones."""

    stage: ClassVar[str] = "evaluate"
    summary: ClassVar[str] = "Measure accuracy, robustness and gradients of an attacked model."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset", "model": "model", "attacks": "attack"}
    reads_many: ClassVar[frozenset[str]] = frozenset({"attacks"})
    writes: ClassVar[str] = "evaluation"

    batch_size: int = Field(500, ge=1, description="Images in a forward pass.")
    gradient_samples: int = Field(
        10_000, ge=1, description="Test images whose gradients are measured (the paper: all 10,000)."
    )


class ReportConfig(StageConfig):
    """The sweep's table, figures and page."""

    stage: ClassVar[str] = "report"
    summary: ClassVar[str] = "Write the sweep's table, figures and HTML page."
    reads: ClassVar[Mapping[str, str]] = {"evaluations": "evaluation"}
    reads_many: ClassVar[frozenset[str]] = frozenset({"evaluations"})
    writes: ClassVar[str] = "report"

    title: str = Field("Defensive distillation", min_length=1, description="Title of the page.")


SET_BY_SWEEP = {"temperature", "attacks", "shard"}  # of the stages' settings


def part_name(attacks: str, shard: int, shards: int) -> str:
    """A task of attacks joined by +, and which shard of them it is, from 1, where there are several."""
    return f"{attacks} {shard + 1}of{shards}" if shards > 1 else attacks


STAGES: dict[str, type[StageConfig]] = {
    config.stage: config
    for config in (
        PrepareDataConfig,
        TrainTeacherConfig,
        GenerateSoftLabelsConfig,
        TrainStudentConfig,
        ScaleLogitsConfig,
        AttackConfig,
        EvaluateConfig,
        ReportConfig,
    )
}


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
    attacks: tuple[str, ...] = Field(
        get_args(AttackName),
        min_length=1,
        description=(
            "Attacks on every model, each a task of its own; several joined by + share one, such as fgsm+pgd+noise. "
            "transfer is left out for the undistilled model, which it comes from."
        ),
    )
    control_attacks: tuple[str, ...] = Field(
        ("jsma", "fgsm", "pgd", "cw_l2", "square", "noise"),
        min_length=1,
        description="Attacks on the controls, the undistilled model with its logits multiplied by T.",
    )
    prepare_data: PrepareDataConfig = PrepareDataConfig()
    train_teacher: TrainTeacherConfig = TrainTeacherConfig()
    generate_soft_labels: GenerateSoftLabelsConfig = GenerateSoftLabelsConfig()
    train_student: TrainStudentConfig = TrainStudentConfig()
    scale_logits: ScaleLogitsConfig = ScaleLogitsConfig()
    attack: AttackConfig = AttackConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()

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
        named = [name for group in groups for name in group.split("+")]
        if unknown := sorted(set(named) - set(get_args(AttackName))):
            raise ValueError(f"expected attacks among {', '.join(get_args(AttackName))}, not {unknown[0]!r}")
        if len(set(named)) != len(named):
            raise ValueError("each attack may be named once")
        if info.field_name == "control_attacks" and "transfer" in named:
            raise ValueError("transfer to a control is no attack: it decides as the undistilled model does")
        return groups

    @property
    def control_temperatures(self) -> tuple[float, ...]:
        """Temperatures of the controls: those of the sweep; 1, which changes nothing, only where there is no other."""
        return tuple(t for t in self.temperatures if t != 1) or self.temperatures

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings of one stage as a pipeline parameter: JSON values, the experiment's seed, no temperature."""
        config: StageConfig = getattr(self, stage)
        values = config.model_dump(mode="json", exclude=SET_BY_SWEEP, exclude_none=True)
        return {**values, "seed": self.seed}

    def attack_tasks(self, groups: Sequence[str]) -> list[dict[str, Any]]:
        """The settings of each task of attacks, of which only those that concern its own: others leave it as it was."""
        values, tasks = self.settings("attack"), []
        for group in groups:
            names = group.split("+")
            concerned = {key: value for key, value in values.items() if self.attack.concerns(key, names)}
            tasks += [{**concerned, "attacks": names, "shard": shard} for shard in range(self.attack.shards)]
        return tasks

    def attack_parts(self, groups: Sequence[str]) -> list[str]:
        """The names of those tasks."""
        shards = self.attack.shards
        return [part_name(group, shard, shards) for group in groups for shard in range(shards)]

    @property
    def baseline_attacks(self) -> tuple[str, ...]:
        """The attacks on the undistilled model: all but the transfer from itself."""
        left = ("+".join(name for name in group.split("+") if name != "transfer") for group in self.attacks)
        return tuple(group for group in left if group)


_CIFAR10_TRAINING = {
    "architecture": "papernot_cifar10",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "decay": 0.5,
}
PRESETS: dict[str, dict[str, Any]] = {
    # scikit-learn's 1,797 digits: everything small enough for minutes on a laptop; not a dataset of the paper
    "digits": {
        "name": "digits",
        "temperatures": [20, 100],
        "prepare_data": {"source": "digits"},
        "train_teacher": {"epochs": 8, "batch_size": 32, "baseline_threads": 2},
        "train_student": {"epochs": 8, "batch_size": 32},
        "attacks": [
            # two tasks a model, about as long on the undistilled one, whose tasks run beside nothing else
            "cw_l2+cw_linf",
            "cw_l0+jsma+jsma_decreasing+jsma_untargeted+fgsm+pgd+square+noise+transfer",
        ],
        "control_attacks": ["jsma"],
        "attack": {
            "sources": 10,
            "other_sources": 5,
            "samples": 10,
            "epsilons": [0.1, 0.2, 0.3, 1.0],
            "pgd_restarts": 1,
            "square_queries": 100,
            "cw_sources": 1,
            "cw_steps": 100,
            "cw_learning_rate": 0.05,
            "cw_search_steps": 6,
            "confidences": [0, 20],
            "part_size": 90,
        },
        "evaluate": {"gradient_samples": 100},
        "report": {"title": "Defensive distillation on scikit-learn's handwritten digits"},
    },
    "mnist": {
        "name": "mnist",
        "prepare_data": {"source": "mnist"},
        "report": {"title": "Defensive distillation on MNIST"},
    },
    # enough of it for a laptop: a sixth of the images, a quarter of the epochs, and few sources
    "mnist-short": {
        "name": "mnist-short",
        "temperatures": [20, 100],
        "prepare_data": {"source": "mnist", "train_limit": 10_000},
        "train_teacher": {"epochs": 12},
        "train_student": {"epochs": 12},
        "attacks": [  # those that take longest first, so that none is left over at the end
            *("cw_linf", "cw_l0", "cw_l2", "transfer", "jsma", "pgd", "jsma_untargeted", "jsma_decreasing"),
            *("square", "fgsm", "noise"),
        ],
        "control_attacks": ["jsma", "fgsm+pgd+square+noise"],
        "attack": {
            "sources": 20,
            "other_sources": 20,
            "samples": 50,
            "square_queries": 500,
            "cw_sources": 10,
            "cw_steps": 300,  # a third of the authors', each three times as long
            "cw_learning_rate": 0.03,
            "cw_search_steps": 6,
        },
        "evaluate": {"gradient_samples": 1_000},
        "report": {"title": "Defensive distillation on MNIST, in short"},
    },
    "cifar10": {
        "name": "cifar10",
        "prepare_data": {"source": "cifar10"},
        "train_teacher": _CIFAR10_TRAINING,
        "train_student": _CIFAR10_TRAINING,
        "attack": {"epsilons": [0.01, 0.02, 0.03, 0.05, 0.1, 1.0]},
        "report": {"title": "Defensive distillation on CIFAR-10"},
    },
}


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
    return ConfigurationError(f"{place}: {expected}, got {problem['input']!r}{more}")


def stage_config(stage: str, values: Mapping[str, Any]) -> StageConfig:
    """The configuration of `stage` from plain values.

    Raises:
        ConfigurationError: for an unknown stage or key, or a value out of range.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
    try:
        return STAGES[stage].model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, stage) from error


def preset_values(name: str) -> dict[str, Any]:
    """The values of a preset.

    Raises:
        ConfigurationError: if there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def experiment(values: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration of a sweep from plain values.

    Raises:
        ConfigurationError: for an unknown key, or a value out of range.
    """
    for stage in ("train_teacher", "generate_soft_labels", "train_student", "scale_logits"):
        if "temperature" in values.get(stage, {}):
            raise ConfigurationError(f"{stage}.temperature: the sweep sets it, expected 'temperatures' instead")
    if "attacks" in values.get("attack", {}):
        raise ConfigurationError("attack.attacks: the sweep sets it, expected 'attacks' instead")
    for stage in STAGES:
        if "seed" in values.get(stage, {}):
            raise ConfigurationError(f"{stage}.seed: the sweep sets it, expected 'seed' instead")
    try:
        return ExperimentConfig.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, "") from error
