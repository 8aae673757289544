"""Each stage on real digits: the same bytes however it is called, wherever its artifacts lie."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from defensive_distillation import artifacts
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.evaluation import read_measured
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.artifacts.tensors import unpack
from defensive_distillation.config import (
    AttackConfig,
    EvaluateConfig,
    GenerateSoftLabelsConfig,
    PrepareDataConfig,
    TrainStudentConfig,
    TrainTeacherConfig,
)
from defensive_distillation.errors import ArtifactError, ConfigurationError, TrainingError
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.evaluation.stored_attack import StoredAttack
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.stages import (
    attack,
    evaluate,
    generate_soft_labels,
    prepare_data,
    train_student,
)
from defensive_distillation.stages import train_teacher as teacher_stage
from defensive_distillation_pipelines.commands import cli
from support.chain import JSMA, OTHERS, SMALL, TRAINING, Chain
from support.files import bytes_of

NINE = {"samples": 9, "epsilons": (0.2, 1.0)}
QUICK = {"epochs": 1, "batch_size": 64, "minimum_progress": 0.0}


def test_a_stage_gives_the_same_bytes_as_function_as_command_and_as_module(chain: Chain, tmp_path: Path) -> None:
    arguments = ["--dataset", chain.place("dataset"), "--temperature", "5", "--epochs", "1", "--batch-size", "64"]
    arguments += ["--minimum-progress", "0", "--output"]
    config = TrainTeacherConfig(**QUICK, temperature=5)
    teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / "function"))
    cli.main(["stage", "train_teacher", *arguments, str(tmp_path / "command")])
    subprocess.run(
        [sys.executable, "-m", "defensive_distillation.stages.train_teacher", *arguments, str(tmp_path / "module")],
        check=True,
    )
    assert bytes_of(tmp_path / "function") == bytes_of(tmp_path / "command") == bytes_of(tmp_path / "module")


def test_every_stage_reads_and_writes_s3_as_it_does_local_folders(chain: Chain, s3_bucket: str, tmp_path: Path) -> None:
    at = f"{s3_bucket}/sweep/"
    stages = [
        (prepare_data, PrepareDataConfig(train_limit=300, test_limit=60), {}, "dataset"),
        (teacher_stage, TrainTeacherConfig(**TRAINING, temperature=20), {"dataset": at + "dataset"}, "teacher-20"),
        (
            generate_soft_labels,
            GenerateSoftLabelsConfig(temperature=20),
            {"dataset": at + "dataset", "teacher": at + "teacher-20"},
            "soft-labels",
        ),
        (
            train_student,
            TrainStudentConfig(**TRAINING, temperature=20),
            {"dataset": at + "dataset", "soft_labels": at + "soft-labels"},
            "student",
        ),
        (
            attack,
            AttackConfig(jsma=JSMA, part_size=30),
            {"dataset": at + "dataset", "model": at + "student"},
            "attack",
        ),
        (
            attack,
            AttackConfig(jsma=JSMA, part_size=30, logit_scale=20),
            {"dataset": at + "dataset", "model": at + "teacher-1"},
            "attack-control",
        ),
        (
            evaluate,
            EvaluateConfig(),
            {"dataset": at + "dataset", "model": at + "student", "attacks": [at + "others", at + "attack"]},
            "evaluation",
        ),
    ]
    for name in ("teacher-1", "others"):
        for path in Path(chain.place(name)).iterdir():
            storage.write_bytes(f"{at}{name}/{path.name}", path.read_bytes())
    for module, config, inputs, name in stages:
        artifact = module.run(config, **inputs, output=at + name)  # type: ignore[attr-defined]
        with artifacts.opened(chain.place(name), config.writes) as here:
            assert artifact.digest == here.digest, name
        assert not storage.list_names(f"{at}.{name}.unfinished")


def test_a_finished_stage_is_recognised_and_not_repeated(chain: Chain) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(chain.place("student")).iterdir()}
    config = TrainStudentConfig(**TRAINING, temperature=20)
    train_student.run(
        config, dataset=chain.place("dataset"), soft_labels=chain.place("soft-labels"), output=chain.place("student")
    )
    assert {path: path.stat().st_mtime_ns for path in Path(chain.place("student")).iterdir()} == before


def test_another_seed_gives_another_model(chain: Chain, tmp_path: Path) -> None:
    digests = set()
    for seed in (0, 1):
        config = TrainTeacherConfig(**QUICK, seed=seed)
        found = teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / str(seed)))
        digests.add(found.manifest.files[TENSORS].sha256)
    assert len(digests) == 2


def test_soft_labels_are_probabilities_of_the_teacher_at_its_temperature(chain: Chain) -> None:
    with artifacts.opened(chain.place("soft-labels"), "soft_labels") as soft:
        rows = unpack(soft.file(TENSORS).read_bytes(), "soft labels")["soft_labels"]
    with artifacts.opened(chain.place("dataset"), "dataset") as found:
        dataset = read_dataset(found)
    with artifacts.opened(chain.place("teacher-20"), "model") as found:
        teacher = read_model(found, dataset)
    with torch.no_grad():
        expected = torch.softmax(teacher(dataset.train_images.float() / 255) / 20, dim=1)
    # each row is rounded from float64: within half a unit of the last place for each of the ten entries
    torch.testing.assert_close(rows.double().sum(1), torch.ones(300, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=0)  # batches of another size round otherwise


def test_an_attack_keeps_every_sample_and_says_why_it_stopped(chain: Chain) -> None:
    with artifacts.opened(chain.place("attack"), "attack") as found:
        stored = read_attack(found)
        facts = found.facts
    with artifacts.opened(chain.place("dataset"), "dataset") as found:
        dataset = read_dataset(found)
    with artifacts.opened(chain.place("student"), "model") as found:
        model = read_model(found, dataset)
    assert list(stored) == ["jsma/probabilities", "jsma/logits", "jsma/scaled"]
    for name, one in stored.items():
        assert len(one.success) == 63  # seven sources, each towards nine other classes
        assert bool((one.target_class != dataset.test_labels[one.source_index]).all())
        images = one.adversarial(dataset.test_images, torch.arange(63))
        with torch.no_grad():
            reached = model(images.float() / 255).argmax(1) == one.target_class
        assert torch.equal(reached, one.success), name
        assert torch.equal((images != dataset.test_images[one.source_index]).flatten(1).sum(1), one.changed_features)
        assert int(one.changed_features.max()) <= 20
        variant = next(v for v in facts["variants"] if v["name"] == name)
        assert sum(variant["stop_reasons"].values()) == 63


def test_an_evaluation_agrees_with_its_model_and_attack(chain: Chain) -> None:
    with artifacts.opened(chain.place("evaluation"), "evaluation") as found:
        evaluation = Evaluation.model_validate(found.facts["evaluation"])
        correct = torch.from_numpy(read_measured(found).correct)
    with artifacts.opened(chain.place("student"), "model") as found:
        assert evaluation.accuracy == found.facts["test_accuracy"] == evaluation.training[-1].test_accuracy
    with artifacts.opened(chain.place("attack"), "attack") as found:
        stored = read_attack(found)
    assert (evaluation.name, evaluation.temperature, evaluation.defended) == ("T=20", 20.0, True)
    assert len(evaluation.teacher_training) == len(evaluation.training) == TRAINING["epochs"]
    for name, one in stored.items():
        attacked = evaluation.attack(name.removeprefix("jsma/"))
        assert attacked is not None
        right = correct[one.source_index]
        assert attacked.successes == int((one.success & right).sum())
        assert attacked.pairs == int(right.sum()) == 9 * attacked.sources
        assert attacked.sources + attacked.misclassified == len(one.source_index.unique())
        assert attacked.success_by_budget[-1] == attacked.success_rate
        assert list(attacked.success_by_budget) == sorted(attacked.success_by_budget)
    assert sum(evaluation.gradients_at_1.amplitude_counts) == evaluation.gradients_at_1.samples == 60


def test_every_attack_of_the_suite_keeps_samples_that_do_what_they_say(chain: Chain) -> None:
    with artifacts.opened(chain.place("others"), "attack") as found:
        stored, facts = read_attack(found), found.facts
    with artifacts.opened(chain.place("dataset"), "dataset") as found:
        dataset = read_dataset(found)
    with artifacts.opened(chain.place("student"), "model") as found:
        model = read_model(found, dataset)
    assert {variant["attack"] for variant in facts["variants"]} == set(OTHERS)
    for variant in facts["variants"]:
        one, targeted = stored[variant["name"]], variant["targeted"]
        labels = dataset.test_labels[one.source_index]
        assert bool(((one.target_class == labels) != targeted).all()), variant["name"]
        images = as_input(one.adversarial(dataset.test_images, torch.arange(len(labels))))
        assert bool(((images >= 0) & (images <= 1)).all())
        with torch.no_grad():
            predicted = model(images).argmax(1)
        assert torch.equal((predicted == one.target_class) == targeted, one.success), variant["name"]
        moved = (images - as_input(dataset.test_images[one.source_index])).flatten(1)
        torch.testing.assert_close(moved.norm(dim=1), one.l2)  # the same differences, summed in another order
        assert torch.equal(moved.abs().amax(1), one.linf)
        assert torch.equal((moved != 0).sum(1), one.changed_features.long())
        assert one.level_reasons.shape[1] == len(variant["levels"])


def test_attacks_on_different_numbers_of_samples_share_those_of_the_smaller_number(chain: Chain) -> None:
    sources = []
    for name in ("attack", "others"):
        with artifacts.opened(chain.place(name), "attack") as found:
            sources += [set(one.source_index.tolist()) for one in read_attack(found).values()]
    by_size = sorted(sources, key=len)
    assert sorted({len(few) for few in by_size}) == [1, 2, 6, 7]
    assert all(few <= many for few, many in pairwise(by_size))


def test_an_evaluation_has_the_ten_points_of_an_honest_report(chain: Chain) -> None:
    found = evaluation_of(chain, "evaluation")
    assert found.mean_absolute_logit > 0
    assert {a.output for a in found.jsma} == {"probabilities", "logits", "scaled"}
    assert {a.attack for a in found.attacks} == {"jsma", "jsma_decreasing", "jsma_untargeted"}
    names = ["fgsm/cross_entropy", "fgsm/margin", "pgd/cross_entropy", "pgd/margin", "pgd/scaled", "square/margin"]
    assert [one.name for one in found.bounded] == [*names, "noise"]
    for one in found.bounded:
        assert one.epsilons == (0.2, 1.0)
        assert list(one.success_by_epsilon) == sorted(one.success_by_epsilon)
        assert one.success_by_epsilon[-1] >= max(one.successes) / one.sources
    for norm in ("l2", "l0", "linf"):
        distance = found.distance(f"cw_{norm}")
        assert distance is not None
        assert (distance.norm, distance.sources, distance.pairs) == (norm, 1, 9)
        means = [case.mean_distance for case in (distance.best, distance.average, distance.worst)]
        assert all(mean is not None for mean in means[:2])
        assert means[:2] == sorted(means[:2])  # type: ignore[type-var]
    assert found.transfer is not None
    assert found.transfer.confidences == (0.0, 5.0)
    worst = found.worst_case
    assert worst is not None
    assert (worst.sources, set(worst.attacks)) == (1, {"jsma", *OTHERS})
    best_of_cw = found.distance("cw_l2")
    assert best_of_cw is not None
    assert worst.mean_l2 is not None
    assert best_of_cw.best.mean_distance is not None
    assert worst.mean_l2 <= best_of_cw.best.mean_distance + 1e-9  # the minimum over more attacks, on the same sources
    assert {condition.attacker for condition in found.conditions} == {"naive", "adaptive"}
    assert {condition.name for condition in found.conditions} >= {"iterated", "black_box", "noise", "unbounded"}


def test_the_control_shows_the_defense_that_nothing_was_distilled_into(chain: Chain) -> None:
    baseline, control = evaluation_of(chain, "evaluation-baseline"), evaluation_of(chain, "evaluation-control")
    assert (control.name, control.control, control.defended) == ("control T=20", True, False)
    # scaled by 20, rounding apart: the same decisions, the same attack on the logits and on z/T
    assert control.accuracy == baseline.accuracy
    assert control.mean_absolute_logit == pytest.approx(20 * baseline.mean_absolute_logit, rel=1e-5)
    of = {
        name: [found.attack(output) for output in ("probabilities", "logits", "scaled")]  # type: ignore[misc]
        for name, found in (("baseline", baseline), ("control", control))
    }
    rates = {name: [one.success_rate for one in attacks if one] for name, attacks in of.items()}
    assert rates["control"][1:] == pytest.approx([rates["baseline"][1], rates["baseline"][0]], abs=0.02)
    assert control.gradients_at_1.median_log10_amplitude < baseline.gradients_at_1.median_log10_amplitude  # type: ignore[operator]
    assert baseline.masking.difference == 0


def evaluation_of(chain: Chain, name: str) -> Evaluation:
    with artifacts.opened(chain.place(name), "evaluation") as found:
        return Evaluation.model_validate(found.facts["evaluation"])


def test_an_attack_in_parts_gives_what_it_gives_in_one(chain: Chain, tmp_path: Path) -> None:
    """Random attacks too: a sample has its own random numbers. Batches round otherwise, which these do not show."""
    attacks = ("square", "noise", "pgd")
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student")}
    found = []
    for size in (100, 4):
        config = AttackConfig(**{**SMALL, "attacks": attacks, "bounded": NINE, "part_size": size})
        artifact = attack.run(config, **inputs, output=str(tmp_path / str(size)))
        with artifacts.opened(artifact.location, "attack") as here:
            found.append(read_attack(here))
    for name in found[0]:
        assert torch.equal(found[0][name].success, found[1][name].success)
        torch.testing.assert_close(found[0][name].l2, found[1][name].l2)


def require_same(one: Any, other: Any, place: str = "") -> None:
    """Equal, but for the rounding of batches that were cut elsewhere."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            require_same(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            require_same(first, second, f"{place}.{number}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3), place
    else:
        assert one == other, place


def test_an_attack_in_shards_gives_what_it_gives_in_one(chain: Chain, tmp_path: Path) -> None:
    """Shares of 1 to 5 tasks, with a remainder, joined by the evaluation in whatever order they come."""
    attacks = ("jsma", "square", "noise", "pgd", "cw_l2")
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student")}
    settings = {**SMALL, "attacks": attacks, "jsma": {"sources": 2, "max_features": 10}, "bounded": NINE}
    settings["cw"] = {**SMALL["cw"], "steps": 30, "search_steps": 4}  # fewer leave more to rounding
    found = []
    for shards in (1, 2, 5):
        places = []
        for shard in range(shards):
            config = AttackConfig(**settings, shards=shards, shard=shard)
            place = str(tmp_path / f"{shard}of{shards}")
            places.append(attack.run(config, **inputs, output=place).location)
        random.Random(shards).shuffle(places)
        output = str(tmp_path / f"evaluation of {shards}")
        artifact = evaluate.run(EvaluateConfig(gradient_samples=5), **inputs, attacks=places, output=output)
        found.append(Evaluation.model_validate(artifact.facts["evaluation"]))
    whole, *others = found
    assert {run.attack for run in whole.attacks} == {"jsma"}
    for other in others:
        require_same(other.model_dump(), whole.model_dump())
    with pytest.raises(ArtifactError, match=r"attacks: expected all 5 shards of .*, got none of [0-4]$"):
        evaluate.run(EvaluateConfig(), **inputs, attacks=places[1:], output=str(tmp_path / "incomplete"))
    mixed = [str(tmp_path / "0of1"), str(tmp_path / "0of2")]
    with pytest.raises(ArtifactError, match=r"expected one run of .*, got a second"):
        evaluate.run(EvaluateConfig(), **inputs, attacks=mixed, output=str(tmp_path / "mixed"))


def test_more_shards_than_samples_and_a_shard_that_does_not_exist_are_refused(chain: Chain, tmp_path: Path) -> None:
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student"), "output": str(tmp_path / "a")}
    config = AttackConfig(attacks=("noise",), bounded={"samples": 3}, shards=4)
    with pytest.raises(ConfigurationError, match=r"attack\.shards: expected at most 3, the samples of noise, got 4"):
        attack.run(config, **inputs)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValidationError, match="expected a shard from 0 to 3, of 4 shards, got 4"):
        AttackConfig(shards=4, shard=4)


def test_transfer_needs_another_model(chain: Chain, tmp_path: Path) -> None:
    config = AttackConfig(attacks=("transfer",), bounded={"samples": 2})
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student"), "output": str(tmp_path / "a")}
    with pytest.raises(ConfigurationError, match="expected --surrogate, the undistilled model, for transfer, got none"):
        attack.run(config, **inputs)
    with pytest.raises(ConfigurationError, match="expected a surrogate for transfer, got the attacked model itself"):
        attack.run(config, **inputs, surrogate=chain.place("student"))
    assert not (tmp_path / "a").exists()


def _runs(place: str) -> dict[str, StoredAttack]:
    with artifacts.opened(place, "attack") as found:
        return read_attack(found)


def test_a_network_is_shown_crafted_samples_with_the_results_of_crafting_them_anew(
    chain: Chain, tmp_path: Path
) -> None:
    settings = {**SMALL, "attacks": ("transfer",), "bounded": {"samples": 7}, "transfer": {"confidences": (0.0, 5.0)}}
    at = {name: str(tmp_path / name) for name in ("crafted", "shown", "shard", "anew")}
    dataset, baseline = chain.place("dataset"), chain.place("teacher-1")
    attack.run(AttackConfig(**settings, craft=True), dataset=dataset, model=baseline, output=at["crafted"])
    inputs = {"dataset": dataset, "model": chain.place("student")}
    attack.run(AttackConfig(**settings), **inputs, surrogate=baseline, output=at["anew"])
    attack.run(AttackConfig(**settings), **inputs, crafted=at["crafted"], output=at["shown"])
    anew, shown = (_runs(at[name])["transfer"].tensors() for name in ("anew", "shown"))
    for name, tensor in anew.items():
        torch.testing.assert_close(shown[name], tensor, atol=1e-5, rtol=0, msg=name)
    attack.run(AttackConfig(**settings, shards=2, shard=1), **inputs, crafted=at["crafted"], output=at["shard"])
    second = _runs(at["shard"])["transfer"]
    assert torch.equal(second.level_reasons, shown["level_reasons"][-len(second.success) :])
    others = AttackConfig(**{**settings, "transfer": {"confidences": (0.0,)}})
    with pytest.raises(ConfigurationError, match=r"expected --crafted with the samples of transfer/0 under the same"):
        attack.run(others, **inputs, crafted=at["crafted"], output=str(tmp_path / "others"))
    with pytest.raises(ConfigurationError, match="expected --crafted from the same dataset and another model"):
        attack.run(
            AttackConfig(**settings), dataset=dataset, model=baseline, crafted=at["crafted"], output=str(tmp_path / "o")
        )
    with pytest.raises(ValidationError, match="expected no attacks but transfer, got jsma"):
        AttackConfig(craft=True)


def test_a_control_is_made_of_an_undistilled_model(chain: Chain, tmp_path: Path) -> None:
    config = AttackConfig(logit_scale=5)
    for model, got in (("student", "defended T=20"), ("teacher-20", "teacher T=20")):
        with pytest.raises(ArtifactError, match=f"expected an undistilled model trained at T = 1, got the {got}"):
            attack.run(
                config, dataset=chain.place("dataset"), model=chain.place(model), output=str(tmp_path / "control")
            )
    assert not (tmp_path / "control").exists()


def test_attacks_on_a_network_and_on_its_control_are_not_evaluated_together(chain: Chain, tmp_path: Path) -> None:
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("teacher-1")}
    places = [chain.place("attack-baseline"), chain.place("others-control")]
    expected = "attacks: expected all on one model, got the (baseline|control T=20) and the (baseline|control T=20)"
    with pytest.raises(ArtifactError, match=expected):
        evaluate.run(EvaluateConfig(), **inputs, attacks=places, output=str(tmp_path / "evaluation"))


def test_the_control_is_the_baseline_but_for_its_last_layer_times_t(chain: Chain) -> None:
    with artifacts.opened(chain.place("teacher-1"), "model") as found:
        baseline, control = (read_model(found, logit_scale=scale).state_dict() for scale in (1, 20))
    assert set(control) == set(baseline)
    scaled = {name for name in control if name.startswith("17.")}  # the last of the paper's layers
    assert scaled == {"17.weight", "17.bias"}
    for name, value in baseline.items():
        assert torch.equal(control[name], 20 * value if name in scaled else value)


@pytest.mark.parametrize(
    ("stage", "spared"),
    [("report", {"torch"}), ("evaluate", {"matplotlib"}), ("attack", {"matplotlib"})],
)
def test_a_stage_does_not_wait_for_libraries_that_it_does_not_need(stage: str, spared: set[str]) -> None:
    code = f"import sys; import defensive_distillation.stages.{stage}; print(*({spared} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_the_baselines_training_may_have_threads_of_its_own(chain: Chain, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for settings, threads in (({"baseline_threads": 2}, 2), ({"baseline_threads": 2, "temperature": 20}, 1)):
            config = TrainTeacherConfig(**QUICK, **settings)
            teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / f"{threads}"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_one_attack_twice_is_refused(chain: Chain, tmp_path: Path) -> None:
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student")}
    again = str(tmp_path / "again")
    attack.run(AttackConfig(jsma={"sources": 1, "max_features": 4}), **inputs, output=again)
    with pytest.raises(ArtifactError, match="expected one run of jsma/probabilities, got a second"):
        evaluate.run(
            EvaluateConfig(), **inputs, attacks=[chain.place("attack"), again], output=str(tmp_path / "evaluation")
        )


def test_a_training_that_diverges_fails_and_names_the_knob(chain: Chain, tmp_path: Path) -> None:
    config = TrainTeacherConfig(epochs=2, batch_size=16, learning_rate=1e6)
    with pytest.raises(TrainingError, match=r"diverged in epoch 1.*finite loss.*lower learning_rate \(now 1e\+06\)"):
        teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_a_training_that_stays_near_chance_fails_and_names_the_knob(chain: Chain, tmp_path: Path) -> None:
    config = TrainTeacherConfig(epochs=1, batch_size=64, temperature=100, output_gain_exponent=0)
    with pytest.raises(
        TrainingError, match=r"T = 100 stayed near chance.*raise epochs \(now 1\).*output_gain_exponent \(now 0\)"
    ):
        teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("temperature", [1, 20, 100])
def test_the_papers_temperatures_train_from_lowest_to_highest(chain: Chain, tmp_path: Path, temperature: float) -> None:
    # momentum 0.9 at this batch size is twenty times the paper's rate a sample: on some processors T = 1 never moves
    config = TrainTeacherConfig(epochs=10, batch_size=16, learning_rate=0.05, momentum=0.5, temperature=temperature)
    artifact = teacher_stage.run(config, dataset=chain.place("dataset"), output=str(tmp_path / "model"))
    assert artifact.facts["train_accuracy"] > 0.3  # chance is 0.1, a network that learns nothing stays there


def test_soft_labels_of_another_temperature_are_refused(chain: Chain, tmp_path: Path) -> None:
    config = TrainStudentConfig(**QUICK, temperature=5)
    with pytest.raises(ArtifactError, match=r"expected soft labels at T = 5, got those at T = 20"):
        train_student.run(
            config,
            dataset=chain.place("dataset"),
            soft_labels=chain.place("soft-labels"),
            output=str(tmp_path / "model"),
        )


def test_colour_photographs_in_a_zip_on_s3_go_through_all_stages(s3_bucket: str, tmp_path: Path) -> None:
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for number, (name, hue) in enumerate([("blue", 2), ("green", 1), ("red", 0)]):
            for index in range(8):
                pixels = torch.randint(0, 120, (24, 20, 3), generator=generator, dtype=torch.uint8)
                pixels[..., hue] += 120
                path = tmp_path / f"{number}-{index}.png"
                Image.fromarray(pixels.numpy()).save(path)
                archive.write(path, f"photos/{name}/{index}.png")
    storage.write_bytes(f"{s3_bucket}/photos.zip", (tmp_path / "photos.zip").read_bytes())
    at = {name: str(tmp_path / name) for name in ("dataset", "model", "surrogate", "attack", "evaluation")}
    prepare_data.run(PrepareDataConfig(source=f"{s3_bucket}/photos.zip", test_fraction=0.25), output=at["dataset"])
    training = TrainTeacherConfig(architecture="torchvision:resnet18", epochs=1, batch_size=9, minimum_progress=0)
    teacher_stage.run(training, dataset=at["dataset"], output=at["model"])
    tiny = {"sources": 2, "max_features": 9}
    everything = AttackConfig(
        attacks=("jsma", *OTHERS),
        jsma={"sources": 3, "max_features": 9},
        jsma_decreasing=tiny,
        jsma_untargeted=tiny,
        bounded={"samples": 3, "epsilons": (0.1, 1.0)},
        pgd={"steps": 3},
        square={"queries": 5},
        cw={"sources": 3, "steps": 4, "search_steps": 2, "constant_factor": 100.0},
        transfer={"confidences": (0.0, 1.0)},
    )
    other = TrainTeacherConfig(**{**training.model_dump(), "seed": 1})
    teacher_stage.run(other, dataset=at["dataset"], output=at["surrogate"])
    inputs = {"dataset": at["dataset"], "model": at["model"], "surrogate": at["surrogate"]}
    attack.run(everything, **inputs, output=at["attack"])
    artifact = evaluate.run(
        EvaluateConfig(), dataset=at["dataset"], model=at["model"], attacks=[at["attack"]], output=at["evaluation"]
    )
    evaluation = Evaluation.model_validate(artifact.facts["evaluation"])
    assert evaluation.dataset.image_shape == (3, 24, 20)
    assert evaluation.dataset.classes == ("blue", "green", "red")
    attacked = [found for name, found in evaluation.by_attack if not name.endswith(("decreasing", "untargeted"))]
    assert all(found.sources + found.misclassified == 3 for found in attacked)
    assert all(found.pairs == 2 * found.sources for found in (*evaluation.jsma, *evaluation.distances))
    assert {found.attack for found in evaluation.distances} == {"cw_l2", "cw_l0", "cw_linf"}
    assert evaluation.worst_case is not None
    assert len(evaluation.worst_case.attacks) == 11


def test_every_file_of_every_stage_is_of_a_harmless_type(chain: Chain) -> None:
    files = [path for path in chain.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".html", ".csv", ".png"}
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".safetensors":  # begins with the length of its JSON
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        if path.suffix == ".json":
            json.loads(content)
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG")


def test_a_real_attack_is_far_smaller_than_its_images(chain: Chain) -> None:
    with artifacts.opened(chain.place("attack"), "attack") as artifact:
        found = read_attack(artifact)
        size = (artifact.folder / TENSORS).stat().st_size
    kept = sum(46 * len(one.success) + 5 * int(one.changed_features.sum()) for one in found.values())
    assert size <= kept + 2048 * len(found), "46 bytes a pair, 5 a change, and a header"
    assert size * 20 < sum(len(one.success) for one in found.values()) * 28 * 28 * 4
