from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact, Manifest
from defensive_distillation.artifacts.attack import attack_tensors, read_attack
from defensive_distillation.artifacts.dataset import dataset_facts, dataset_tensors, read_dataset
from defensive_distillation.artifacts.facts import (
    AttackFacts,
    SoftLabelFacts,
    TrainedFacts,
    checked,
    evaluation_of,
    require,
)
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.artifacts.soft_labels import read_soft_labels
from defensive_distillation.artifacts.tensors import pack, unpack, write_tensors
from defensive_distillation.attacks import jsma
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.config import STAGES
from defensive_distillation.datasets.dataset import Dataset, to_unit_interval
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation.stored_attack import StoredAttack, join_attacks, store_attack
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks.architectures import build
from support.evaluations import measured

CLASSES, SHAPE = 3, (1, 6, 7)
# source, target, success, changed features and pixels, two distances, stop reason, gradient evaluations, offset
PAIR_BYTES = 8 + 8 + 1 + 4 + 4 + 4 + 4 + 1 + 4 + 8
CHANGE_BYTES = {torch.uint8: 4 + 1, torch.float32: 4 + 4}  # feature, value
HEADER_BYTES = 2048  # names, types and shapes of the tensors, and one more offset


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator(seed))


def dataset(classes: int = CLASSES, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Dataset:
    labels = torch.arange(classes).repeat(2)
    names = tuple(str(number) for number in range(classes))
    images = noise(len(labels), seed, shape), noise(len(labels), seed + 1, shape)
    return Dataset("noise", names, images[0], labels, images[1], labels.clone())


def attacked(theta: float, *, count: int = 8, max_features: int = 9) -> tuple[Tensor, Tensor, Tensor, AttackResult]:
    """JSMA on a linear network: test images, sources, targets and what came of it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(42, CLASSES)).eval()
    images, sources = noise(5), torch.arange(count) % 5
    targets = torch.arange(count) % CLASSES
    found = jsma(model, to_unit_interval(images[sources]), targets, theta=theta, max_features=max_features)
    return images, sources, targets, found


def as_floats(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else to_unit_interval(images)


def equal(one: StoredAttack, other: StoredAttack) -> bool:
    pairs = zip(one.tensors().values(), other.tensors().values(), strict=True)
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def write(folder: Path, kind: str, tensors: dict[str, Tensor], facts: dict[str, Any], **inputs: list[str]) -> Artifact:
    artifacts.write(
        str(folder),
        kind=kind,
        stage="by hand",
        code="",
        config={},
        inputs=inputs,
        facts=facts,
        write_files=lambda draft: write_tensors(draft, tensors),
    )
    with artifacts.opened(str(folder), kind) as artifact:
        return artifact


def stored(place: str, kind: str) -> Artifact:
    with artifacts.opened(place, kind) as artifact:
        return artifact


# attacks


def result(images: Tensor, moved: Tensor, success: list[bool]) -> AttackResult:
    reasons = torch.tensor([StopReason.SUCCESS if ok else StopReason.BUDGET for ok in success], dtype=torch.int8)
    adversarial = (images + moved[:, None, None, None]).clamp(0, 1)
    return AttackResult.of(images, adversarial, torch.tensor(success), reasons, torch.ones(len(images)).long())


def test_of_several_levels_the_nearest_success_is_kept_or_the_last_failure() -> None:
    images, sources, targets = noise(3) // 2, torch.arange(3), torch.zeros(3, dtype=torch.int64)
    clean = to_unit_interval(images)
    levels = [
        result(clean, torch.full((3,), 0.1), [False, True, False]),
        result(clean, torch.full((3,), 0.2), [True, True, False]),
        result(clean, torch.full((3,), 0.3), [False, True, False]),
    ]
    kept = store_attack(images, sources, targets, levels, dense=True)
    assert kept.dense
    assert kept.success.tolist() == [True, True, False]
    torch.testing.assert_close(kept.linf, torch.tensor([0.2, 0.1, 0.3]))  # float32 additions
    assert (kept.level_reasons == StopReason.SUCCESS).tolist() == [[False, True, False], [True] * 3, [False] * 3]
    assert kept.gradient_evaluations.tolist() == [3, 3, 3]
    again = kept.adversarial(images, torch.tensor([2, 0]))
    assert torch.equal(again[0], levels[2].adversarial[2])
    assert torch.equal(again[1], levels[1].adversarial[0])


def test_a_dense_attack_takes_four_bytes_a_feature() -> None:
    images, sources, targets = noise(5) // 2, torch.arange(5), torch.zeros(5, dtype=torch.int64)
    found = result(to_unit_interval(images), torch.rand(5, generator=generator()), [True] * 5)
    kept = store_attack(images, sources, targets, [found], dense=True)
    assert len(pack(kept.tensors())) <= 5 * (PAIR_BYTES + 4 * 42) + HEADER_BYTES


@pytest.mark.parametrize(("theta", "kind"), [(1.0, torch.uint8), (-1.0, torch.uint8), (0.3, torch.float32)])
def test_the_samples_of_an_attack_come_back_exactly(theta: float, kind: torch.dtype) -> None:
    images, sources, targets, found = attacked(theta)
    assert (found.changed_features > 0).any()
    kept = store_attack(images, sources, targets, [found], dense=False)
    assert kept.value.dtype == kind
    again = kept.adversarial(images, torch.arange(len(sources)))
    assert again.dtype == kind
    assert torch.equal(as_floats(again), found.adversarial)
    assert torch.equal(kept.changed_features.long(), found.changed_features)
    assert torch.equal(kept.offset.diff(), found.changed_features)
    assert torch.equal(kept.success, found.success)
    assert torch.equal(kept.stop_reason, found.stop_reason)
    some = torch.tensor([5, 2, 2])
    assert torch.equal(kept.adversarial(images, some), again[some])


@given(
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    steps=st.sampled_from([255, 16, 2**24]),
    cut=st.integers(0, 12),
    dense=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_any_samples_come_back_exactly_whole_or_joined_from_parts(
    seed: int, share: float, steps: int, cut: int, dense: bool
) -> None:
    images, sources, targets = noise(4, seed), torch.arange(12) % 4, torch.zeros(12, dtype=torch.int64)
    randoms = generator(seed)
    adversarial = to_unit_interval(images[sources])
    moved = torch.rand(adversarial.shape, generator=randoms) < share
    values = torch.randint(0, steps + 1, adversarial.shape, generator=randoms) / steps
    values[: len(values) // 2] = (values[: len(values) // 2] * 255).round() / 255  # a part that fits into uint8
    adversarial = torch.where(moved, values, adversarial)
    changed = (adversarial != to_unit_interval(images[sources])).flatten(1).sum(1)
    reasons = torch.full((12,), StopReason.BUDGET, dtype=torch.int8)
    found = AttackResult.of(to_unit_interval(images[sources]), adversarial, changed > 2, reasons, changed)

    def part(rows: slice) -> StoredAttack:
        one = AttackResult(**{field.name: getattr(found, field.name)[rows] for field in fields(AttackResult)})
        return store_attack(images, sources[rows], targets[rows], [one], dense=dense)

    whole = part(slice(None))
    joined = join_attacks([part(rows) for rows in (slice(0, cut), slice(cut, 12)) if rows.stop != rows.start])
    assert torch.equal(as_floats(whole.adversarial(images, torch.arange(12))), adversarial)
    assert equal(joined, whole)


def test_an_attack_comes_back_from_its_artifact(tmp_path: Path) -> None:
    images, sources, targets, found = attacked(1.0)
    kept = store_attack(images, sources, targets, [found], dense=False)
    names = ["jsma/logits", "cw_l0"]
    tensors = {name: tensor.clone() for name, tensor in attack_tensors(dict.fromkeys(names, kept)).items()}
    facts = {**ATTACKED, "variants": [{**ATTACKED["variants"][0], "name": name} for name in names]}
    again = read_attack(write(tmp_path / "attack", "attack", tensors, facts))
    assert list(again) == names
    assert all(equal(one, kept) for one in again.values())


@pytest.mark.parametrize("theta", [1.0, 0.3])
def test_an_attack_takes_no_more_than_fifty_bytes_a_pair_and_eight_a_change(theta: float) -> None:
    images, sources, targets, found = attacked(theta, count=200)
    kept = store_attack(images, sources, targets, [found], dense=False)
    bound = PAIR_BYTES * 200 + CHANGE_BYTES[kept.value.dtype] * int(found.changed_features.sum()) + HEADER_BYTES
    assert PAIR_BYTES <= 50
    assert len(pack(kept.tensors())) <= bound


# datasets


ATTACKED: dict[str, Any] = {
    "logit_scale": 1.0,
    "temperature": 20,
    "variants": [
        {"name": "a", "attack": "jsma", "arguments": {}, "pairs": 1, "successes": 1, "stop_reasons": {"success": 1}}
    ],
    "shard": [0, 1],
}
TRAINED: dict[str, Any] = {"architecture": "mnist", "num_classes": 10, "image_shape": [1, 28, 28], "dropout": 0.5}


@pytest.mark.parametrize(
    ("form", "right", "name", "wrong"),
    [
        *[(AttackFacts, ATTACKED, "temperature", wrong) for wrong in ("20", None, 0, -1, 1e308, True)],
        *[(SoftLabelFacts, {"temperature": 20}, "temperature", wrong) for wrong in ("20", None, 0, -1, 1e308)],
        *[(AttackFacts, ATTACKED, "variants", wrong) for wrong in ([], None, [{}], "a")],
        *[(AttackFacts, ATTACKED, "shard", wrong) for wrong in ([], [0], [1, 1], [0, 10**9], [-1, 1], ["0", 1])],
        *[(TrainedFacts, TRAINED, "dropout", wrong) for wrong in (2, "0.5", None, -0.1, 1)],
        *[(TrainedFacts, TRAINED, "image_shape", wrong) for wrong in ([], [1, 28], [1, 0, 28])],
    ],
)
def test_wrong_facts_under_a_right_digest_are_refused_by_their_name(
    tmp_path: Path, form: Any, right: dict[str, Any], name: str, wrong: Any
) -> None:
    def artifact(facts: dict[str, Any]) -> Artifact:
        location = str(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        return artifacts.write(
            location, kind="k", stage="s", code="c", config={}, inputs={}, facts=facts, write_files=lambda folder: None
        )

    assert checked(artifact(right), form)
    with pytest.raises(ArtifactError, match=rf"facts\..*{name}|facts\.: .*{name}"):
        checked(artifact({**right, name: wrong}), form)
    with pytest.raises(ArtifactError, match=rf"facts\.{name}: Field required"):
        checked(artifact({key: value for key, value in right.items() if key != name}), form)


EPOCH = {"epoch": 1, "loss": 0.5, "train_accuracy": 0.9, "test_accuracy": 0.8}
OF_MODEL: dict[str, Any] = {
    "architecture": "mnist",
    "num_classes": 10,
    "image_shape": [1, 28, 28],
    "training": [EPOCH],
    "teacher_training": [],
    "train_accuracy": 0.9,
    "test_accuracy": 0.8,
}
RECIPE: dict[str, Any] = {"image_size": None, "channels": 3, "mean": [0.5], "std": [0.2], "class_logits": [0, 1]}
WRONG_RECIPE: dict[str, list[Any]] = {
    "image_size": ["32", 0, -1, 1e308, 10**300],
    "channels": ["3", 0, -1, 1e308],
    "mean": [None, 0.5, ["0.5"], [1e308], [None]],
    "std": [None, 0.5, ["0.5"], [1e308], [0], [-1]],
    "class_logits": [None, 1, ["1"], [-1], [1e308]],
}
RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "dataset": (
        "dataset",
        {
            "name": "digits",
            "classes": ["0", "1"],
            "image_shape": [1, 8, 8],
            "train_images": 20,
            "test_images": 10,
            "content": "c",
        },
    ),
    "trained": ("model", {**OF_MODEL, "dropout": 0.5, "output_layer": "4"}),
    "imported": ("model", {**OF_MODEL, "train_accuracy": None, "draws": 1, "imported": RECIPE}),
    "soft labels": (
        "soft_labels",
        {
            "temperature": 20,
            "images": 20,
            "num_classes": 10,
            "mean_largest": 0.5,
            "mean_entropy_bits": 1.5,
            "teacher_training": [EPOCH],
        },
    ),
    "attack": ("attack", ATTACKED),
    "report": ("report", {"models": ["baseline"]}),
    "gate": ("gate", {"outcome": "passed", "sentence": "It passed."}),
}
TEXTS = {"name", "content", "architecture", "output_layer", "outcome", "sentence"}
MAY_BE_ZERO = {"train_accuracy", "test_accuracy", "dropout", "mean_largest", "mean_entropy_bits"}
MAY_BE_NONE = {"train_accuracy"}  # of an imported network
MAY_LACK = {("imported", "draws")}


def of_facts(kind: str, facts: dict[str, Any]) -> Manifest:
    values = {"stage": "s", "version": "1", "code": "c", "config": {}, "inputs": {}, "environment": {}, "files": {}}
    return Manifest.model_validate({"schema_version": 2, "kind": kind, "facts": facts, **values})


def wrong_values(name: str) -> list[Any]:
    """Of one fact; each is of another type or out of its range."""
    if name == "imported":
        changed = [{**RECIPE, key: wrong} for key, values in WRONG_RECIPE.items() for wrong in values]
        lacking = [{key: value for key, value in RECIPE.items() if key != left} for left in RECIPE]
        return [None, "a", 0, {}, *changed, *lacking]
    wrong = [20 if name in TEXTS else "20", -1, 1e308, True, {}]
    wrong += [] if name in MAY_BE_NONE else [None]
    wrong += [] if name in MAY_BE_ZERO else [0]
    return [*wrong, [None], ["", "a"], [0, -1, 1], [{"epoch": 1}], [{**EPOCH, "train_accuracy": 2}]]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, facts) in RIGHT.items() for name in facts])
def test_of_every_kind_a_wrong_fact_is_refused_by_its_name(kind: str, name: str) -> None:
    of, right = RIGHT[kind]
    require("s3://bucket/x", of_facts(of, right))
    for wrong in wrong_values(name):
        with pytest.raises(ArtifactError, match=rf"^s3://bucket/x: facts\.({name}|: .*{name})") as caught:
            require("s3://bucket/x", of_facts(of, {**right, name: wrong}))
        assert "\n" not in str(caught.value)
    rest = {key: value for key, value in right.items() if key != name}
    if (kind, name) in MAY_LACK:
        require("s3://bucket/x", of_facts(of, rest))
        return
    with pytest.raises(ArtifactError, match=r"^s3://bucket/x: facts\.\w+: Field required"):
        require("s3://bucket/x", of_facts(of, rest))


def test_every_kind_that_a_stage_writes_has_a_form() -> None:
    kinds = {config.writes for config in STAGES.values()}
    assert kinds == {kind for kind, _ in RIGHT.values()} | {"evaluation"}
    for kind in kinds:
        with pytest.raises(ArtifactError, match=r"^s3://bucket/x: facts\.\w+: Field required"):
            require("s3://bucket/x", of_facts(kind, {}))


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(
        ArtifactError, match=r"^s3://bucket/x: facts\.model\.role: expected .*, got Input should be 'baseline'"
    ):
        ModelId.of({"model": {"role": "emperor", "label": "a", "title": "a"}}, "s3://bucket/x")


def test_a_dataset_comes_back_as_it_was(tmp_path: Path) -> None:
    one = dataset()
    again = read_dataset(write(tmp_path / "one", "dataset", dataset_tensors(one), dataset_facts(one)))
    assert (again.name, again.classes) == (one.name, one.classes)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(again, name), getattr(one, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": torch.tensor([0, 1, 2, 0, 1, 3])}, "training labels: expected 0 to 2, got 3"),
        ({"test_labels": torch.tensor([0, 1, 2, 0, 1, -1])}, "test labels: expected 0 to 2, got -1"),
        ({"train_labels": torch.tensor([0, 1, 1, 0, 1, 1])}, "class '2': expected at least one training image"),
        ({"train_images": noise(6).float()}, r"training images: expected dtype torch\.uint8, got torch\.float32"),
        ({"test_images": noise(5)}, r"test labels: expected shape \(5,\), got \(6,\)"),
        ({"surprise": torch.zeros(1)}, "expected tensors train_images, train_labels, test_images, test_labels, got "),
    ],
)
def test_a_dataset_with_impossible_content_is_refused(tmp_path: Path, changes: dict[str, Tensor], message: str) -> None:
    one = dataset()
    tensors = {**dataset_tensors(one), **changes}
    artifact = write(tmp_path / "one", "dataset", tensors, dataset_facts(one))
    with pytest.raises(ArtifactError, match=rf"one: {message}"):
        read_dataset(artifact)


def test_what_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="somewhere: expected safetensors, got something else"):
        unpack(b"no tensors at all", "somewhere")
    for cut in (1, 100):
        with pytest.raises(ArtifactError, match="expected safetensors"):
            unpack(pack({"a": torch.zeros(100)})[:-cut], "somewhere")


# soft labels


def test_soft_labels_are_read_for_their_dataset_and_temperature_only(tmp_path: Path) -> None:
    one, two = dataset(), dataset(seed=1)
    data, other = (
        write(tmp_path / name, "dataset", dataset_tensors(given), dataset_facts(given))
        for name, given in (("data", one), ("other", two))
    )
    rows = torch.rand(len(one.train_images), CLASSES, generator=generator())
    kept = write(
        tmp_path / "labels", "soft_labels", {"soft_labels": rows}, {"temperature": 20.0}, dataset=[data.digest]
    )
    assert torch.equal(read_soft_labels(kept, data, 20.0), rows)
    message = f"expected soft labels of the dataset {other.digest[:12]}, got those of {data.digest[:12]}"
    with pytest.raises(ArtifactError, match=message):
        read_soft_labels(kept, other, 20.0)
    with pytest.raises(ArtifactError, match="expected soft labels at T = 5, got those at T = 20"):
        read_soft_labels(kept, data, 5.0)


# models


FACTS = {"architecture": "papernot_mnist", "num_classes": 10, "image_shape": [1, 28, 28], "dropout": 0.5}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return build("papernot_mnist", 10, (1, 28, 28), dropout=0.5).state_dict()


def test_a_model_comes_back_ready_to_be_asked_and_not_for_another_dataset(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    artifact = write(tmp_path / "model", "model", weights, FACTS)
    model = read_model(artifact, dataset(10, (1, 28, 28)))
    assert not model.training
    assert not any(one.requires_grad for one in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ArtifactError, match=r"expected a model for 3 classes of images \(1, 28, 28\), got one for 10 "):
        read_model(artifact, dataset(3, (1, 28, 28)))
    with pytest.raises(ArtifactError, match=r"of images \(3, 32, 32\), got one for 10 classes of \(1, 28, 28\)"):
        read_model(artifact, dataset(10, (3, 32, 32)))


@pytest.mark.parametrize("fault", ["another architecture", "a missing tensor", "one too many", "another shape"])
def test_weights_that_do_not_fit_are_refused(weights: dict[str, Tensor], tmp_path: Path, fault: str) -> None:
    tensors, facts = dict(weights), dict(FACTS)
    if fault == "another architecture":
        facts["architecture"] = "papernot_cifar10"
    elif fault == "a missing tensor":
        del tensors["0.weight"]
    elif fault == "one too many":
        tensors["0.extra"] = torch.zeros(1)
    else:
        tensors["0.weight"] = tensors["0.weight"][..., :2]
    with pytest.raises(ArtifactError, match=f"the weights do not fit {facts['architecture']}: "):
        read_model(write(tmp_path / "model", "model", tensors, facts))


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({}, "evaluation"),
        ({"evaluation": {}}, "evaluation.model"),
        ({"evaluation": None}, "evaluation"),
        ({"evaluation": []}, "evaluation"),
        ({"evaluation": {**measured()[0].model_dump(mode="json"), "accuracy": "high"}}, "evaluation.accuracy"),
        ({"evaluation": {**measured()[0].model_dump(mode="json"), "more": 1}}, "evaluation.more"),
    ],
)
def test_wrong_facts_of_an_evaluation_are_one_line_that_names_the_place(facts: dict[str, Any], place: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^s3://bucket/x: facts\.{place}: "):
        evaluation_of("s3://bucket/x", facts)


def test_facts_without_a_network_are_refused_where_there_has_to_be_one() -> None:
    for facts in ({}, {"model": None}, {"model": {}}):
        with pytest.raises(ArtifactError, match=r"^s3://bucket/x: facts\.model: expected .*, got none"):
            ModelId.required(facts, "s3://bucket/x")
    with pytest.raises(ArtifactError, match="expected a network's identity, got "):
        ModelId.required({"model": {"role": "student"}}, "s3://bucket/x")
