"""What each stage can be told: one frozen model a stage, the paper's values as defaults.

Command-line flags, pipeline parameters and the tables in docs/configuration.md are made from these models.
"""

from defensive_distillation.config.defense_choice import DefenseChoice
from defensive_distillation.config.experiment import (
    SET_BY_SWEEP,
    STAGES,
    ExperimentConfig,
    as_yaml,
    experiment,
    plain,
    stage_config,
)
from defensive_distillation.config.stages.attack import AttackConfig, AttackStageConfig, part_name
from defensive_distillation.config.stages.base import ComputeConfig, Input, StageConfig, explain
from defensive_distillation.config.stages.evaluate import EvaluateConfig
from defensive_distillation.config.stages.gate import GateConfig
from defensive_distillation.config.stages.import_model import ImportModelConfig
from defensive_distillation.config.stages.prepare_data import PrepareDataConfig
from defensive_distillation.config.stages.report import ReportConfig
from defensive_distillation.config.stages.soft_labels import GenerateSoftLabelsConfig
from defensive_distillation.config.stages.training import (
    TrainConfig,
    TrainDefendedConfig,
    TrainStudentConfig,
    TrainTeacherConfig,
)

__all__ = [
    "SET_BY_SWEEP",
    "STAGES",
    "AttackConfig",
    "AttackStageConfig",
    "ComputeConfig",
    "DefenseChoice",
    "EvaluateConfig",
    "ExperimentConfig",
    "GateConfig",
    "GenerateSoftLabelsConfig",
    "ImportModelConfig",
    "Input",
    "PrepareDataConfig",
    "ReportConfig",
    "StageConfig",
    "TrainConfig",
    "TrainDefendedConfig",
    "TrainStudentConfig",
    "TrainTeacherConfig",
    "as_yaml",
    "experiment",
    "explain",
    "part_name",
    "plain",
    "stage_config",
]
