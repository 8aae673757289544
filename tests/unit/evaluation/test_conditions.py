"""The sanity conditions, on outcomes made by hand: what passes, what fails, and what that means."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from defensive_distillation.attacks.result import StopReason
from defensive_distillation.evaluation.findings import by_distance, transferred, within_balls, worst_case
from defensive_distillation.evaluation.outcome import Outcome, on_right_ones
from defensive_distillation.evaluation.results import Condition
from defensive_distillation.evaluation.robust import nearest_errors, robust_accuracy
from defensive_distillation.evaluation.stored_attack import StoredAttack
from defensive_distillation.evaluation.verdict.conditions import conditions, explained

COUNT = 40


def run(
    name: str,
    successes: Tensor,
    *,
    levels: tuple[float, ...] = (),
    sources: Tensor | None = None,
    l2: Tensor | None = None,
    **facts: object,
) -> Outcome:
    """A run with `successes` (P, L) bool at its levels; distances are 1, 2, … L where it first succeeds."""
    count, number = successes.shape
    reasons = torch.where(successes, int(StopReason.SUCCESS), int(StopReason.BUDGET)).to(torch.int8)
    any_success = successes.any(1)
    first = torch.where(any_success, successes.int().argmax(1), number - 1)
    distance = (first + 1).float() if l2 is None else l2
    reach = torch.tensor(levels)[first] if levels else distance
    attack = name.partition("/")[0]
    stored = StoredAttack(
        source_index=torch.arange(count) if sources is None else sources,
        target_class=torch.zeros(count, dtype=torch.int64),
        success=any_success,
        changed_features=distance.int(),
        changed_pixels=distance.int(),
        l2=distance,
        linf=reach.float(),
        stop_reason=reasons[torch.arange(count), first],
        gradient_evaluations=torch.full((count,), 3 * number, dtype=torch.int32),
        level_reasons=reasons if levels else reasons[:, :0],
        level_l2=torch.arange(1.0, number + 1).expand(count, -1) if levels else torch.zeros(count, 0),
        offset=torch.zeros(count + 1, dtype=torch.int64),
        feature=torch.zeros(0, dtype=torch.int32),
        value=torch.zeros(0),
    )
    counts = torch.bincount(stored.stop_reason.long(), minlength=len(StopReason)).tolist()
    manifest = {
        "name": name,
        "attack": attack,
        "variant": name.partition("/")[2],
        "arguments": {"norm": attack.removeprefix("cw_")} if attack.startswith("cw_") else {},
        "levels": list(levels),
        "pairs": count,
        "successes": int(any_success.sum()),
        "stop_reasons": {reason.name.lower(): counts[reason] for reason in StopReason},
    }
    return Outcome({**manifest, **facts}, stored)


def share(*rates: float) -> Tensor:
    """Successes (COUNT, len(rates)): the first share of the samples at each level, nested."""
    return torch.stack([torch.arange(COUNT) < round(rate * COUNT) for rate in rates], dim=1)


EPSILONS = (0.1, 0.3, 1.0)


def bounded_runs(**rates: tuple[float, float, float]) -> dict[str, Outcome]:
    names = {"pgd_ce": "pgd/cross_entropy", "pgd": "pgd/margin", "fgsm_ce": "fgsm/cross_entropy"}
    names |= {"fgsm": "fgsm/margin", "square": "square/margin", "noise": "noise"}
    return {names[key]: run(names[key], share(*rate), levels=EPSILONS) for key, rate in rates.items()}


def named(found: list[Condition], attacker: str) -> dict[str, bool]:
    return {one.name: one.passed for one in found if one.attacker == attacker}


def test_a_sound_attack_on_an_unmasked_network_passes_them_all() -> None:
    sound = {"pgd_ce": (0.3, 0.9, 1.0), "pgd": (0.3, 0.9, 1.0), "fgsm_ce": (0.2, 0.5, 0.4), "fgsm": (0.2, 0.5, 0.4)}
    found = conditions(bounded_runs(**sound, square=(0.1, 0.6, 1.0), noise=(0.0, 0.1, 0.9)))
    every = {"iterated": True, "black_box": True, "noise": True, "unbounded": True, "monotone": True}
    assert named(found, "naive") == named(found, "adaptive") == every
    assert all(one.meaning == "" for one in found)


def test_masked_gradients_fail_the_naive_attackers_conditions_and_no_other() -> None:
    runs = bounded_runs(pgd_ce=(0.05, 0.05, 0.05), pgd=(0.3, 0.9, 1.0), square=(0.1, 0.6, 1.0), noise=(0.05, 0.1, 0.9))
    found = conditions(runs)
    assert named(found, "naive") == {"black_box": False, "noise": False, "unbounded": False, "monotone": True}
    assert all(named(found, "adaptive").values())
    failed = next(one for one in found if one.name == "black_box" and not one.passed)
    assert failed.meaning == "the gradients are masked"
    assert failed.sentence == (
        "pgd/cross_entropy is weaker than square/margin: 5 % against 100 % of 40 samples at ε = 1, where they differ "
        "most"
    )


def test_a_condition_that_fails_and_is_no_sign_has_a_weak_loss() -> None:
    runs = bounded_runs(pgd_ce=(0.05, 0.05, 0.05), pgd=(0.3, 0.9, 1.0), square=(0.1, 0.6, 1.0), noise=(0.05, 0.1, 0.9))
    found = conditions(runs)
    told = explained(found, ["unbounded"])
    assert {one.name: one.meaning for one in told if not one.passed} == {
        "unbounded": "the gradients are masked",
        "black_box": "the loss is weak",
        "noise": "the loss is weak",
    }
    assert explained(found, ["unbounded", "black_box", "noise"]) == tuple(found)


def test_a_broken_attack_fails_the_adaptive_attackers_conditions() -> None:
    runs = bounded_runs(pgd=(0.3, 0.9, 0.2), fgsm=(0.9, 0.95, 0.95))
    runs["cw_l2"] = run("cw_l2", share(0.9))
    found = conditions(runs)
    assert named(found, "adaptive") == {"iterated": False, "unbounded": False, "monotone": False}
    assert {one.meaning for one in found if not one.passed} == {"the attack is broken"}
    assert any(one.sentence.startswith("cw_l2 reaches 90 % of 40 samples") for one in found)
    assert any(one.sentence == "pgd/margin falls from 90 % at ε = 0.3 to 20 % at ε = 1" for one in found)


def test_a_difference_that_chance_explains_is_no_failure() -> None:
    runs = bounded_runs(pgd=(0.3, 0.9, 1.0), square=(0.325, 0.9, 1.0))  # one sample of forty more
    assert named(conditions(runs), "adaptive")["black_box"]


def test_samples_of_another_network_that_beat_an_unbounded_attack_are_a_sign() -> None:
    runs = bounded_runs(pgd_ce=(0.05, 0.05, 0.1), pgd=(0.3, 0.9, 1.0))
    runs["transfer"] = run("transfer", share(0.2, 0.9), levels=(0.0, 40.0))
    found = conditions(runs)
    assert not named(found, "naive")["transfer"]
    assert named(found, "adaptive")["transfer"]


def test_attacks_that_were_all_bounded_say_nothing_of_unbounded_ones() -> None:
    strong = run("pgd/margin", share(0.3, 0.6), levels=(0.1, 0.3))
    runs = {"pgd/margin": strong, "transfer": run("transfer", share(0.9), levels=(0.0,))}
    assert named(conditions(runs), "adaptive") == {"monotone": True}


def test_without_runs_there_are_no_conditions() -> None:
    assert conditions({}) == []


# what runs amount to


def test_a_curve_counts_who_was_fooled_in_a_smaller_ball() -> None:
    successes = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    found = within_balls(run("fgsm/margin", successes, levels=EPSILONS))
    assert found.successes == (1, 1, 1)
    assert found.success_by_epsilon == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert found.stop_reasons["budget"] == 2  # at the largest radius
    assert found.gradient_evaluations == 3  # a radius
    single = within_balls(run("noise", successes[:, :1], levels=(0.1,)))
    assert single.success_by_epsilon == pytest.approx((1 / 3,))


def test_best_average_and_worst_class_are_carlinis_and_wagners() -> None:
    sources = torch.tensor([7, 7, 7, 9, 9, 9])
    l2 = torch.tensor([1.0, 2.0, 6.0, 3.0, 4.0, 50.0])
    success = torch.tensor([True, True, True, True, True, False])[:, None]
    found = by_distance(run("cw_l2", success, sources=sources, l2=l2))
    assert (found.sources, found.pairs, found.successes) == (2, 6, 5)
    assert (found.best.success_rate, found.best.mean_distance) == (1.0, 2.0)  # of 1 and 3
    assert (found.average.success_rate, found.average.mean_distance) == (5 / 6, 16 / 5)
    assert (found.worst.success_rate, found.worst.mean_distance) == (0.5, 6.0)  # source 9 was not always reached


def test_the_worst_case_is_the_mean_of_the_minimum_and_not_the_minimum_of_the_means() -> None:
    yes = torch.ones(2, 1, dtype=torch.bool)
    pair = torch.tensor([3, 5])
    first = run("cw_l2", yes, sources=pair, l2=torch.tensor([1.0, 9.0]))
    second = run("cw_l0", yes, sources=pair, l2=torch.tensor([8.0, 2.0]), norm="l0")
    found = worst_case([first, second])
    assert found is not None
    assert found.mean_l2 == 1.5  # the means are 5 and 5
    assert (found.sources, found.fooled) == (2, 2)
    assert found.nearest == {"cw_l2": 1, "cw_l0": 1}


def test_the_worst_case_counts_the_sources_that_every_attack_was_run_on() -> None:
    yes = torch.ones(4, 1, dtype=torch.bool)
    many = run("cw_l2", yes, sources=torch.tensor([1, 2, 3, 4]), l2=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    few = run("cw_l0", yes[:2] & False, sources=torch.tensor([3, 4]), l2=torch.tensor([0.1, 0.1]), norm="l0")
    found = worst_case([many, few])
    assert found is not None
    assert (found.sources, found.fooled, found.mean_l2) == (2, 2, 3.5)  # a failure's distance does not count
    assert worst_case([]) is None
    assert worst_case([few, run("noise", yes[:1], sources=torch.tensor([8]), levels=(1.0,))]) is None


def test_misclassified_images_are_neither_fooled_nor_robust() -> None:
    correct = torch.ones(COUNT, dtype=torch.bool)
    correct[:4] = False
    attacks = [
        run("pgd/margin", share(0.1, 0.5, 1.0), levels=EPSILONS),
        run("square/margin", share(0.2, 0.2, 0.2), levels=EPSILONS),
    ]
    errors = nearest_errors(correct, attacks)
    assert errors is not None
    found = robust_accuracy(errors)
    assert (found.samples, found.misclassified) == (COUNT, 4)
    assert found.fooled == (4, 16, 36)  # of Square's eight and PGD's 20 and 40, four were wrong without them
    assert found.right == (32, 20, 0)
    assert found.success_by_epsilon == pytest.approx((4 / 36, 16 / 36, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_no_attack_fools_more_than_all_together(seed: int) -> None:
    """Though each was given images of its own."""
    draw = torch.Generator().manual_seed(seed)
    correct = torch.rand(COUNT, generator=draw) < 0.8
    outcomes = {}
    for name, number in (("pgd/margin", 40), ("fgsm/margin", 30), ("square/margin", 12), ("noise", 25)):
        successes = torch.rand(number, len(EPSILONS), generator=draw) < 0.4
        successes[~correct[:number]] = True  # as an untargeted attack finds them
        outcomes[name] = run(name, successes, levels=EPSILONS)
    errors = nearest_errors(correct, list(outcomes.values()))
    assert errors is not None
    together = robust_accuracy(errors)
    right = on_right_ones(outcomes, correct)
    for outcome in right.values():
        found = within_balls(outcome)
        assert (found.sources, found.misclassified) == (int(correct[:12].sum()), int((~correct[:12]).sum()))
        assert all(a <= b for a, b in zip(found.success_by_epsilon, together.success_by_epsilon, strict=True))
        assert found.stop_reasons["success"] + found.stop_reasons["budget"] == found.sources
    worst = worst_case(list(right.values()))
    assert worst is not None
    assert worst.fooled >= max(sum(outcome.successes.any(1).tolist()) for outcome in right.values())


def test_attacks_on_images_that_are_all_misclassified_are_left_out() -> None:
    outcomes = {"pgd/margin": run("pgd/margin", share(1.0), levels=(0.1,))}
    assert on_right_ones(outcomes, torch.zeros(COUNT, dtype=torch.bool)) == {}


def test_pairs_that_are_taken_out_leave_the_values_of_the_others() -> None:
    sparse = StoredAttack(
        source_index=torch.tensor([0, 0, 1]),
        target_class=torch.tensor([1, 2, 0]),
        success=torch.tensor([True, False, True]),
        changed_features=torch.tensor([2, 1, 1], dtype=torch.int32),
        changed_pixels=torch.tensor([2, 1, 1], dtype=torch.int32),
        l2=torch.ones(3),
        linf=torch.ones(3),
        stop_reason=torch.zeros(3, dtype=torch.int8),
        gradient_evaluations=torch.zeros(3, dtype=torch.int32),
        level_reasons=torch.zeros(3, 0, dtype=torch.int8),
        level_l2=torch.zeros(3, 0),
        offset=torch.tensor([0, 2, 3, 4]),
        feature=torch.tensor([0, 1, 2, 3], dtype=torch.int32),
        value=torch.tensor([9, 8, 7, 6], dtype=torch.uint8),
    )
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    kept = sparse.only(torch.tensor([True, False, True]))
    assert kept.adversarial(images, torch.arange(2)).flatten(1).tolist() == [[9, 8, 0, 0], [0, 0, 0, 6]]
    dense = dataclasses.replace(
        sparse, feature=sparse.feature[:0], value=torch.arange(12.0), offset=torch.tensor([0, 4, 8, 12])
    )
    kept = dense.only(torch.tensor([False, True, True]))
    assert kept.adversarial(images, torch.arange(2)).flatten().tolist() == list(range(4, 12))


def test_transfer_is_counted_at_each_confidence() -> None:
    found = transferred(run("transfer", share(0.25, 0.75), levels=(0.0, 20.0)), "baseline")
    assert found.confidences == (0.0, 20.0)
    assert found.successes == (10, 30)
    assert found.mean_l2 == (1.0, 2.0)
    nobody = transferred(run("transfer", share(0.0), levels=(0.0,)), "baseline")
    assert nobody.mean_l2 == (None,)


def test_a_failure_is_infinitely_far() -> None:
    assert run("cw_l2", torch.tensor([[True], [False]])).distance.tolist() == [1.0, torch.inf]
