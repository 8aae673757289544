"""Every defense through its stage: trained, built again from its artifact, and trained again to the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from defensive_distillation import artifacts
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.config import TrainDefendedConfig
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures import accuracy, predict
from defensive_distillation.stages import train_defended
from support.chain import Chain

TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 32, "minimum_progress": 0}
PARAMETERS: dict[str, dict[str, Any]] = {"adversarial_training": {"steps": 2}, "radial_basis": {"units": 30}}
ARCHITECTURES = {"radial_basis": "rbf:30", "denoising_autoencoder": "denoised:papernot_mnist"}
PASSES = {"adversarial_training": 6, "distillation": 4}


def trained(chain: Chain, output: Path, defense: str, **settings: Any) -> artifacts.Artifact:
    config = TrainDefendedConfig(defense=defense, parameters=PARAMETERS.get(defense, {}), **{**TRAINING, **settings})
    return train_defended.run(config, dataset=chain.place("dataset"), output=str(output))


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_defended_network_is_built_again_from_its_artifact(chain: Chain, tmp_path: Path, defense: str) -> None:
    artifact = trained(chain, tmp_path / "model", defense)
    with artifacts.opened(chain.place("dataset"), "dataset") as place:
        dataset = read_dataset(place)
    facts = artifact.facts
    assert facts["model"]["defense"] == defense
    assert facts["architecture"] == ARCHITECTURES.get(defense, "papernot_mnist")
    assert facts["training_passes"] == PASSES.get(defense, 2)
    logits = predict(read_model(artifact, dataset), dataset.test_images, batch_size=500, device=torch.device("cpu"))
    # laid out in another way in memory: an image on the boundary may fall to the other side
    assert accuracy(logits, dataset.test_labels) == pytest.approx(facts["test_accuracy"], abs=1.5 / len(logits))
    assert trained(chain, tmp_path / "again", defense).digest == artifact.digest


def test_a_contractive_network_needs_layers_whose_jacobians_are_known(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected for a deep contractive network .*; got BatchNorm2d in it"):
        trained(chain, tmp_path / "model", "deep_contractive", architecture="torchvision:resnet18")
