"""`python -m benchmarks`: everything, one section after the other; `--output docs/benchmarks.md` keeps them.

The page is written after each section. What of it is not measured stays as it was: every table says on which machine
and at which commit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import page
from benchmarks.sections import attacks, changes, jsma, limits, memory, pair_search, photograph, training, workers
from benchmarks.sections.plan import Plan

SECTIONS = {
    "limits": limits.SECTION,
    "jsma": jsma.SECTION,
    "attacks": attacks.SECTION,
    "pair_search": pair_search.SECTION,
    "photograph": photograph.SECTION,
    "training": training.SECTION,
    "changes": changes.SECTION,
    "workers": workers.SECTION,
    "memory": memory.SECTION,
}


def main(arguments: Sequence[str]) -> None:
    """Measures what is asked for and prints it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--fast", action="store_true", help="the sections that say most, in small sizes")
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender runs (default 3)")
    parser.add_argument("--output", type=Path, help="Markdown file for what is printed, written after each section")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="a section; may be repeated")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    if options.output and not options.output.parent.is_dir():
        parser.error(f"--output: expected a file in a folder that exists, got {options.output}")
    plan = Plan(options.rounds, options.fast)
    chosen = [name for name in SECTIONS if name in (options.only or SECTIONS)]
    if plan.fast and not options.only:
        chosen = [name for name in chosen if SECTIONS[name].fast]
    found = page.sections(options.output) if options.output else {}
    print(page.HEAD, flush=True)
    begun = time.perf_counter()
    for number, name in enumerate(chosen, 1):
        section, start = SECTIONS[name], time.perf_counter()
        print(f"{name}: {number} of {len(chosen)}, {start - begun:.0f} s so far", file=sys.stderr, flush=True)
        text = section.text(plan)
        found[section.title] = f"{text}\n\nMeasured in {time.perf_counter() - start:.0f} s."
        print(f"\n## {section.title}\n\n{found[section.title]}", flush=True)
        if options.output:
            page.write(options.output, {one.title: found[one.title] for one in SECTIONS.values() if one.title in found})
    print(f"{len(chosen)} sections in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
