"""How MLflow loads a network from our own artifact: safetensors and JSON, no pickle; `mlflow.pyfunc.load_model`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from defensive_distillation import artifacts
from defensive_distillation.artifacts.model import read_model


class Classifier:
    """A network as MLflow calls it."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Logits (N, K) of images (N, C, H, W) in [0, 1], before the softmax and not divided by T."""
        with torch.no_grad():
            logits = self.network(torch.as_tensor(np.asarray(images, np.float32)))
        return np.asarray(logits.numpy(), np.float32)


def _load_pyfunc(place: str) -> Classifier:
    """What MLflow calls with the folder of the artifact."""
    with artifacts.opened(place, "model") as artifact:
        return Classifier(read_model(artifact))
