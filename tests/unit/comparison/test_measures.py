from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np
import pytest

from defensive_distillation.comparison import measures
from defensive_distillation.comparison.change import Change
from defensive_distillation.comparison.sweeps import changes
from defensive_distillation.evaluation.intervals import difference_interval, paired_interval, wilson_interval
from support.comparisons.measured import network, pairs, shares


def only(found: list[Change]) -> Change:
    (one,) = found
    return one


def test_accuracy_on_the_same_images_is_compared_image_by_image() -> None:
    before, after = network(correct=shares(90, 100)), network(correct=[False] * 20 + [True] * 80)
    change = only(list(measures.accuracy(before, after)))
    assert (change.before, change.after, change.difference) == (0.9, 0.8, pytest.approx(-0.1))
    assert change.interval == paired_interval(70, 10, 20, 0)  # right in both, after alone, before alone, in neither
    assert change.paired
    assert change.samples == 100


def test_accuracy_on_other_images_is_compared_as_two_samples() -> None:
    before, after = network(correct=shares(90, 100)), network(correct=shares(160, 200), images="other")
    change = only(list(measures.accuracy(before, after)))
    expected = difference_interval(0.8, wilson_interval(160, 200), 0.9, wilson_interval(90, 100))
    assert not change.paired
    assert change.interval == expected
    assert change.direction == "worse"
    assert change.samples == 200


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [(95, 60, "worse"), (60, 95, "better"), (90, 89, "same"), (90, 90, "same")],
)
def test_accuracy_changes_beyond_its_interval_alone(before: int, after: int, direction: str) -> None:
    found = measures.accuracy(network(correct=shares(before, 100)), network(correct=shares(after, 100)))
    assert only(list(found)).direction == direction


@pytest.mark.parametrize(("before", "after", "direction"), [(20, 70, "worse"), (70, 20, "better"), (50, 52, "same")])
@pytest.mark.parametrize("output", ["probabilities", "logits", "scaled"])
def test_more_success_of_jsma_is_worse(before: int, after: int, direction: str, output: str) -> None:
    one, other = (network(attacks={f"jsma/{output}": pairs(shares(hits, 90))}) for hits in (before, after))
    change = only(list(measures.jsma_success(one, other)))
    assert (change.name, change.direction, change.paired) == (f"jsma_success/{output}", direction, True)
    both, neither = min(before, after), 90 - max(before, after)
    assert change.interval == paired_interval(both, max(0, after - before), max(0, before - after), neither)


def test_pairs_of_other_targets_are_no_pairs() -> None:
    one = pairs(shares(20, 90))
    other = dataclasses.replace(one, target=one.target[::-1].copy())
    change = only(
        list(measures.jsma_success(network(attacks={"jsma/logits": one}), network(attacks={"jsma/logits": other})))
    )
    assert not change.paired
    rate = wilson_interval(20, 90)
    assert change.interval == difference_interval(20 / 90, rate, 20 / 90, rate)


def test_jsma_under_other_settings_is_not_compared() -> None:
    ran = {"jsma/logits": pairs(shares(20, 90))}
    before = network(attacks=ran, arguments={"jsma/logits": {"max_features": 112}})
    after = network(attacks=ran, arguments={"jsma/logits": {"max_features": 50}})
    change = only(list(measures.jsma_success(before, after)))
    assert (change.direction, change.lost, change.interval) == ("incomparable", True, None)
    assert change.note == "jsma/logits had max_features 112 before, 50 after"


def test_images_that_either_misclassifies_are_not_compared() -> None:
    ran = {"jsma/logits": pairs(shares(20, 90))}  # of ten images
    before, after = network(correct=[True] * 10, attacks=ran), network(correct=[False] * 4 + [True] * 6, attacks=ran)
    assert only(list(measures.jsma_success(before, after))).samples == 6 * 9
    change = only(list(measures.jsma_success(before, network(correct=[False] * 10, attacks=ran))))
    assert (change.direction, change.lost, change.note) == (
        "incomparable",
        False,
        "no attacked image is classified right",
    )


def test_what_was_measured_once_is_not_compared_and_only_a_loss_counts() -> None:
    with_it, without = network(attacks={"jsma/scaled": pairs(shares(20, 90))}), network()
    lost, new = (only(list(measures.jsma_success(*both))) for both in ((with_it, without), (without, with_it)))
    assert (lost.direction, lost.lost, lost.note) == ("incomparable", True, "measured before only")
    assert (new.direction, new.lost, new.note) == ("incomparable", False, "measured after only")


def test_a_distance_is_the_mean_over_sources_of_the_pairs_that_both_reach() -> None:
    before = pairs([True, True, True, True, True, False], [1, 3, 2, 2, 4, 9], per_source=2)
    after = pairs([True, True, True, False, True, True], [2, 4, 1, 9, 3, 1], per_source=2)
    change = only(list(measures.distances(network(attacks={"cw_l2": before}), network(attacks={"cw_l2": after}))))
    # by source: (1 + 3) / 2, 2, 4 and (2 + 4) / 2, 1, 3; differences 1, −1, −1
    assert (change.before, change.after) == (pytest.approx(8 / 3), pytest.approx(7 / 3))
    assert change.difference == pytest.approx(-1 / 3)
    half = 4.3026527 * sqrt(4 / 3 / 3)
    assert change.interval == pytest.approx((-1 / 3 - half, -1 / 3 + half), abs=1e-5)
    assert (change.samples, change.paired, change.direction) == (3, True, "same")


@pytest.mark.parametrize(("factor", "direction"), [(0.5, "worse"), (2.0, "better")])
def test_a_shorter_distance_is_worse(factor: float, direction: str) -> None:
    lengths = np.random.default_rng(0).uniform(1, 2, 90)
    one, other = pairs(shares(90, 90), lengths.tolist()), pairs(shares(90, 90), (factor * lengths).tolist())
    change = only(list(measures.distances(network(attacks={"cw_l0": one}), network(attacks={"cw_l0": other}))))
    assert change.direction == direction


def test_distances_of_other_sources_are_two_samples() -> None:
    one, other = pairs(shares(27, 27), [1.0] * 9 + [2.0] * 9 + [3.0] * 9), pairs(shares(18, 18), [5.0] * 9 + [5.2] * 9)
    change = only(list(measures.distances(network(attacks={"cw_l2": one}), network(attacks={"cw_l2": other}))))
    assert not change.paired
    assert change.difference == pytest.approx(3.1)
    assert change.direction == "better"


def test_one_source_has_no_interval_and_no_change() -> None:
    one, other = pairs(shares(9, 9), [9.0] * 9), pairs(shares(9, 9), [1.0] * 9)
    change = only(list(measures.distances(network(attacks={"cw_l2": one}), network(attacks={"cw_l2": other}))))
    assert (change.interval, change.direction, change.note) == (None, "same", "one source has no interval")


def test_robust_accuracy_is_compared_at_each_radius_that_bounds_something() -> None:
    before, after = network(errors=[0.0] * 10 + [0.2] * 90), network(errors=[0.0] * 10 + [0.05] * 50 + [0.4] * 40)
    near, far = measures.robust_accuracy(before, after)
    assert (near.name, near.before, near.after, near.direction) == ("robust_accuracy/0.1", 0.9, 0.4, "worse")
    assert near.interval == paired_interval(40, 0, 50, 10)
    assert (far.name, far.before, far.after, far.direction) == ("robust_accuracy/0.3", 0.0, 0.4, "better")


def test_robust_accuracy_against_other_attacks_is_not_compared() -> None:
    ran = {"pgd/margin": pairs(shares(5, 10))}
    before = network(errors=[0.2] * 10, attacks=ran, arguments={"pgd/margin": {"steps": 40}})
    after = network(errors=[0.2] * 10, attacks=ran, arguments={"pgd/margin": {"steps": 4}})
    for change in measures.robust_accuracy(before, after):
        assert (change.direction, change.note) == ("incomparable", "pgd/margin had steps 40 before, 4 after")


def test_a_radius_of_one_sweep_alone_is_not_compared() -> None:
    before, after = (
        network(errors=[0.2] * 10, epsilons=(0.1, 1.0)),
        network(errors=[0.2] * 10, epsilons=(0.1, 0.2, 1.0)),
    )
    assert [change.direction for change in measures.robust_accuracy(before, after)] == ["same", "incomparable"]


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [("no", "yes", "worse"), ("yes", "no", "better"), ("yes", "yes", "same"), ("no", "undecided", "same")],
)
def test_a_verdict_changes_from_one_clear_one_to_the_other(before: str, after: str, direction: str) -> None:
    one, other = network(masked=before), network(masked=after)  # type: ignore[arg-type]
    change = only(list(measures.masked(one, other)))
    assert (change.before, change.after, change.direction, change.interval) == (before, after, direction, None)


def test_two_sweeps_are_compared_network_by_network_in_their_order() -> None:
    before = [network(20.0), network(None), network(5.0)]
    after = [network(5.0), network(100.0), network(None)]
    found = changes(before, after, compared=["accuracy"])
    assert [(one.network, one.direction, one.lost) for one in found] == [
        ("baseline", "same", False),
        ("T=5", "same", False),
        ("T=20", "incomparable", True),
        ("T=100", "incomparable", False),
    ]
    assert changes(before, after, roles=["control"]) == []
