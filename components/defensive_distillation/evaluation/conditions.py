"""What holds of every sound attack on a network whose gradients are not masked, checked on the attacks that were run.

After Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of Security, 2018, Section 3.1, and Carlini et
al.: On Evaluating Adversarial Robustness, 2019. The naive attacker differentiates the softmax at T = 1; where one of
its conditions fails, the gradients are masked. The adaptive one uses the logits; where one of its fails, the attack is
broken, for logits do not saturate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from torch import Tensor

from defensive_distillation.evaluation.findings import RunFound
from defensive_distillation.evaluation.intervals import paired_interval
from defensive_distillation.evaluation.results import Condition

Attacker = Literal["naive", "adaptive"]

_MEANING: Mapping[Attacker, str] = {"naive": "the gradients are masked", "adaptive": "the attack is broken"}
_LOSS: Mapping[Attacker, str] = {"naive": "cross_entropy", "adaptive": "margin"}


def conditions(runs: Mapping[str, RunFound]) -> list[Condition]:
    """Every condition that the runs, by name, allow to be checked.

    One rate is called weaker than another where the 95 % interval of the paired difference lies below zero.
    """
    found: list[Condition] = []
    for attacker, loss in _LOSS.items():
        strong = runs.get(f"pgd/{loss}")
        if strong is not None:
            for name, other in (("iterated", f"fgsm/{loss}"), ("black_box", "square/margin"), ("noise", "noise")):
                if other in runs:
                    found.append(_at_every_radius(name, attacker, strong, runs[other]))
            if "transfer" in runs and strong.facts["levels"][-1] == 1:
                found.append(_transfer(attacker, strong, runs["transfer"]))
            if strong.facts["levels"][-1] == 1:
                found.append(_unbounded(attacker, strong, strong.successes[:, -1]))
            found.append(_monotone(attacker, strong))
    found += [_unbounded("adaptive", run, run.found.success) for name, run in runs.items() if name.startswith("cw_")]
    return found


def _condition(name: str, attacker: Attacker, passed: bool, sentence: str) -> Condition:
    meaning = "" if passed else _MEANING[attacker]
    return Condition(name=name, attacker=attacker, passed=passed, sentence=sentence, meaning=meaning)


def _loss_of(strong: Tensor, weak: Tensor) -> tuple[float, bool]:
    """success(weak) − success(strong) on the same samples (P,), (P,), and whether it is clearly above zero."""
    counts = [int((a & b).sum()) for a in (weak, ~weak) for b in (strong, ~strong)]
    both, weak_alone, strong_alone, neither = counts
    low, _ = paired_interval(both, weak_alone, strong_alone, neither)
    return (weak_alone - strong_alone) / max(1, sum(counts)), low > 0


def _at_every_radius(name: str, attacker: Attacker, strong: RunFound, weak: RunFound) -> Condition:
    """`strong` is at least as strong as `weak` at each radius that both were run with."""
    shared = [epsilon for epsilon in strong.facts["levels"] if epsilon in weak.facts["levels"]]
    compared = []
    for epsilon in shared:
        a, b = (run.successes[:, run.facts["levels"].index(epsilon)] for run in (strong, weak))
        compared.append((*_loss_of(a, b), epsilon, a, b))
    failed = [entry for entry in compared if entry[1]]
    _, _, epsilon, a, b = max(failed or compared, key=lambda entry: entry[0])
    relation = "weaker than" if failed else "at least as strong as"
    sentence = (
        f"{strong.name} is {relation} {weak.name}: {_rate(a)} against {_rate(b)} of {len(a)} samples "
        f"at ε = {epsilon:g}, where they differ most"
    )
    return _condition(name, attacker, not failed, sentence)


def _transfer(attacker: Attacker, strong: RunFound, transferred: RunFound) -> Condition:
    """Unbounded, an attack on this network is at least as strong as samples made on another one."""
    a, b = strong.successes[:, -1], transferred.successes.any(dim=1)
    _, failed = _loss_of(a, b)
    relation = "weaker than" if failed else "at least as strong as"
    sentence = (
        f"{strong.name}, unbounded, is {relation} samples made on the undistilled network: {_rate(a)} against "
        f"{_rate(b)} of {len(a)}"
    )
    return _condition("transfer", attacker, not failed, sentence)


def _unbounded(attacker: Attacker, run: RunFound, success: Tensor) -> Condition:
    """Without a bound every sample can be fooled."""
    passed = bool(success.all())
    what = f"{run.name}, unbounded," if run.attack == "pgd" else run.name
    sentence = f"{what} reaches {_rate(success)} of {len(success)} samples, where all can be reached"
    return _condition("unbounded", attacker, passed, sentence)


def _monotone(attacker: Attacker, run: RunFound) -> Condition:
    """A larger ball holds the smaller one: success does not fall as the radius grows."""
    falls = list(_falls(run))
    sentence = f"{run.name} does not clearly lose success as ε grows"
    if falls:
        small, large, before, after = falls[0]
        sentence = f"{run.name} falls from {_rate(before)} at ε = {small:g} to {_rate(after)} at ε = {large:g}"
    return _condition("monotone", attacker, not falls, sentence)


def _falls(run: RunFound) -> Iterator[tuple[float, float, Tensor, Tensor]]:
    levels, successes = run.facts["levels"], run.successes
    for number in range(1, len(levels)):
        before, after = successes[:, number - 1], successes[:, number]
        if _loss_of(after, before)[1]:
            yield levels[number - 1], levels[number], before, after


def _rate(success: Tensor) -> str:
    return f"{100 * float(success.double().mean()):.1f}".removesuffix(".0") + " %"
