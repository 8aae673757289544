"""What each stage can be told: one frozen model a stage, the paper's values as defaults."""

from defensive_distillation.config.models import *  # noqa: F403
