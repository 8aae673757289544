"""What the specifications of the attacks promise to all that derives from them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from defensive_distillation.config import AttackConfig, AttackStageConfig
from defensive_distillation.evaluation.results import Condition
from defensive_distillation.suite import attacks
from defensive_distillation.suite.execution import attack_calls
from defensive_distillation.suite.registry import ATTACKS, SECTIONS, attacker, title

ADDED = {"model", "images", "batch_size", "on_finished"}  # what the stage adds to an attack's arguments


def test_every_file_is_an_attack_of_its_name_in_its_familys_folder_and_the_order_is_strict() -> None:
    root = Path(attacks.__path__[0])
    files = {path.stem: path.parent for path in root.rglob("*.py") if path.stem != "__init__"}
    assert set(ATTACKS) == set(files)
    for name, folder in files.items():
        assert folder in (root, root / ATTACKS[name].family)
    orders = [attack.order for attack in ATTACKS.values()]
    assert orders == sorted(set(orders))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_function_takes_what_the_specification_gives(name: str) -> None:
    attack = ATTACKS[name]
    module, _, function = attack.function.partition(":")
    taken = inspect.signature(getattr(import_module(module), function)).parameters
    assert set(taken) >= ADDED
    config = AttackConfig(attacks=(name,))
    for call in attack_calls(config, 20.0, None):
        given = {*call.arguments, *([attack.level] if attack.level else []), *(["seeds"] if attack.random else [])}
        assert given <= set(taken), call.name
        assert bool(call.levels) == bool(attack.level)
        required = {key for key, parameter in taken.items() if parameter.default is parameter.empty}
        assert required - {"model", "images", "labels", "target_classes"} <= given


def test_settings_are_the_sections_of_the_attacks() -> None:
    assert set(AttackConfig.model_fields) == set(AttackStageConfig.model_fields) | set(SECTIONS)
    for name, attack in ATTACKS.items():
        for section, model in attack.sections.items():
            assert SECTIONS[section] is model, f"{name} and another attack mean different settings by {section}"
            assert AttackStageConfig.heeds(section, [name])
        assert not any(AttackStageConfig.heeds(section, [name]) for section in set(SECTIONS) - set(attack.sections))
        assert AttackStageConfig.heeds("batch_size", [name])


def test_variants_have_names_and_titles_of_their_own() -> None:
    variants = [(attack.variant_name(one), one) for attack in ATTACKS.values() for one in attack.variants]
    assert len({name for name, _ in variants}) == len({one.title for _, one in variants}) == len(variants)
    assert all(title(name) == one.title and attacker(name) == one.attacker for name, one in variants)
    assert title("mine/logits") == "mine on logits"
    assert title("pgd") == "PGD"
    chosen = AttackConfig(attacks=("jsma",), jsma={"outputs": ("scaled", "logits")})
    names = [(call.name, call.arguments.get("temperature")) for call in attack_calls(chosen, 20.0, None)]
    assert names == [("jsma/scaled", 20.0), ("jsma/logits", None)], "in the order of the settings, z/T at T"


def test_there_is_one_strongest_attack_to_compare_with_in_the_family_of_balls() -> None:
    assert [attack.name for attack in ATTACKS.values() if attack.iterates] == ["pgd"]
    said = {attack.condition for attack in ATTACKS.values() if attack.condition}
    assert said == {"iterated", "black_box", "noise", "transfer"}
    assert "name" in Condition.model_fields
