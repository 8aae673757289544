from __future__ import annotations

import pytest

from defensive_distillation.defenses import distillation
from defensive_distillation.defenses.specification import Defense, DefenseSettings
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import BASELINE, ModelId


class Strength(DefenseSettings):
    strength: float


OTHER = Defense(
    name="another",
    title="another defense",
    settings=Strength,
    train=distillation.train,
    label=lambda parameters: f"another={parameters['strength']:g}",
    reads_as=lambda parameters: f"another, strength {parameters['strength']:g}",
)


def test_the_networks_of_the_paper_have_labels_and_titles() -> None:
    named = [BASELINE, distillation.teacher(20), distillation.student(20), distillation.control(2.5)]
    assert [model.label for model in named] == ["baseline", "T=20", "T=20", "control T=2.5"]
    assert [model.title for model in named] == ["no distillation", "T = 20", "T = 20", "control, T = 2.5"]
    assert [model.role for model in named] == ["baseline", "teacher", "defended", "control"]
    assert [model.temperature for model in named] == [1, 20, 20, 2.5]
    assert list(map(str, named)) == ["the baseline", "the teacher T=20", "the defended T=20", "the control T=2.5"]


def test_a_teacher_at_1_is_the_baseline_and_a_student_at_1_is_not() -> None:
    assert distillation.teacher(1) == BASELINE
    assert distillation.student(1) != BASELINE
    assert distillation.student(1).label == "T=1"


def test_a_second_defense_has_identities_of_its_own() -> None:
    model = OTHER.model_id("defended", {"strength": 0.5})
    assert (model.defense, model.label, model.title) == ("another", "another=0.5", "another, strength 0.5")
    assert model.temperature == 1, "an attacker has no T to divide by"
    assert OTHER.model_id("control", {"strength": 0.5}).label == "control another=0.5"
    assert OTHER.model_id("baseline", {}) == BASELINE


def test_networks_are_sorted_by_role_then_defense_then_parameters() -> None:
    unordered = [
        distillation.control(2),
        distillation.student(100),
        OTHER.model_id("defended", {"strength": 3}),
        distillation.student(20),
        BASELINE,
        distillation.control(10),
    ]
    labels = [model.label for model in sorted(unordered, key=lambda model: model.order)]
    assert labels == ["baseline", "another=3", "T=20", "T=100", "control T=2", "control T=10"]


def test_an_identity_comes_back_from_the_facts_of_an_artifact() -> None:
    model = distillation.student(20)
    assert ModelId.of({"model": model.model_dump(mode="json")}, "place") == model
    assert ModelId.of({}, "place") is None
    with pytest.raises(
        ArtifactError,
        match=r"^place: facts\.model\.role: expected .*, got Input should be 'baseline'",
    ):
        ModelId.of({"model": {**model.model_dump(), "role": "student"}}, "place")


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (BASELINE, 1),
        (distillation.teacher(20), 20),
        (distillation.student(20), 20),
        (distillation.control(2.5), 2.5),
        (ModelId(role="imported", label="theirs", title="theirs"), None),
        (ModelId(role="imported", label="theirs", title="theirs", parameters={"temperature": 7}), 7),
        (ModelId(role="defended", defense="another", parameters={"strength": 1.0}, label="a", title="a"), None),
    ],
)
def test_a_temperature_is_known_where_the_training_tells_it(model: ModelId, known: float | None) -> None:
    assert model.known_temperature == known
