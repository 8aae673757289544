from __future__ import annotations

import pytest

from defensive_distillation.defenses import distillation
from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.intervals import difference_interval
from defensive_distillation.evaluation.results import Evaluation, GradientSign
from defensive_distillation.evaluation.verdict.masking import MASKING_THRESHOLD
from defensive_distillation.model_id import ModelId
from defensive_distillation.reporting.findings.headline import headline
from defensive_distillation.reporting.findings.images import ROBUST, few_images, images, misclassified
from defensive_distillation.reporting.findings.paragraphs import paragraphs
from defensive_distillation.reporting.findings.verdicts import verdicts
from defensive_distillation.reporting.measures import (
    best_transfer,
    fooled_within,
    relative_distance,
    reported_radius,
    temperature_correlation,
)
from defensive_distillation.reporting.networks import (
    arranged,
    checked,
    chosen,
    controls,
    distilled,
    models,
    others,
    undistilled,
)
from defensive_distillation.reporting.words import (
    column_per_cent,
    distance,
    label,
    per_cent,
    points,
    series,
    times,
)
from defensive_distillation.suite.registry import attacker, title
from support.evaluations import (
    DIGITS,
    MNIST,
    RADII,
    attack,
    bounded,
    complete,
    conditions,
    control,
    distances,
    evaluation,
    measured,
    robust,
    smoothed,
    sweep,
    wilson,
    with_suite,
)

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
    assert [verdict.control for verdict in found.values()] == [False, False, False]
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


def test_the_headline_says_that_the_papers_number_is_real_and_that_the_defense_does_not_hold() -> None:
    assert headline(measured()) == (
        "The paper's number is reproduced, but the defense does not hold: distillation masks the gradients, it does "
        "not stop the attack. At T = 100 JSMA on the probabilities succeeds on 0.6 % of 180 pairs (85 % without "
        "distillation), but on 91.7 % once the logits z are divided by T."
    )


def test_a_number_that_is_not_the_papers_is_an_effect_that_is_reproduced() -> None:
    far = evaluation(20, probabilities=36, logits=134, scaled=162)  # 20 %, the paper 1.34 %
    assert headline([far, BASELINE]).startswith("The paper's effect is reproduced, but the defense does not hold")
    copy = [model.model_copy(update={"dataset": MNIST.model_copy(update={"name": "mine"})}) for model in measured()]
    assert headline(copy).startswith("The paper's effect is reproduced, but the defense does not hold")


def test_without_a_baseline_no_effect_is_called_reproduced() -> None:
    assert headline([evaluation(20, probabilities=3, logits=134, scaled=162)]).startswith(
        "Distillation masks the gradients, it does not stop the attack. At T = 20"
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
    assert "Wilson's of a rate, Newcombe's of the difference of two rates on the same pairs" in caution


def test_the_papers_numbers_stand_only_beside_the_papers_datasets() -> None:
    copy = MNIST.model_copy(update={"name": "mnist.tar.xz"})
    assert not any("The paper gives" in text for text in paragraphs(measured(copy)))


def test_a_defense_that_holds_on_z_over_t_is_called_unmasked_with_a_warning() -> None:
    holds = evaluation(20, probabilities=3, logits=5, scaled=4)
    masked, sentence = verdict_of(holds, BASELINE)
    assert masked == "no"
    assert "masked gradients do not explain the drop away" in sentence
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
    assert "the defense holds far less than it seems to" in headline([part, BASELINE])


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
    assert "it cannot judge masking." in verdicts([found])[0].sentence
    assert any("No attack was run" in text for text in paragraphs([found]))


def test_only_the_baseline_says_nothing_of_distillation() -> None:
    assert "nothing can be said of distillation yet" in headline([BASELINE])
    assert "85 % of 180 pairs" in headline([BASELINE])
    assert verdicts([BASELINE])[0].masked == "no"
    assert paragraphs([BASELINE])


def test_the_verdict_is_the_one_that_was_measured() -> None:
    measured_so = BASELINE.masking.model_copy(update={"masked": "undecided", "signs": ("noise",)})
    verdict = verdicts([BASELINE.model_copy(update={"masking": measured_so})])[0]
    assert (verdict.masked, verdict.signs) == ("undecided", ("noise",))


def test_failed_naive_conditions_are_named_as_masked_gradients() -> None:
    failed = conditions("naive iterated", "naive black_box")
    _, sentence = verdict_of(evaluation(20, probabilities=3, logits=134, scaled=162, conditions=failed), BASELINE)
    assert sentence.endswith(
        "The naive attacker's sanity conditions iterated and black box fail too: the gradients are masked."
    )


def test_failed_naive_conditions_decide_what_jsma_leaves_open() -> None:
    failed = conditions("naive unbounded")
    masked, sentence = verdict_of(
        evaluation(20, probabilities=3, logits=4, scaled=6, pairs=9, conditions=failed), BASELINE
    )
    assert masked == "yes"
    assert "too uncertain" in sentence
    assert "condition unbounded fails, which decides it: the gradients are masked" in sentence


def test_failed_naive_conditions_stand_against_a_no() -> None:
    failed = conditions("naive unbounded")
    masked, sentence = verdict_of(
        evaluation(20, probabilities=150, logits=130, scaled=149, conditions=failed), BASELINE
    )
    assert masked == "undecided"
    assert "no gain" in sentence
    assert "But the naive attacker's sanity condition unbounded fails, a sign of masked gradients" in sentence


def test_conditions_alone_can_say_masked_where_jsma_was_not_run() -> None:
    found = evaluation(20, probabilities=None, logits=None, scaled=None, conditions=conditions("naive noise"))
    assert verdicts([found])[0].masked == "yes"
    assert headline([found]).startswith(
        "Distillation masks the gradients: at T = 20 the naive attacker's sanity condition noise fails."
    )


def test_a_broken_attack_asks_for_care() -> None:
    failed = conditions("adaptive iterated", "adaptive transfer")
    _, sentence = verdict_of(evaluation(20, probabilities=3, logits=134, scaled=162, conditions=failed), BASELINE)
    assert (
        "The adaptive attacker's sanity conditions iterated and transfer fail: the attack is broken, take the verdict "
        "with care." in sentence
    )
    assert any(
        "Those of the adaptive attacker fail on T = 20: there an attack is broken" in text
        for text in paragraphs([evaluation(20, probabilities=3, logits=134, scaled=162, conditions=failed)])
    )


def test_a_condition_that_fails_of_several_attacks_is_named_once() -> None:
    twice = (*conditions("adaptive unbounded"), *conditions("adaptive unbounded"))
    found = evaluation(20, probabilities=3, logits=134, scaled=162, conditions=twice)
    assert "The adaptive attacker's sanity condition unbounded fails: the attack" in verdicts([found])[0].sentence


def test_conditions_that_all_hold_are_said_to_hold() -> None:
    found = evaluation(20, probabilities=3, logits=134, scaled=162, conditions=conditions())
    assert verdicts([found])[0].sentence.endswith("All 12 sanity conditions hold.")
    assert any(text == "All 12 sanity conditions of the attacks hold." for text in paragraphs([found]))


def test_the_control_shows_the_same_defense_though_nothing_was_distilled() -> None:
    masked, sentence = verdict_of(control(20), BASELINE)
    assert masked == "yes"
    assert sentence == (
        "The undistilled network with its logits multiplied by 20: JSMA on the probabilities succeeds on 1.7 % of 180 "
        "pairs (95 % interval 0.6–4.8 %), and 85 % before the logits were multiplied; on those of z/T it succeeds on "
        "85 %: the same 'defense', though nothing was distilled."
    )


def test_a_control_is_neither_the_baseline_nor_a_distilled_network() -> None:
    everything = complete()
    assert [found.name for found in models(everything)] == ["baseline", "T=20", "T=100"]
    assert [found.name for found in controls(everything)] == ["control T=20", "control T=100"]
    assert [found.name for found in distilled(everything)] == ["T=20", "T=100"]
    baseline = undistilled([control(20), BASELINE])
    assert baseline is not None
    assert baseline.name == "baseline"
    assert undistilled([control(20)]) is None
    assert label(control(20)) == "control, T = 20"


def test_controls_change_neither_the_headline_nor_what_is_said_of_the_models() -> None:
    without = [found for found in complete() if not found.control]
    assert headline(complete()) == headline(without)
    assert set(paragraphs(without)) - set(paragraphs(complete())) == {
        text for text in paragraphs(without) if "sanity conditions" in text
    }
    first = chosen([*complete(), control(1_000, probabilities=0)])
    assert first is not None
    assert first.name == "T=100"


def test_paragraphs_tell_of_every_adaptive_attack_with_its_numbers() -> None:
    text = " ".join(paragraphs(complete()))
    assert "In L2, L0 and L∞ they reach their target on 98.9 % to 100 % of the pairs" in text
    assert "1.1 to 1.3 × in L2" in text
    assert (
        "At T = 100 PGD within an L∞ radius of 0.3 fools 4 % of the samples through the softmax at T = 1 and 100 % of "
        "the samples through the logits." in text
    )
    assert "Square fools 97 % within the same radius" in text
    assert "samples transferred from another network with κ = 20 fool 82.2 %" in text
    assert (
        "of 103 images 3 misclassified without an attack, 100 fooled within that radius, 0 right, a robust accuracy of "
        "0 %." in text
    )
    assert (
        "multiplied by T = 20 and 100. Nothing was distilled, and JSMA on the probabilities succeeds on 1.1 %" in text
    )
    assert "The same 'defense' comes from the size of the logits alone." in text
    assert "Of 60 sanity conditions of the attacks 9 fail." in text
    assert "the controls of T = 20 and 100: the gradients are masked" in text


def test_numbers_of_fewer_than_ten_images_are_said_to_be_so() -> None:
    baseline = complete()[2]
    assert few_images(complete()) == ""
    one = baseline.model_copy(update={"distances": (distances("cw_l2", 1, 2, 3, pairs=9),)})
    assert few_images([one]) == "C&W L2 rests on 1 image: take these numbers as an indication."
    assert few_images([one], "budget", "ball", ROBUST) == ""
    nine = one.model_copy(
        update={
            "attacks": (attack("logits", 3, 81),),
            "robust": robust(9, 9, 9, 9, 9, 9).model_copy(update={"samples": 9}),
        }
    )
    assert few_images([baseline, nine]) == (
        "C&W L2 rests on 1 image; JSMA and robust accuracy rest on 9 images: take these numbers as an indication."
    )
    of_nine = {"jsma": 9, "cw_l2": 1, "robust accuracy": 9, "worst case": 10}
    assert images(nine) == of_nine | dict.fromkeys(("fgsm", "pgd", "square", "noise"), 100)


def test_what_is_wrong_without_an_attack_is_told_apart() -> None:
    assert misclassified(complete()[2:3]) == (
        "Misclassified without an attack, and in no rate: no distillation: 3 of 103 images."
    )
    assert misclassified(complete()) == (
        "Misclassified without an attack, and in no rate: 3 of 103 images, of every network."
    )
    assert misclassified([evaluation(None, probabilities=None, logits=None, scaled=None)]) == ""


def test_a_control_that_shows_no_defense_is_told_so() -> None:
    text = " ".join(paragraphs([*measured(), control(20, probabilities=150)]))
    assert "The size of the logits alone does not show the 'defense' here." in text


def test_temperature_and_distance_correlate_from_three_temperatures_on() -> None:
    lengths = {10.0: 2.0, 20.0: 1.0, 100.0: 2.0}
    networks = [
        evaluation(t, probabilities=3, logits=134, scaled=162).model_copy(
            update={"distances": (distances("cw_l2", far - 0.5, far, far + 0.5),)}
        )
        for t, far in lengths.items()
    ]
    assert temperature_correlation(networks) == pytest.approx(23.333 / (4866.7 * 0.66667) ** 0.5, abs=1e-3)
    assert temperature_correlation(networks[:2]) is None
    assert (
        temperature_correlation(
            [networks[0].model_copy(update={"model": distillation.student(t)}) for t in (1.0, 2.0, 3.0)]
        )
        is None
    )
    assert any("correlate by +0.41 (Carlini and Wagner, second-hand: −0.05)" in text for text in paragraphs(networks))


def test_what_holds_against_jsma_and_not_against_the_nearest_sample_is_said_in_the_headline() -> None:
    holds = evaluation(20, probabilities=3, logits=5, scaled=4)
    suite = [with_suite(holds, masked=0.0, farther=1.2), with_suite(BASELINE, masked=0.0)]
    assert headline(suite).endswith(
        "Carlini and Wagner's L2 attack reaches its target on 100 % of the pairs, at 1.2 × the undistilled network's "
        "mean distance."
    )


def test_distances_of_an_attack_that_reaches_the_near_samples_alone_are_compared_with_none() -> None:
    def network(successes: int) -> Evaluation:
        return BASELINE.model_copy(update={"distances": (distances("cw_l2", 1, 2, 3, successes=successes),)})

    assert relative_distance(network(90), network(88), "cw_l2") == 1.0
    assert relative_distance(network(90), network(60), "cw_l2") is None
    assert relative_distance(network(60), network(90), "cw_l2") is None
    assert relative_distance(network(60), network(90), "cw_l2", "best") == 1.0  # some class of each was reached


def test_numbers_that_were_not_measured_are_missing() -> None:
    found = evaluation(20, probabilities=3, logits=134, scaled=162)
    assert reported_radius(found) is None
    assert fooled_within(None, 0.3) is None
    assert best_transfer(found) is None
    assert relative_distance(found, BASELINE, "cw_l2") is None
    nobody = found.model_copy(update={"distances": (distances("cw_l2", 1, 2, 3, successes=0),)})
    assert relative_distance(nobody, nobody, "cw_l2") is None
    assert "0 % of the pairs" in " ".join(paragraphs([nobody]))


def test_the_reported_radius_is_the_largest_within_which_images_cannot_all_be_made_one() -> None:
    found = with_suite(BASELINE, masked=0.0)
    assert reported_radius(found) == 0.3
    assert fooled_within(found.within("pgd/margin"), 0.3) == 1.0
    assert fooled_within(found.within("fgsm/margin"), 0.3) == 0.75
    assert (fooled_within(found.robust, 0.1), fooled_within(found.robust, 0.25)) == (0.5, None)
    wide = bounded("noise", [0.1] * len(RADII)).model_copy(update={"epsilons": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)})
    assert reported_radius(BASELINE.model_copy(update={"bounded": (wide,)})) == 0.9


@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("jsma/probabilities", "JSMA on probabilities", "naive"),
        ("jsma/scaled", "JSMA on z/T", "adaptive"),
        ("jsma_decreasing/scaled", "JSMA with θ < 0 on z/T", "adaptive"),
        ("jsma_untargeted/probabilities", "untargeted JSMA on probabilities", "naive"),
        ("fgsm/cross_entropy", "FGSM at T = 1", "naive"),
        ("pgd/margin", "PGD on logits", "adaptive"),
        ("cw_linf", "C&W L∞", "adaptive"),
        ("square/margin", "Square", "gradient-free"),
        ("transfer", "transfer", "gradient-free"),
        ("noise", "noise", "gradient-free"),
        ("other/thing", "other on thing", "adaptive"),
    ],
)
def test_attacks_have_a_name_and_an_attacker(name: str, words: str, kind: str) -> None:
    assert title(name) == words
    assert attacker(name) == kind


def test_distances_and_ratios_have_three_and_two_figures() -> None:
    assert [distance(length) for length in (1.5234, 14.26, 0.11, 784, 2_352.0)] == [
        "1.52",
        "14.3",
        "0.110",
        "784",
        "2,352",
    ]
    assert [times(ratio) for ratio in (0.953, 1.0, 1.34, 12.3, 1_200.0)] == [
        "0.95 ×",
        "1.0 ×",
        "1.3 ×",
        "12 ×",
        "1,200 ×",
    ]


def test_temperature_1_alone_has_nothing_to_judge() -> None:
    alone = evaluation(1, probabilities=160, logits=128, scaled=None)
    assert headline([alone]).startswith("Only T = 1 was evaluated")
    assert "At T = 1, z/T is z" in verdicts([alone])[0].sentence


def test_a_sweep_of_ten_has_all_three_verdicts() -> None:
    assert {verdict.masked for verdict in verdicts(sweep())} == {"yes", "no", "undecided"}


def test_no_evaluation_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one model, got none"):
        headline([])
    with pytest.raises(InputError, match="expected at least one, got none"):
        checked([])
    assert verdicts([]) == []


def test_evaluations_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="expected one for each model, got more of 'T=20'"):
        checked([measured()[2], measured()[2]])
    with pytest.raises(InputError, match="expected one model without distillation"):
        checked([BASELINE, BASELINE.model_copy(update={"model": BASELINE.model.model_copy(update={"label": "other"})})])
    with pytest.raises(InputError, match="expected a model, got controls only"):
        checked([control(20)])
    assert checked([control(20), BASELINE])[0].name == "baseline"
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


def test_another_defense_stands_after_the_distilled_networks_and_changes_no_word_about_them() -> None:
    everything = [*complete(), smoothed()]
    assert [found.name for found in arranged(everything)] == [
        *("baseline", "T=20", "T=100", "label_smoothing share=0.1", "control T=20", "control T=100"),
    ]
    assert [found.name for found in distilled(everything)] == ["T=20", "T=100"]
    assert others(everything) == [smoothed()]
    assert headline(everything) == headline(complete())
    before, after = paragraphs(complete()), paragraphs(everything)
    assert [text for text in after if "sanity" not in text] == [text for text in before if "sanity" not in text]
    assert "fail on T = 20 and 100, label smoothing, share 0.1 and the controls of T = 20 and 100" in " ".join(after)


def test_another_defense_has_a_verdict_of_its_own_and_none_of_the_papers_numbers() -> None:
    masked, sentence = verdict_of(smoothed(), BASELINE)
    assert sentence.startswith(
        "With label smoothing, share 0.1, JSMA on the probabilities succeeds on 77.8 % of 180 pairs"
    )
    assert masked == "undecided"  # a condition fails, JSMA gains nothing
    assert "distillation" not in sentence


def test_without_a_distilled_network_nothing_is_said_of_distillation() -> None:
    assert headline([BASELINE, smoothed()]) == (
        "No distilled network was evaluated (JSMA succeeds on 85 % of 180 pairs (95 % interval 79.1–89.5 %) of the "
        "undistilled one): nothing can be said of distillation, and the verdicts tell of label smoothing, share 0.1. "
        "Robust accuracy within ε = 0.3: label smoothing, share 0.1 0 %."
    )
    assert headline([smoothed()]).startswith("No distilled network was evaluated: nothing")
    assert paragraphs([smoothed()])


def imported(masked: str, **judged: object) -> Evaluation:
    """Somebody's network without JSMA, with that judgement."""
    found = evaluation(None, probabilities=None, logits=None, scaled=None)
    masking = found.masking.model_copy(update={"masked": masked, **judged})
    identity = ModelId(role="imported", label="the model", title="the model")
    return found.model_copy(update={"model": identity, "masking": masking})


def test_what_pgd_gains_is_told_where_it_shows_masked_gradients() -> None:
    masked = imported("yes", within=0.9, within_interval=(0.85, 0.95))
    text, sentence = verdict_of(masked)
    assert text == "yes"
    assert "PGD on z/T gains +90 points (95 % interval +85 to +95 points) on PGD through the softmax" in sentence
    for interval in ((-0.02, 0.04), (0.02, 0.2)):
        assert "PGD" not in verdict_of(imported("undecided", within=0.05, within_interval=interval))[1]


def test_a_fault_of_the_gradient_is_told_as_a_sentence() -> None:
    sign = GradientSign(name="stepped", sentence="the input is rounded to 8 levels")
    assert (
        "The input is rounded to 8 levels: the gradients are masked."
        in verdict_of(imported("yes", gradient=(sign,)))[1]
    )


def test_an_attack_without_gradients_that_does_better_is_told() -> None:
    sentence = verdict_of(imported("yes", broken=("black_box",)))[1]
    assert "An attack without gradients does better than those on the logits" in sentence


@pytest.mark.parametrize(
    ("masked", "difference", "interval", "conclusion"),
    [
        ("yes", 0.9, (0.85, 0.95), "a gain (+90 points, 95 % interval +85 to +95 points) that shows masked gradients."),
        (
            "no",
            0.0,
            (-0.05, 0.05),
            "no gain (0 points, 95 % interval −5 to +5 points) that would show masked gradients.",
        ),
        ("undecided", 0.1, (0.0, 0.2), "too uncertain to say whether gradients are masked."),
    ],
)
def test_untargeted_jsma_stands_in_where_none_was_run_towards_each_class(
    masked: str, difference: float, interval: tuple[float, float], conclusion: str
) -> None:
    found = imported(masked, difference=difference, interval=interval)
    runs = tuple(attack(output, 90, kind="jsma_untargeted") for output in ("probabilities", "logits", "scaled"))
    sentence = verdict_of(found.model_copy(update={"attacks": runs}))[1]
    assert sentence.startswith("With the model, untargeted JSMA on the probabilities succeeds on 50 % of 180 pairs")
    assert conclusion in sentence
    assert "not run" not in sentence
