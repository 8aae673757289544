"""Every attack by ours and by the peers on trained networks: success and distance beside the time."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import race_table
from benchmarks.process import Processes
from benchmarks.programs.attacks import budgets, networks
from benchmarks.race import Entry, race
from benchmarks.sections.plan import Plan, Section, of_peer


@dataclass(frozen=True)
class Contest:
    """A table.

    Attributes:
        title: its heading.
        about: what stands above it.
        unit: what is counted a second.
        distance: title of the column of distances, and its format.
        contenders: (library, attack, note) each; ours first.
        sizes: images, and targets of each.
        fast: the same for the fast page.
        left_out: contenders that the fast page leaves out.
    """

    title: str
    about: str
    unit: str
    distance: tuple[str, str]
    contenders: tuple[tuple[str, str, str], ...]
    sizes: Mapping[str, int]
    fast: Mapping[str, int]
    left_out: tuple[tuple[str, str], ...] = ()


ABOUT = f"""\
The paper's MNIST architecture, trained on 600 of scikit-learn's handwritten digits, enlarged to 28×28: an undefended
network, and one distilled at T = {networks.TEMPERATURE:g}. All contenders attack the same network, of our layers, whose
backward pass serves them all, on the same images, which both networks classify right; those of a library share a
process, which is kept. Success is counted by us, on the samples that an attack returns: 'on the distilled' is that on
the distilled network, all else is of the undefended one. Gradients and queries are counted once, before the rounds, in
a network that counts, for each image or pair: how often a gradient was taken of it, and how often it went through."""
CONTESTS = {
    "cw_l2": Contest(
        "Carlini and Wagner's L2",
        f"Targeted; {budgets.SEARCHES} constants from {budgets.CONSTANT:g} on, {budgets.STEPS} steps of size "
        f"{budgets.RATE:g} each. torchattacks searches no constant: it takes all steps at 10. ART halves and "
        "doubles the size of each step, which costs it gradients. ART leaves the fast page, which it would fill.",
        "pairs",
        ("mean L2 of its successes", ".3f"),
        (
            ("ours", "cw_l2", ""),
            *((peer, "cw_l2", "") for peer in ("foolbox", "torchattacks", "art", "adversarial_library")),
        ),
        {"images": 2, "targets": 9},
        {"images": 1, "targets": 9},
        left_out=(("art", "cw_l2"),),
    ),
    "pgd": Contest(
        "PGD, L∞",
        f"Untargeted; ε = {budgets.EPSILON:g}, {budgets.PGD_STEPS} steps of {budgets.PGD_STEP:g}, one start, "
        "cross-entropy at T = 1 unless said. Ours starts at the source and ends with the first success, the others "
        "start at a random point of the ball and take all steps.",
        "images",
        ("mean L∞ of its successes", ".3f"),
        (
            ("ours", "pgd", ""),
            ("ours", "pgd_margin", "margin of the logits"),
            *((peer, "pgd", "") for peer in ("foolbox", "torchattacks", "art", "adversarial_library")),
        ),
        {"images": 100},
        {"images": 50},
    ),
    "square": Contest(
        "Square, L∞",
        f"Untargeted, without gradients; ε = {budgets.EPSILON:g}, {budgets.QUERIES} queries an image at most. ART asks "
        "twice for each. foolbox and adversarial-library have none.",
        "images",
        ("mean L∞ of its successes", ".3f"),
        (("ours", "square", ""), ("torchattacks", "square", ""), ("art", "square", "")),
        {"images": 60},
        {"images": 20},
    ),
    "autoattack": Contest(
        "AutoAttack's parts",
        f"Untargeted; ε = {budgets.EPSILON:g}, at most {budgets.GRADIENTS} gradients an image: "
        f"{budgets.RESTARTS} starts of {budgets.RESTART_STEPS} steps of APGD on the cross-entropy or the "
        f"DLR loss, {budgets.RIVALS} targets of {budgets.RIVAL_STEPS} steps of targeted APGD "
        f"and of FAB. We have neither APGD nor FAB: ours is PGD on the "
        f"margin of the logits, one run and then one towards each of the {budgets.RIVALS} other classes, of 20 steps "
        "each, with a ball and steps that shrink as the audit does it. Square stands above; "
        "[the whole of AutoAttack](audit.md#beside-autoattack) is beside our audit.",
        "images",
        ("mean L∞ of its successes", ".3f"),
        (
            ("ours", "rivals", "PGD and rivals"),
            ("torchattacks", "apgd_ce", "APGD-CE"),
            ("torchattacks", "apgd_dlr", "APGD-DLR"),
            ("torchattacks", "apgd_targeted", "APGD-T"),
            ("torchattacks", "fab", "FAB-T"),
            ("art", "apgd_ce", "APGD-CE"),
            ("art", "apgd_dlr", "APGD-DLR"),
            ("adversarial_library", "apgd_ce", "APGD-CE"),
            ("adversarial_library", "apgd_dlr", "APGD-DLR"),
            ("adversarial_library", "apgd_targeted", "APGD-T"),
            ("adversarial_library", "fab", "FAB-T"),
        ),
        {"images": 60},
        {"images": 20},
        left_out=tuple((peer, f"apgd_{loss}") for peer in ("art", "adversarial_library") for loss in ("ce", "dlr")),
    ),
    "jsma": Contest(
        "JSMA",
        f"Targeted; θ = 1, at most {budgets.FEATURES} of 784 features, on the logits unless said. Unlike in the tables "
        "above, an attack ends when it reaches its target, or finds no pair. torchattacks leaves the fast page.",
        "pairs",
        ("mean features of its successes", ".1f"),
        (
            ("ours", "jsma", ""),
            ("ours", "jsma_probabilities", "on probabilities"),
            ("recipe", "jsma", ""),
            ("recipe", "jsma_probabilities", "on probabilities"),
            ("torchattacks", "jsma", ""),
            ("art", "jsma", "target's gradient alone, no β"),
        ),
        {"images": 4, "targets": 9},
        {"images": 3, "targets": 9},
        left_out=(("torchattacks", "jsma"),),
    ),
}
OURS = {"ours": "ours", "recipe": "sixty lines of PyTorch"}


def _text(plan: Plan) -> str:
    parts = [ABOUT]
    with tempfile.TemporaryDirectory(prefix="defdistill-") as folder, Processes() as kept:
        networks.write(Path(folder))
        for contest in CONTESTS.values():
            about = textwrap.fill(contest.about, 120, break_long_words=False, break_on_hyphens=False)
            parts += [f"### {contest.title}", about, _table(contest, plan, folder, kept)]
    return "\n\n".join(parts)


def _table(contest: Contest, plan: Plan, folder: str, kept: Processes) -> str:
    settings = {"folder": folder, **(contest.fast if plan.fast else contest.sizes)}
    chosen = [one for one in contest.contenders if not (plan.fast and one[:2] in contest.left_out)]
    outcomes = race([entry(*one, settings) for one in chosen], plan.rounds, kept)
    title, form = contest.distance
    extra = [
        *(("success", "success", ".0%"), ("distilled", "on the distilled", ".0%"), ("distance", title, form)),
        *(("gradients", "gradients", ",.0f"), ("queries", "queries", ",.0f"), ("work", contest.unit, ".0f")),
    ]
    return race_table(outcomes, contest.unit, extra, memory=False)


def entry(library: str, attack: str, note: str, settings: Mapping[str, Any]) -> Entry:
    """A contender: the attack of a library, called by the note as well."""
    told = {**settings, "attack": attack}
    if library in OURS:
        title = OURS[library] + (f", {note}" if note else "")
        return Entry(title, "attacks.contest", library, told)
    return of_peer(library, "attacks.contest", library, told, note=note)


SECTION = Section("Every attack, on trained networks", _text, fast=True)
