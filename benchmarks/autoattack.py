"""Robust accuracy by ours and by AutoAttack: `python -m benchmarks.autoattack --mnist FOLDER --output FILE`.

Small networks, undefended, distilled and adversarially trained, on scikit-learn's digits and, where its folder is
given, on MNIST. It takes about half an hour of one core, most of it AutoAttack's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.page import measured
from benchmarks.programs.autoattack import RADIUS, TEMPERATURE
from benchmarks.race import Entry, Outcome, race

RADII: dict[str, dict[str, tuple[float, ...]]] = {
    "digits": {"undefended": (0.05, 0.1), "distilled": (0.05, 0.1), "adversarial": (0.1, 0.2)},
    "mnist": {"undefended": (0.05, 0.1), "distilled": (0.05, 0.1), "adversarial": (0.1, 0.2, 0.25)},
}
TITLES = {
    "undefended": "undefended",
    "distilled": f"distilled, T = {TEMPERATURE:g}",
    "adversarial": f"adversarially trained, ε = {RADIUS:g}",
}
CONTENDERS = {"audit": "ours", "autoattack": "AutoAttack"}


def main(arguments: Sequence[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoattack", description=__doc__, allow_abbrev=False)
    parser.add_argument("--mnist", type=Path, help="folder that holds MNIST/raw as torchvision has it")
    parser.add_argument("--images", type=int, default=250, help="test images of each (default 250; digits have 359)")
    parser.add_argument("--output", type=Path, help="Markdown file for what is printed")
    parser.add_argument("--data", choices=RADII, action="append", help="a part of it; may be repeated")
    parser.add_argument("--only", choices=TITLES, action="append", help="a network; may be repeated")
    options = parser.parse_args(arguments)
    rows = []
    for data in options.data or ["digits", *(["mnist"] if options.mnist else [])]:
        for network in options.only or TITLES:
            settings: dict[str, Any] = {"data": data, "network": network, "epsilons": RADII[data][network]}
            settings |= {"images": options.images, "mnist": str(options.mnist) if data == "mnist" else None}
            outcomes = race([Entry(title, "autoattack", name, settings) for name, title in CONTENDERS.items()], 1)
            rows += _rows(data, network, RADII[data][network], outcomes)
            print(_page(rows), flush=True)
    if options.output:
        options.output.write_text(_page(rows))


def _page(rows: Sequence[Sequence[str]]) -> str:
    head = ["data", "network", "images", "accuracy", "ε", "AutoAttack", "ours", "ours above, points"]
    spent = ["AutoAttack, CPU s", "ours, CPU s"]
    return f"AutoAttack of torchattacks {machine.installed('torchattacks')}.\n\n{measured([*head, *spent], rows, 1)}\n"


def _rows(data: str, network: str, epsilons: Sequence[float], outcomes: Sequence[Outcome]) -> list[list[str]]:
    """One for each radius; the times, of all radii together, stand in the first."""
    failed = [f"{one.entry.title}: {one.reason}" for one in outcomes if one.reason]
    if failed:
        return [[data, TITLES[network], "; ".join(failed), *([""] * 7)]]
    ours, theirs = outcomes
    assert ours.figures["accuracy"] == theirs.figures["accuracy"], "the contenders' networks differ"
    images = int(ours.figures["work"])
    rows = []
    for number, epsilon in enumerate(epsilons):
        mine, its = (one.figures[f"right {epsilon}"] / images for one in (ours, theirs))
        times = [f"{one.figures['processor']:,.0f}" if not number else "" for one in (theirs, ours)]
        accuracy = [f"{images}", f"{ours.figures['accuracy']:.1%}"]
        shares = [f"{epsilon:g}", f"{its:.1%}", f"{mine:.1%}", f"{100 * (mine - its):+.1f}"]
        rows.append([data, TITLES[network], *accuracy, *shares, *times])
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
