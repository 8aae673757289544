"""`python -m benchmarks`: everything, one table after the other; `--output docs/benchmarks.md` keeps them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.page import head, profile_table, race_table, table
from benchmarks.programs.changes import BATCH as PROFILED_BATCH
from benchmarks.programs.changes import PAIRS as PROFILED_PAIRS
from benchmarks.programs.changes import STEPS as CHANGES
from benchmarks.programs.jsma import FLAT
from benchmarks.programs.memory import FEATURES as STEP_FEATURES
from benchmarks.programs.pair_search import CORRELATIONS, FEATURES
from benchmarks.programs.photograph import CLASSES, SIDE
from benchmarks.race import Entry, Outcome, race, ratio
from benchmarks.work import MAX_FEATURES, STEPS

TITLES = {"papernot_mnist": "MNIST", "papernot_cifar10": "CIFAR-10"}
# pairs for a round: some seconds for each, on a core that does 50 GFLOP/s
PAIRS = {
    "papernot_mnist": {
        **{"ours": 64, "ours_probabilities": 64, "ours_plain": 64},
        **{"recipe": 64, "recipe_probabilities": 64, "cleverhans": 16},
        **{"torchattacks": 2, "torchattacks_frozen": 2, "art": 32},
    },
    "papernot_cifar10": {
        **{"ours": 16, "ours_probabilities": 16, "ours_plain": 16},
        **{"recipe": 16, "recipe_probabilities": 16, "cleverhans": 4},
        **{"torchattacks": 1, "torchattacks_frozen": 1, "art": 8},
    },
}
SOURCES = (100, 1_000, 10_000)  # images of the attack stage, each towards nine classes
BATCH = {"papernot_mnist": 64, "papernot_cifar10": 16}
PEERS = {
    "ours_plain": "ours, on PyTorch's own layers",
    "recipe": "sixty lines of PyTorch",
    "recipe_probabilities": "sixty lines of PyTorch, on probabilities",
    "cleverhans": "CleverHans 3.1, TensorFlow's graph",
    "torchattacks": "torchattacks",
    "torchattacks_frozen": "torchattacks, weights frozen by hand",
    "art": "ART (target's gradient alone, no β)",
}


def main(arguments: Sequence[str]) -> None:
    """Measures what is asked for and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs (default 5)")
    parser.add_argument("--output", type=Path, help="Markdown file for what is printed")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; may be repeated")
    options = parser.parse_args(arguments)
    limits = machine.limits()
    parts = ["# Benchmarks", "", head(limits, options.rounds)]
    print(parts[-1], flush=True)
    for name in options.only or PARTS:
        print(f"{name}:", file=sys.stderr, flush=True)
        parts += ["", PARTS[name](limits, options.rounds)]
        print("\n" + parts[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(parts) + "\n")


def _jsma(limits: machine.Limits, rounds: int) -> str:
    parts = [
        "## JSMA",
        "",
        f"θ = 1, {MAX_FEATURES} features, the paper's architectures with their initial weights and a bias that keeps",
        f"class 0 predicted, so that every pair takes all {STEPS} steps; targeted, on logits unless said.",
        f"On probabilities the softmax is taken at T = {FLAT:g}, where that bias does not saturate it. gamma of ART",
        "is 110/D, of torchattacks 111.5/D, of CleverHans 112.5/D: so each takes 56 steps, as the changed features",
        "show. Batches of 64 on MNIST and 16 on CIFAR-10 for all that have batches; torchattacks takes one",
        "image at a time. Peers are given the network of PyTorch's own layers in the order of Table I, as their user",
        "would write it. All get it as it is after loading, in evaluation mode, with weights that ask for gradients;",
        "torchattacks computes those too, unless its user turns them off.",
    ]
    for architecture, title in TITLES.items():
        outcomes = race([_jsma_entry(architecture, name) for name in PAIRS[architecture]], rounds)
        extra = [("changed", "features changed", ".1f"), ("work", "pairs", ".0f")]
        parts += ["", f"### {title} architecture", "", race_table(outcomes, "pairs", extra), ""]
        ours, probabilities, *_ = outcomes
        flops = 3 * machine.operations(architecture) * (STEPS + 1)
        share = ours.rate * flops / limits.convolution[architecture]
        parts.append(
            f"On logits a step is one forward and two backward passes: {ours.rate * flops / 1e9:.1f} GFLOP/s, "
            f"{100 * share:.0f} % of the convolutions' rate. On probabilities it is one and one: "
            f"{ratio(probabilities, ours):.2f} times the rate on logits."
        )
    return "\n".join(parts)


def _jsma_entry(architecture: str, name: str) -> Entry:
    title = {"ours": "ours", "ours_probabilities": "ours, on probabilities", **PEERS}[name]
    settings = {"architecture": architecture, "count": PAIRS[architecture][name], "batch": BATCH[architecture]}
    return Entry(title, "jsma", name, settings)


def _pair_search(limits: machine.Limits, rounds: int) -> str:
    rows = []
    for features in FEATURES:
        entries = [Entry(f"{c:g}", "pair_search", str(c), {"features": features}) for c in CORRELATIONS]
        rows.append([f"{features:,}", *(_milliseconds(one) for one in race(entries, rounds))])
    return "\n".join(
        [
            "## The pair search alone",
            "",
            "CPU milliseconds a sample, by the number of features and the correlation of α with β: near 1 a feature",
            "that raises the target's output raises the others' as well, and hardly a pair is good in both.",
            "",
            table(["features", *(f"correlation {c:g}" for c in CORRELATIONS)], rows),
        ]
    )


def _photograph(limits: machine.Limits, rounds: int) -> str:
    names = {"jsma": "JSMA, a step", "passes": "one forward and two backward passes"}
    step, passes = race([Entry(title, "photograph", name, {}) for name, title in names.items()], rounds)
    rows = [[one.entry.title, _milliseconds(one)] for one in (step, passes)]
    return "\n".join(
        [
            f"## A photograph: `torchvision:resnet18`, {SIDE}×{SIDE}, {CLASSES:,} classes, {3 * SIDE**2:,} features",
            "",
            table(["", "CPU ms"], rows),
            "",
            f"A step costs {1 / ratio(step, passes):.2f} times its passes: the search for the best of "
            f"{3 * SIDE**2 * (3 * SIDE**2 - 1) / 2:.1e} pairs is the rest.",
        ]
    )


def _milliseconds(outcome: Outcome) -> str:
    return outcome.reason or f"{1e3 / outcome.rate:.1f}"


def _training(limits: machine.Limits, rounds: int) -> str:
    parts = [
        "## Training",
        "",
        "One epoch at batch 128, T = 20, dropout and momentum. The bare loop runs forward, backward and step on one",
        "batch that is there already, with our layers; the plain loop is a DataLoader and the network of PyTorch's",
        "own layers, and so is Lightning's. Outside the passes and the step is all but the time from the begin of a",
        "forward pass to the end of the optimiser's step after it.",
    ]
    names = {"ours": "ours", "bare": "bare loop", "plain": "plain PyTorch, DataLoader", "lightning": "Lightning"}
    for architecture, count in {"papernot_mnist": 1280, "papernot_cifar10": 384}.items():
        settings = {"architecture": architecture, "count": count}
        outcomes = race([Entry(title, "training", name, settings) for name, title in names.items()], rounds)
        extra = [("outside", "outside the passes and the step", ".1%")]
        parts += ["", f"### {TITLES[architecture]} architecture", "", race_table(outcomes, "images", extra), ""]
        parts.append(f"Ours reaches {ratio(outcomes[0], outcomes[1]):.0%} of the bare loop's rate.")
    return "\n".join(parts)


def _workers(limits: machine.Limits, rounds: int) -> str:
    names = {"1": "one process", "2": "two processes"}
    one, two = race([Entry(title, "workers", name, {}) for name, title in names.items()], rounds)
    rows = [[each.entry.title, each.reason or f"{each.wall_rate:.2f}"] for each in (one, two)]
    return "\n".join(
        [
            "## Two shards of an attack at once",
            "",
            "JSMA on logits as above, MNIST architecture, each process with one thread on a core of its own.",
            "",
            table(["", "pairs / s"], rows),
            "",
            f"Two processes do {ratio(two, one, 'seconds'):.2f} times the work of one in the same time.",
        ]
    )


def _memory(limits: machine.Limits, rounds: int) -> str:
    entries = [Entry(f"{9 * sources:,} pairs", "memory", str(sources), {}) for sources in SOURCES]
    found = race(entries, 1)
    rows = [[one.entry.title, one.reason or f"{one.figures['memory'] / 2**20:,.0f}"] for one in found]
    return "\n".join(
        [
            "## Memory of the attack stage",
            "",
            "The whole stage on MNIST's size, from dataset and model to the artifact: the largest resident set,",
            f"PyTorch included. JSMA on logits with {STEP_FEATURES} features, one step a pair, since the memory of a",
            "step is that of any other; what is kept of a pair grows by 5 bytes for each feature that changed.",
            "",
            table(["", "MiB"], rows),
        ]
    )


def _changes(limits: machine.Limits, rounds: int) -> str:
    parts = [
        "## What each change brought",
        "",
        "The MNIST architecture from PyTorch's own layers to ours; each line keeps the changes before it, and computes",
        f"the same. JSMA on logits, {PROFILED_PAIRS} pairs at once, {STEPS} steps each; training at batch",
        f"{PROFILED_BATCH}, where weights need their gradients. Below, the operators that take longest, from PyTorch's",
        "profiler, before and after all changes.",
    ]
    for kind, unit in {"jsma": "pairs", "training": "images"}.items():
        names = [name for name in CHANGES if (kind, name) != ("training", "frozen")]
        outcomes = race([Entry(CHANGES[name], "changes", name, {"kind": kind}) for name in names], rounds)
        first, *_ = outcomes
        rows = [
            [one.entry.title, *([one.reason, ""] if one.reason else [f"{one.rate:.3g}", f"{ratio(one, first):.2f} ×"])]
            for one in outcomes
        ]
        title = {"jsma": "JSMA", "training": "Training"}[kind]
        parts += ["", f"### {title}", "", table(["", f"{unit} / CPU s", "of the first"], rows)]
        ends = [Entry(name, "changes", name, {"kind": kind, "profiled": True}) for name in (names[0], names[-1])]
        before, after = race(ends, 1)
        parts += ["", profile_table(before, after)]
    return "\n".join(parts)


def _carlini_wagner(limits: machine.Limits, rounds: int) -> str:
    names = {"ours": "ours", "foolbox": "foolbox"}
    entries = [Entry(title, "carlini_wagner", name, {"sources": 1}) for name, title in names.items()]
    extra = [
        ("success", "success", ".0%"),
        ("distance", "mean L2 of its successes", ".3f"),
        ("gradients", "gradients a pair", ",.0f"),
    ]
    return "\n".join(
        [
            "## Carlini and Wagner's L2",
            "",
            "A network trained on handwritten digits, one image towards each other class; five constants, 100 steps,",
            "step size 0.05.",
            "",
            race_table(race(entries, rounds), "pairs", extra),
        ]
    )


PARTS = {
    "jsma": _jsma,
    "pair_search": _pair_search,
    "photograph": _photograph,
    "training": _training,
    "changes": _changes,
    "workers": _workers,
    "memory": _memory,
    "carlini_wagner": _carlini_wagner,
}

if __name__ == "__main__":
    main(sys.argv[1:])
