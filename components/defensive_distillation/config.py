"""What each stage can be told: one frozen model per stage, the paper's values as defaults.

Command-line flags, pipeline parameters and the tables in docs/configuration.md are made from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from defensive_distillation.errors import ConfigurationError

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False, description="Temperature T of the softmax, above 0.")]
JsmaOutput = Literal["probabilities", "logits", "scaled"]


class StageConfig(BaseModel):
    """What all stages share. `reads` and `writes` map the names of artifacts to their kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stage: ClassVar[str]
    summary: ClassVar[str]
    reads: ClassVar[Mapping[str, str]] = {}
    reads_many: ClassVar[frozenset[str]] = frozenset()  # inputs that take one artifact or more
    writes: ClassVar[str]

    seed: int = Field(0, ge=0, description="Seed of the experiment; each stage derives its own from it.")


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
    minimum_progress: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fail a training that covers less of the way from chance to accuracy 1 than this; 0 lets all pass.",
    )


class TrainTeacherConfig(TrainConfig):
    """Training on hard labels: the teacher at T, and at T = 1 the baseline without distillation."""

    stage: ClassVar[str] = "train_teacher"
    summary: ClassVar[str] = "Train a network on the dataset's labels, softmax at T."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset"}
    writes: ClassVar[str] = "model"


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


class AttackConfig(ComputeConfig):
    """The Jacobian-based saliency map attack; the defaults are the paper's."""

    stage: ClassVar[str] = "attack"
    summary: ClassVar[str] = "Attack a model with JSMA, every source towards each other class."
    reads: ClassVar[Mapping[str, str]] = {"dataset": "dataset", "model": "model"}
    writes: ClassVar[str] = "attack"

    outputs: tuple[JsmaOutput, ...] = Field(
        ("probabilities", "logits", "scaled"),
        min_length=1,
        description=(
            "What JSMA differentiates: probabilities (the paper's, T = 1), logits, scaled (probabilities of z/T)."
        ),
    )
    sources: int = Field(10_000, ge=1, description="Test images attacked, each towards every other class.")
    max_features: int = Field(112, ge=0, description="Budget: the most features that may change.")
    theta: float = Field(
        1.0, ge=-1, le=1, description="Change of a feature in one step; above 0 brightens, below 0 darkens."
    )
    batch_size: int = Field(128, ge=1, description="Pairs attacked at once.")
    part_size: int = Field(2_000, ge=1, description="Pairs between two saves; a killed attack goes on from the last.")

    @field_validator("theta")
    @classmethod
    def _theta_moves(cls, theta: float) -> float:
        if theta == 0:
            raise ValueError("theta must not be 0")
        return theta

    @field_validator("outputs")
    @classmethod
    def _outputs_differ(cls, outputs: tuple[JsmaOutput, ...]) -> tuple[JsmaOutput, ...]:
        if len(set(outputs)) != len(outputs):
            raise ValueError("each output may be named once")
        return outputs


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


STAGES: dict[str, type[StageConfig]] = {
    config.stage: config
    for config in (
        PrepareDataConfig,
        TrainTeacherConfig,
        GenerateSoftLabelsConfig,
        TrainStudentConfig,
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
    prepare_data: PrepareDataConfig = PrepareDataConfig()
    train_teacher: TrainTeacherConfig = TrainTeacherConfig()
    generate_soft_labels: GenerateSoftLabelsConfig = GenerateSoftLabelsConfig()
    train_student: TrainStudentConfig = TrainStudentConfig()
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

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings of one stage as a pipeline parameter: JSON values, the experiment's seed, no temperature."""
        config: StageConfig = getattr(self, stage)
        values = config.model_dump(mode="json", exclude={"temperature"}, exclude_none=True)
        return {**values, "seed": self.seed}


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
        "temperatures": [1, 5, 20, 100],
        "prepare_data": {"source": "digits"},
        "train_teacher": {"epochs": 30},
        "train_student": {"epochs": 30},
        "attack": {"sources": 10, "part_size": 90},
        "report": {"title": "Defensive distillation on scikit-learn's handwritten digits"},
    },
    "mnist": {
        "name": "mnist",
        "prepare_data": {"source": "mnist"},
        "report": {"title": "Defensive distillation on MNIST"},
    },
    "cifar10": {
        "name": "cifar10",
        "prepare_data": {"source": "cifar10"},
        "train_teacher": _CIFAR10_TRAINING,
        "train_student": _CIFAR10_TRAINING,
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
    for stage in ("train_teacher", "generate_soft_labels", "train_student"):
        if "temperature" in values.get(stage, {}):
            raise ConfigurationError(f"{stage}.temperature: the sweep sets it, expected 'temperatures' instead")
    for stage in STAGES:
        if "seed" in values.get(stage, {}):
            raise ConfigurationError(f"{stage}.seed: the sweep sets it, expected 'seed' instead")
    try:
        return ExperimentConfig.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, "") from error
