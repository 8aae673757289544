"""What a page tells somebody who is new to this: what was attacked, how to read it, what the words mean."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.networks import controls, defended, imported, models
from defensive_distillation.reporting.words import DATASETS, counted, label, series

Term = tuple[str, str, str]  # what it is called, what it means, and the address of its source, '' for none

_JSMA = "https://arxiv.org/abs/1511.07528"
_DISTILLATION = "https://arxiv.org/abs/1511.04508"
_CARLINI_WAGNER = "https://arxiv.org/abs/1608.04644"
_PGD = "https://arxiv.org/abs/1706.06083"
_SQUARE = "https://arxiv.org/abs/1912.00049"
_MASKING = "https://arxiv.org/abs/1802.00420"


def introduction(evaluations: Sequence[Evaluation]) -> list[str]:
    """Two short lines: what was attacked, and when a number is good for the defender."""
    data, networks, given = evaluations[0].dataset, models(evaluations), imported(evaluations)
    name = DATASETS.get(data.name, data.name)
    who = series([label(network) for network in given]) or f"one of {counted(len(networks), 'network')}"
    what = (
        f"Attacks change images of {name} a little, until {who} takes them for another of its {len(data.classes)} "
        "classes."
    )
    if given and not defended(evaluations):
        return [what, "Where all of them fail, and their sanity conditions hold, the network is robust."]
    return [what, "A defense holds only if attackers who know of it, on the right, fail as well."]


def terms(evaluations: Sequence[Evaluation]) -> list[Term]:
    """The terms that this page uses, in the order in which it does."""
    networks = models(evaluations)
    jsma = any(network.jsma for network in networks)
    nearest = any(network.distances for network in networks)
    bounded = any(network.bounded for network in networks)
    scaled = any(network.attack("scaled") for network in networks)
    told: list[tuple[bool, Term]] = [
        (
            bool(defended(evaluations)),
            (
                "distillation at T",
                "a second network learns the probabilities of a first one, both with a softmax of z/T",
                _DISTILLATION,
            ),
        ),
        (jsma, ("JSMA", "an attack that changes the few pixels that matter most, to their largest value", _JSMA)),
        (
            jsma or nearest,
            ("a pair", "one image and one wrong class that it is to be taken for", ""),
        ),
        (
            scaled,
            ("z/T", "the logits z, which are before the softmax, divided by T: the same decisions, no saturation", ""),
        ),
        (
            nearest,
            (
                "C&W",
                "Carlini and Wagner's attacks for the nearest image that fools, by L2, L0 or L∞ distance",
                _CARLINI_WAGNER,
            ),
        ),
        (
            bounded,
            (
                "within ε",
                "no pixel, of 0 to 1, changes by more than ε; robust accuracy is what stays right then, whatever the "
                "attack",
                _PGD,
            ),
        ),
        (
            any(network.within(name) for network in networks for name in ("square", "square/margin")),
            ("Square", "an attack that asks for scores alone, and needs no gradient", _SQUARE),
        ),
        (
            any(network.transfer for network in networks),
            ("κ", "by how much the logit of the wrong class has to lead where a sample is made to transfer", ""),
        ),
        (
            True,
            ("masked", "the attacker's gradient is hidden, not the image that fools: other attacks find it", _MASKING),
        ),
        (
            bool(controls(evaluations)),
            ("a control", "the network without distillation, its logits multiplied by T: nothing was learned", ""),
        ),
    ]
    return [term for shown, term in told if shown]
