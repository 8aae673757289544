"""The control: the undistilled network with its logits multiplied by T.

No defense, and yet its gradients at T = 1 vanish as those of a network distilled at T do: what it has in common with
that network is the scale of its logits alone.
"""

from __future__ import annotations

from torch import nn

from defensive_distillation import codecs
from defensive_distillation.artifacts import Artifact
from defensive_distillation.data import Dataset
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.models import scale_output_layer


def read_network(artifact: Artifact, dataset: Dataset, control_temperature: float | None) -> tuple[nn.Module, float]:
    """The network in a model artifact, or the control made of it, in evaluation mode, and the T of z/T.

    Raises:
        ArtifactError: if the artifact does not fit the dataset.
        ConfigurationError: if a control is asked for of another network than an undistilled one.
    """
    facts = artifact.facts
    model = codecs.read_model(artifact, dataset)
    if control_temperature is None:
        return model, facts["temperature"]
    if facts["role"] == "student" or facts["temperature"] != 1:
        raise ConfigurationError(
            f"control_temperature: expected an undistilled model trained at T = 1, got a {facts['role']} "
            f"trained at T = {facts['temperature']:g}"
        )
    scale_output_layer(model, dataset.num_classes, control_temperature)
    return model, control_temperature
