"""What models are called in MLflow's registry: one entry a network of an experiment, and one for its sweep."""

from __future__ import annotations

import re

from defensive_distillation.model_id import ModelId

ALIAS = "champion"
PREFIX = "defensive-distillation"


def of_sweep(experiment: str) -> str:
    """The entry whose alias says which sweep is the champion: 'defensive-distillation-digits'."""
    return f"{PREFIX}-{experiment}"


def of_model(experiment: str, model: ModelId) -> str:
    """The entry of a network: 'defensive-distillation-digits-T=20'. MLflow allows neither '/' nor ':' in a name."""
    return f"{of_sweep(experiment)}-{re.sub('[/:]', '-', model.label)}"
