"""What holds of every sound attack on a network whose gradients are not masked, checked on the attacks that were run.

After Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of Security, 2018, Section 3.1, and Carlini et
al.: On Evaluating Adversarial Robustness, 2019. The naive attacker differentiates the softmax at T = 1; where one of
its conditions fails, the gradients are masked. The adaptive one uses the logits; where one of its fails, the attack is
broken, for logits do not saturate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor

from defensive_distillation.evaluation.intervals import paired_interval
from defensive_distillation.evaluation.outcome import Outcome, successes_at
from defensive_distillation.evaluation.results import Condition
from defensive_distillation.evaluation.verdict.masking import WEAK_LOSS
from defensive_distillation.suite.registry import attacker

Attacker = Literal["naive", "adaptive"]

_MEANING: Mapping[Attacker, str] = {"naive": "the gradients are masked", "adaptive": "the attack is broken"}


def conditions(outcomes: Mapping[str, Outcome]) -> list[Condition]:
    """Every condition that the attacks, by name, allow to be checked.

    One rate is called weaker than another where the 95 % interval of the paired difference lies below zero.
    """
    checked: list[Condition] = []
    for who in get_args(Attacker):
        for strong in outcomes.values():
            if strong.attack.iterates and attacker(strong.name) == who and not strong.at_training_temperature:
                checked += _of_strongest(who, strong, outcomes)
    by_distance = (outcome for outcome in outcomes.values() if outcome.attack.family == "distance")
    return checked + [_unbounded("adaptive", outcome, outcome.samples.success) for outcome in by_distance]


def explained(conditions: Sequence[Condition], signs: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions, of which those of the naive attacker that fail, and are no signs of masking, have a weak loss.

    Args:
        conditions: as checked.
        signs: names of those that count as signs (masking.judge).
    """
    return tuple(
        one
        if one.passed or one.attacker == "adaptive" or one.name in signs
        else one.model_copy(update={"meaning": WEAK_LOSS})
        for one in conditions
    )


def _of_strongest(who: Attacker, strong: Outcome, outcomes: Mapping[str, Outcome]) -> Iterator[Condition]:
    """What holds of the strongest attack of an attacker beside every weaker one."""
    weaker = [outcome for outcome in outcomes.values() if attacker(outcome.name) in (who, "gradient-free")]
    for outcome in weaker:
        if outcome.attack.condition and outcome.attack.family == strong.attack.family:
            yield _at_every_radius(outcome.attack.condition, who, strong, outcome)
    if strong.levels[-1] == 1:
        for outcome in weaker:
            if outcome.attack.family == "transfer":
                yield _transfer(who, strong, outcome)
        yield _unbounded(who, strong, strong.successes[:, -1])
    yield _monotone(who, strong)


def _condition(name: str, who: Attacker, passed: bool, sentence: str) -> Condition:
    meaning = "" if passed else _MEANING[who]
    return Condition(name=name, attacker=who, passed=passed, sentence=sentence, meaning=meaning)


def _loss_of(strong: Tensor, weak: Tensor) -> tuple[float, bool]:
    """success(weak) − success(strong) on the same samples (P,), (P,), and whether it is clearly above zero."""
    counts = [int((a & b).sum()) for a in (weak, ~weak) for b in (strong, ~strong)]
    both, weak_alone, strong_alone, neither = counts
    low, _ = paired_interval(both, weak_alone, strong_alone, neither)
    return (weak_alone - strong_alone) / max(1, sum(counts)), low > 0


def _at_every_radius(name: str, who: Attacker, strong: Outcome, weak: Outcome) -> Condition:
    """`strong` is at least as strong as `weak` at each radius that both were run with."""
    shared = [epsilon for epsilon in strong.levels if epsilon in weak.levels]
    compared = []
    for epsilon in shared:
        a, b = successes_at(strong, epsilon), successes_at(weak, epsilon)
        compared.append((*_loss_of(a, b), epsilon, a, b))
    failed = [entry for entry in compared if entry[1]]
    _, _, epsilon, a, b = max(failed or compared, key=lambda entry: entry[0])
    relation = "weaker than" if failed else "at least as strong as"
    sentence = (
        f"{strong.name} is {relation} {weak.name}: {_rate(a)} against {_rate(b)} of {len(a)} samples "
        f"at ε = {epsilon:g}, where they differ most"
    )
    return _condition(name, who, not failed, sentence)


def _transfer(who: Attacker, strong: Outcome, transferred: Outcome) -> Condition:
    """Unbounded, an attack on this network is at least as strong as samples made on another one."""
    a, b = strong.successes[:, -1], transferred.successes.any(dim=1)
    _, failed = _loss_of(a, b)
    relation = "weaker than" if failed else "at least as strong as"
    sentence = (
        f"{strong.name}, unbounded, is {relation} samples made on the undistilled network: {_rate(a)} against "
        f"{_rate(b)} of {len(a)}"
    )
    return _condition("transfer", who, not failed, sentence)


def _unbounded(who: Attacker, outcome: Outcome, success: Tensor) -> Condition:
    """Without a bound every sample can be fooled."""
    passed = bool(success.all())
    what = f"{outcome.name}, unbounded," if outcome.levels else outcome.name
    sentence = f"{what} reaches {_rate(success)} of {len(success)} samples, where all can be reached"
    return _condition("unbounded", who, passed, sentence)


def _monotone(who: Attacker, outcome: Outcome) -> Condition:
    """A larger ball holds the smaller one: success does not fall as the radius grows."""
    falls = list(_falls(outcome))
    sentence = f"{outcome.name} does not clearly lose success as ε grows"
    if falls:
        small, large, before, after = falls[0]
        sentence = f"{outcome.name} falls from {_rate(before)} at ε = {small:g} to {_rate(after)} at ε = {large:g}"
    return _condition("monotone", who, not falls, sentence)


def _falls(outcome: Outcome) -> Iterator[tuple[float, float, Tensor, Tensor]]:
    levels, successes = outcome.levels, outcome.successes
    for number in range(1, len(levels)):
        before, after = successes[:, number - 1], successes[:, number]
        if _loss_of(after, before)[1]:
            yield levels[number - 1], levels[number], before, after


def _rate(success: Tensor) -> str:
    return f"{100 * float(success.double().mean()):.1f}".removesuffix(".0") + " %"
