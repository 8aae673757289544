from __future__ import annotations

import pytest

from defensive_distillation.errors import InputError
from defensive_distillation.evaluation import Evaluation
from defensive_distillation.reporting.findings import (
    MASKING_THRESHOLD,
    checked,
    difference_interval,
    headline,
    paragraphs,
    verdicts,
)
from defensive_distillation.reporting.words import column_per_cent, per_cent, points, series
from evaluations import DIGITS, MNIST, evaluation, measured, sweep, wilson

BASELINE = evaluation(None, probabilities=153, logits=131, scaled=153, accuracy=0.987)


def verdict_of(found: Evaluation, *others: Evaluation) -> tuple[str, str]:
    verdict = next(verdict for verdict in verdicts([found, *others]) if verdict.model == found.name)
    return verdict.masked, verdict.sentence


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Newcombe 1998, table II, rows 10 (score method without continuity correction)
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], expected: tuple[float, float]
) -> None:
    got = difference_interval(first[0] / first[1], wilson(*first), second[0] / second[1], wilson(*second))
    assert got == pytest.approx(expected, abs=5e-5)  # the table has four decimals


def test_the_interval_turns_round_with_its_arguments() -> None:
    forth = difference_interval(0.9, wilson(162, 180), 0.1, wilson(18, 180))
    back = difference_interval(0.1, wilson(18, 180), 0.9, wilson(162, 180))
    assert forth == pytest.approx((-back[1], -back[0]))


def test_the_measured_networks_are_masked_and_the_undistilled_one_is_not() -> None:
    found = {verdict.model: verdict for verdict in verdicts(measured())}
    assert [verdict.masked for verdict in found.values()] == ["no", "yes", "yes"]
    assert list(found) == ["baseline", "T=20", "T=100"]
    assert found["T=20"].difference == pytest.approx(159 / 180)
    interval = found["T=20"].interval
    assert interval is not None
    assert MASKING_THRESHOLD < interval[0] < 159 / 180 < interval[1]


def test_a_verdict_is_said_in_plain_words_with_its_numbers() -> None:
    sentence = next(verdict.sentence for verdict in verdicts(measured()) if verdict.model == "T=20")
    assert sentence == (
        "At T = 20 JSMA on the probabilities succeeds on 1.7 % of 180 pairs (95 % interval 0.6–4.8 %) where it "
        "succeeds on 85 % of the undistilled network's: as in the paper, distillation seems to defend. On the "
        "probabilities of z/T the same attack succeeds on 90 %: the defense masks the gradients; it does not remove "
        "the adversarial samples."
    )


def test_the_headline_says_that_gradients_are_masked_and_names_the_widest_gap() -> None:
    assert headline(measured()) == (
        "Distillation masks the gradients, it does not stop the attack: at T = 100 JSMA on the probabilities succeeds "
        "on 0.6 % of 180 pairs (85 % without distillation), but on 91.7 % once the logits z are divided by T."
    )


def test_words_follow_the_numbers_whatever_the_order_of_arrival() -> None:
    there, back = measured(), measured()[::-1]
    assert headline(there) == headline(back)
    assert paragraphs(there) == paragraphs(back)
    assert verdicts(there) == verdicts(back)


def test_paragraphs_tell_what_the_paper_sees_what_an_attacker_sees_why_and_at_what_cost() -> None:
    seen, attacker, why, cost, caution = paragraphs(measured())
    assert "goes from 85 % without distillation to 0.6 % at T = 100" in seen
    assert "95.89 % and 0.45 % for the same on MNIST" in seen
    assert "90 % to 91.7 % of the pairs" in attacker
    assert "74.4 % to 76.1 %" in attacker
    assert "means masked gradients; so it is at T = 20 and 100" in attacker
    assert "from 5.8 without distillation to 482 at T = 100" in why
    assert "96 % of 10,000 samples in float32 (71 % in float64), and 99.4 % of JSMA's pairs stop" in why
    assert "−3.6 points" in cost
    assert "outside the 1.37 points" in cost
    assert "Wilson" in caution


def test_the_papers_numbers_stand_only_beside_the_papers_datasets() -> None:
    copy = MNIST.model_copy(update={"name": "mnist.tar.xz"})
    assert not any("The paper gives" in text for text in paragraphs(measured(copy)))


def test_a_defense_that_holds_on_z_over_t_is_called_unmasked_with_a_warning() -> None:
    holds = evaluation(20, probabilities=3, logits=5, scaled=4)
    masked, sentence = verdict_of(holds, BASELINE)
    assert masked == "no"
    assert "no gradient is masked" in sentence
    assert "other attacks may still succeed" in sentence
    assert headline([holds, BASELINE]).startswith("Distillation holds against JSMA, and no masked gradients were found")


def test_nothing_masked_and_nothing_gained_is_said_so() -> None:
    masked, sentence = verdict_of(evaluation(2, probabilities=150, logits=130, scaled=149), BASELINE)
    assert masked == "no"
    assert "no clear drop" in sentence
    assert headline([evaluation(2, probabilities=150, logits=130, scaled=149), BASELINE]).startswith(
        "No masked gradients were found"
    )


def test_masking_that_explains_only_part_of_the_drop_is_not_called_all_of_it() -> None:
    part = evaluation(20, probabilities=3, logits=60, scaled=80)
    masked, sentence = verdict_of(part, BASELINE)
    assert masked == "yes"
    assert "part of the drop" in sentence
    assert "does not remove" not in sentence
    assert "stops far fewer attacks than it seems to" in headline([part, BASELINE])


def test_without_a_baseline_the_verdict_still_stands() -> None:
    masked, sentence = verdict_of(evaluation(20, probabilities=3, logits=134, scaled=162))
    assert masked == "yes"
    assert "undistilled" not in sentence


def test_a_small_sample_is_undecided_and_says_how_small() -> None:
    small = evaluation(20, probabilities=3, logits=4, scaled=6, pairs=9)
    masked, sentence = verdict_of(small)
    assert masked == "undecided"
    assert "too uncertain" in sentence
    assert "Only 9 pairs" in sentence
    assert headline([small]).startswith("Whether distillation masks the gradients is undecided")
    assert any("The sample is small: 9 pairs" in text for text in paragraphs([small]))


def test_a_small_sample_can_decide_if_the_difference_is_large() -> None:
    masked, sentence = verdict_of(evaluation(20, probabilities=0, logits=8, scaled=9, pairs=9))
    assert masked == "yes"
    assert "succeeds on 0 % of 9 pairs" in sentence
    assert "take this as an indication" in sentence


def test_no_success_anywhere_is_not_masking() -> None:
    masked, sentence = verdict_of(evaluation(20, probabilities=0, logits=0, scaled=0), BASELINE)
    assert masked == "no"
    assert "0 %" in sentence


@pytest.mark.parametrize("missing", ["probabilities", "scaled"])
def test_a_missing_attack_leaves_the_verdict_undecided_and_is_named(missing: str) -> None:
    successes: dict[str, int | None] = {"probabilities": 3, "logits": 134, "scaled": 162, missing: None}
    found = evaluation(
        20, probabilities=successes["probabilities"], logits=successes["logits"], scaled=successes["scaled"]
    )
    verdict = verdicts([found])[0]
    assert (verdict.masked, verdict.difference, verdict.interval) == ("undecided", None, None)
    assert f"was not run on the probabilities{' of z/T' if missing == 'scaled' else ','}" in verdict.sentence
    assert ("points to masked gradients" in verdict.sentence) == (missing == "scaled")
    assert "cannot be told" in headline([found])


def test_a_network_that_was_not_attacked_at_all_is_reported_without_success_rates() -> None:
    found = evaluation(20, probabilities=None, logits=None, scaled=None)
    assert "cannot be judged." in verdicts([found])[0].sentence
    assert any("No attack was run" in text for text in paragraphs([found]))


def test_only_the_baseline_says_nothing_of_distillation() -> None:
    assert "nothing can be said of distillation yet" in headline([BASELINE])
    assert "85 % of 180 pairs" in headline([BASELINE])
    assert verdicts([BASELINE])[0].masked == "no"
    assert paragraphs([BASELINE])


def test_temperature_1_alone_has_nothing_to_judge() -> None:
    alone = evaluation(1, probabilities=160, logits=128, scaled=None)
    assert headline([alone]).startswith("Only T = 1 was evaluated")
    assert "At T = 1, z/T is z" in verdicts([alone])[0].sentence


def test_a_sweep_of_ten_has_all_three_verdicts() -> None:
    assert {verdict.masked for verdict in verdicts(sweep())} == {"yes", "no", "undecided"}


def test_no_evaluation_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one, got none"):
        headline([])
    with pytest.raises(InputError, match="expected at least one, got none"):
        checked([])
    assert verdicts([]) == []


def test_evaluations_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="expected one for each model, got more of 'T=20'"):
        checked([measured()[2], measured()[2]])
    with pytest.raises(InputError, match="expected one model without distillation"):
        checked([BASELINE, BASELINE.model_copy(update={"name": "other"})])
    other = MNIST.model_copy(update={"name": "mine", "digest": "0" * 64, "classes": DIGITS})
    with pytest.raises(InputError, match="expected one dataset, got 2: mnist, mine"):
        checked([BASELINE, evaluation(20, probabilities=1, logits=1, scaled=1, dataset=other)])


@pytest.mark.parametrize(
    ("share", "words", "column"),
    [
        (0.85, "85 %", "85.0 %"),
        (3 / 180, "1.7 %", "1.7 %"),
        (0.0, "0 %", "0.0 %"),
        (1.0, "100 %", "100.0 %"),
        (1 / 90_000, "under 0.1 %", "under 0.1 %"),
        (1 - 1 / 90_000, "over 99.9 %", "over 99.9 %"),
    ],
)
def test_a_rate_is_never_rounded_to_none_or_all(share: float, words: str, column: str) -> None:
    assert per_cent(share) == words
    assert column_per_cent(share) == column


def test_differences_carry_their_sign() -> None:
    assert [points(difference) for difference in (0.0833, -0.0365, 0.0, -0.0001)] == [
        "+8.3 points",
        "−3.6 points",
        "0 points",
        "0 points",
    ]


def test_lists_read_as_a_person_writes_them() -> None:
    assert [series(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
