"""By what colour, marker and line each series is known.

A colour and a marker, for colour is never the only sign. Attacks are orange, through the softmax at T = 1 as in the
paper, purple, knowing the defense, and blue, without a gradient; grey is noise and the paper's values. Green is what
stays right, and never an attack's success.
"""

from __future__ import annotations

from collections import Counter

from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.figures.drawing import Mark
from defensive_distillation.suite.registry import attacker, title
from defensive_distillation.suite.specification import Attacker

NAIVE, ADAPTIVE, GRADIENT_FREE, NOISE, PAPER = "#d55e00", "#882255", "#0072b2", "#767676", "#5f6368"
RIGHT = "#00795a"
_BOUNDED: dict[Attacker, tuple[str, tuple[str, ...]]] = {  # a colour and its markers
    "naive": (NAIVE, ("v", "o", "<", "p", "H")),
    "adaptive": (ADAPTIVE, ("P", "^", ">", "*", "X")),
    "gradient-free": (GRADIENT_FREE, ("s", "D", "d", "8", "h")),
}

MARKS = {
    "probabilities": Mark("JSMA on probabilities", NAIVE, "o"),
    "logits": Mark("JSMA on logits", GRADIENT_FREE, "s", "--"),
    "scaled": Mark("JSMA on probabilities of z/T", ADAPTIVE, "^"),
}
PAPER_MARK = Mark("the paper", PAPER, "D", ":")
DODGE = {"probabilities": -0.1, "logits": 0.0, "scaled": 0.1}  # so that equal values do not hide each other


def bounded_marks() -> dict[str, Mark]:
    """A mark for every attack within balls: a colour by attacker, dashes for one step, dots for noise."""
    marks, used = {}, Counter[str]()
    for name in attacks.bounded():
        condition, (colour, markers) = attacks.condition(name), _BOUNDED[attacker(name)]
        if condition == "noise":
            marks[name] = Mark(title(name), NOISE, "x", ":")
            continue
        label = f"{title(name)}, no gradient" if condition == "black_box" else title(name)
        marker = markers[used[colour] % len(markers)]
        marks[name] = Mark(label, colour, marker, "--" if condition == "iterated" else "-")
        used[colour] += 1
    return marks
