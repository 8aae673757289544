"""JSMA by every peer on networks that never reach the target, so that each pair takes all steps: time alone."""

from __future__ import annotations

from benchmarks import machine
from benchmarks.page import race_table
from benchmarks.programs.jsma import FLAT
from benchmarks.race import Entry, race, ratio
from benchmarks.sections.plan import Plan, Section, of_peer
from benchmarks.work import MAX_FEATURES, STEPS

TITLES = {"papernot_mnist": "MNIST", "papernot_cifar10": "CIFAR-10"}
OURS = {
    "ours": "ours",
    "ours_probabilities": "ours, on probabilities",
    "ours_plain": "ours, on PyTorch's own layers",
    "recipe": "sixty lines of PyTorch",
    "recipe_probabilities": "sixty lines of PyTorch, on probabilities",
}
LIMITS = {
    "forwards": "its convolutions alone, forwards three times",
    "backwards": "its convolutions alone, forwards and backwards twice",
}
BATCH = {"papernot_mnist": 128, "papernot_cifar10": 32}
# pairs for a round: some seconds for each, on a core that does 50 GFLOP/s; of what is not listed a whole batch
FEWER = {
    "papernot_mnist": {"cleverhans": 16, "torchattacks": 2, "torchattacks_frozen": 2, "art": 16},
    "papernot_cifar10": {"cleverhans": 4, "torchattacks": 1, "torchattacks_frozen": 1, "art": 4},
}
PAIRS = {
    architecture: {**dict.fromkeys(OURS, batch), **FEWER[architecture], **dict.fromkeys(LIMITS, batch)}
    for architecture, batch in BATCH.items()
}
FAST = {
    "papernot_mnist": {
        **{"ours": 16, "ours_probabilities": 16, "recipe": 16, "recipe_probabilities": 16},
        **{"torchattacks_frozen": 1, "art": 4, "forwards": 16, "backwards": 16},
    }
}
NOTES = {
    "cleverhans": ("cleverhans", "TensorFlow's graph"),
    "torchattacks": ("torchattacks", ""),
    "torchattacks_frozen": ("torchattacks", "weights frozen by hand"),
    "art": ("art", "target's gradient alone, no β"),
}
ABOUT = f"""\
θ = 1, {MAX_FEATURES} features, the paper's architectures with their initial weights and a bias that keeps
class 0 predicted, so that every pair takes all {STEPS} steps; targeted, on logits unless said.
On probabilities the softmax is taken at T = {FLAT:g}, where that bias does not saturate it. gamma of ART
is 110/D, of torchattacks 111.5/D, of CleverHans 112.5/D: so each takes 56 steps, as the changed features
show. Batches of {BATCH["papernot_mnist"]} on MNIST and {BATCH["papernot_cifar10"]} on CIFAR-10
for all that have batches; torchattacks takes one image at a time. Peers are given the network of
PyTorch's own layers in the order of Table I, as their user would write it. All get it as it is after
loading, in evaluation mode, with weights that ask for gradients;
torchattacks computes those too, unless its user turns them off. The last two rows are no attacks but the
convolutions of as many steps, as fast as this library has them with nothing between, before or after them: a step on
logits goes forwards once and backwards twice, which are as many operations as three times forwards."""


def _text(plan: Plan) -> str:
    parts = [ABOUT]
    for architecture, pairs in (FAST if plan.fast else PAIRS).items():
        entries = [_entry(architecture, name, count) for name, count in pairs.items()]
        outcomes = race(entries, plan.rounds)
        extra = [("changed", "features changed", ".1f"), ("work", "pairs", ".0f")]
        parts += [f"### {TITLES[architecture]} architecture", race_table(outcomes, "pairs", extra)]
        found = dict(zip(pairs, outcomes, strict=True))
        ours = found["ours"]
        flops = ours.rate * 3 * machine.operations(architecture) * (STEPS + 1)
        parts.append(
            f"On logits that is {flops / 1e9:.1f} GFLOP/s, were all of it computed: "
            f"{100 * ratio(ours, found['forwards']):.0f} % of the rate that the convolutions alone have forwards, and "
            f"{100 * ratio(ours, found['backwards']):.0f} % of what they have forwards once and backwards twice. On "
            f"probabilities a step is one and one: {ratio(found['ours_probabilities'], ours):.2f} times the rate."
        )
    return "\n\n".join(parts)


def _entry(architecture: str, name: str, count: int) -> Entry:
    settings = {"architecture": architecture, "count": count, "batch": BATCH[architecture]}
    if name in LIMITS:
        return Entry(LIMITS[name], "convolutions", name, settings)
    if name in OURS:
        return Entry(OURS[name], "jsma", name, settings)
    peer, note = NOTES[name]
    return of_peer(peer, "jsma", name, settings, note=note)


SECTION = Section("JSMA", _text, fast=True)
