"""A network as a model of MLflow that loads without pickle and without this package: PyTorch's exported graph.

Our own artifact lies beside it, by which `import_model` builds the network as it was.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.errors import DefensiveDistillationError, first_line

ARTIFACT = "artifact"  # folder of our artifact in that of the exported model


def export(model: Artifact, folder: Path) -> None:
    """Writes the network in an artifact to `folder`, in MLflow's form.

    It takes images (N, C, H, W), float32 in [0, 1], of any number N, and returns logits (N, K).

    Raises:
        DefensiveDistillationError: if PyTorch cannot export it.
    """
    import numpy as np
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports, and of PyTorch's exporter
        import mlflow.pytorch
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        facts, number = model.facts, np.dtype(np.float32)
        signature = ModelSignature(
            Schema([TensorSpec(number, (-1, *facts["image_shape"]))]),
            Schema([TensorSpec(number, (-1, facts["num_classes"]))]),
        )
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        try:
            mlflow.pytorch.save_model(
                read_model(model),
                str(folder),
                serialization_format="pt2",
                signature=signature,
                input_example=np.zeros((2, *facts["image_shape"]), np.float32),  # of one, N would be fixed
                pip_requirements=[f"torch>={torch.__version__.partition('+')[0]}", "numpy"],
            )
        except Exception as error:  # whatever an architecture of others makes the exporter say
            raise DefensiveDistillationError(
                f"{model.location}: PyTorch cannot export it: {first_line(error)[:300]}"
            ) from error
    shutil.copytree(model.folder, folder / ARTIFACT)
