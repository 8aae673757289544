"""What defenses state of themselves, and how they name their networks."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from defensive_distillation.config import DefenseChoice
from defensive_distillation.defenses.registry import DEFENSES, all_parameters

NEW = ("adversarial_training", "deep_contractive", "denoising_autoencoder", "label_smoothing", "radial_basis")


def test_the_defenses_are_the_files_of_their_room() -> None:
    assert sorted(DEFENSES) == sorted((*NEW, "distillation"))
    assert all(defense.title and defense.settings.__doc__ for defense in DEFENSES.values())
    described = [field.description for name in NEW for field in DEFENSES[name].settings.model_fields.values()]
    assert all(described)


@pytest.mark.parametrize("name", NEW)
def test_a_network_with_the_defaults_has_the_name_of_its_defense(name: str) -> None:
    model = DEFENSES[name].model_id("defended", all_parameters(name, {}))
    assert (model.label, model.title) == (name, DEFENSES[name].title)
    assert model.temperature == 1


def test_other_parameters_are_in_the_name() -> None:
    choice = DefenseChoice.model_validate("adversarial_training:epsilon=0.1:random_start=no:steps=9")
    assert choice.label == "adversarial_training epsilon=0.1 steps=9 random_start=false"
    model = DEFENSES["adversarial_training"].model_id("defended", choice.parameters)
    assert model.title == "adversarial training, epsilon 0.1, steps 9, random start false"


def test_a_parameter_that_the_dataset_decides_is_left_out() -> None:
    assert "epsilon" not in all_parameters("adversarial_training", {})
    assert all_parameters("adversarial_training", {"epsilon": "0.25"})["epsilon"] == 0.25


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("adversarial_training", {"epsilon": 0}),
        ("adversarial_training", {"steps": 0}),
        ("adversarial_training", {"warm_up": 1.5}),
        ("label_smoothing", {"share": 1}),
        ("denoising_autoencoder", {"noise": 0}),
        ("deep_contractive", {"weight": -1}),
        ("radial_basis", {"units": 1}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        all_parameters(name, parameters)


def test_the_list_of_defenses_needs_no_pytorch() -> None:
    code = "import sys, defensive_distillation.defenses.registry; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
