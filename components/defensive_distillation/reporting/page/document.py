"""The report as one HTML page: no script, no request to anywhere, below 5 MB; it begins with what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.provenance import Made
from defensive_distillation.reporting.figures.exhibits import figures_as_png
from defensive_distillation.reporting.findings.images import ROBUST, WORST, few_images, misclassified
from defensive_distillation.reporting.findings.made import how_made
from defensive_distillation.reporting.findings.paragraphs import paragraphs
from defensive_distillation.reporting.grid import Examples
from defensive_distillation.reporting.networks import checked, controls, distilled, imported, others, undistilled
from defensive_distillation.reporting.page import adaptive, behind, comparison, conditions, sweep
from defensive_distillation.reporting.page.first_screen import first_screen
from defensive_distillation.reporting.page.parts import exhibits
from defensive_distillation.reporting.page.samples import Samples, sample_sections
from defensive_distillation.reporting.page.settings import as_table, settings
from defensive_distillation.reporting.paper import (
    ACCURACY_VARIATION,
    CARLINI_WAGNER,
    CITATION,
    SECOND_HAND_LOGITS,
    published,
)
from defensive_distillation.reporting.words import label, per_cent

MAX_BYTES = 5_000_000
_RESERVE = 20_000  # for what stands around the samples

_SECTIONS = {
    "found": "What was found",
    "tables": "As in the paper, as an adaptive attacker sees it",
    "defenses": "Defenses side by side",
    "models": "Verdict, model by model",
    "controls": "The control: multiplied, not distilled",
    "figures": "The paper’s figures",
    "curves": "Success against budget",
    "distances": "The nearest adversarial sample",
    "transfer": "Transfer and worst case",
    "examples": "The same images under every attack",
    "conditions": "Sanity conditions of the attacks",
    "gradients": "Behind the success rates",
    "confidence": "Confidence (Table III)",
    "training": "Training",
    "samples": "Adversarial samples by class",
    "setting": "Setting and deviations",
    "reproduce": "How this was made, and how to make it again",
}

# what each section's numbers are of, by which it says how many images they rest on
_RESTS_ON = {
    "tables": ("budget", "distance", ROBUST),
    "defenses": ("budget", "distance", ROBUST),
    "models": ("budget", "ball"),
    "controls": ("budget",),
    "figures": ("budget",),
    "curves": ("budget", "ball", ROBUST),
    "distances": ("distance",),
    "transfer": ("transfer", WORST),
    "conditions": ("ball", "distance", "transfer"),
}

_OF_SWEEPS = ("tables", "figures", "confidence", "training")  # sections that compare networks by T, as the paper does


def page(
    evaluations: Sequence[Evaluation],
    grids: Samples,
    title: str,
    *,
    made: Made,
    examples: Mapping[str, Examples] | None = None,
    drawn: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page.

    Args:
        evaluations: all models of the sweep and their controls, in any order.
        grids: adversarial samples by model and attacked output; models without any are left out.
        title: of the page.
        made: how, when and by what.
        examples: what every attack makes of the same sources, by model.
        drawn: what `figures_as_png` gave, if it was called already.

    Raises:
        InputError: if the evaluations cannot stand in one report.
    """
    ordered = checked(evaluations)
    pngs = figures_as_png(ordered) if drawn is None else drawn
    template = templates().get_template("page.html")
    screen, facts, sections = first_screen(ordered), _facts(ordered), _sections(ordered, pngs, made)

    def written(**samples: Any) -> str:
        shown = {name: data for name in _SECTIONS if (data := (sections | samples).get(name))}
        return template.render(
            title=title,
            facts=facts,
            screen=screen,
            sections=shown,
            titles=_SECTIONS,
            notes={name: _note(ordered, name) for name in shown},
            citation=CITATION,
            why=CARLINI_WAGNER,
        )

    room = MAX_BYTES - _RESERVE - len(written().encode())
    sheets, by_class = sample_sections(ordered, grids, examples or {}, room)
    return written(examples=sheets, samples=by_class)


def _sections(ordered: Sequence[Evaluation], pngs: Mapping[str, bytes], made: Made) -> dict[str, Any]:
    """What every section but those of samples takes; one without anything is left out of the page."""

    def shown(*names: str) -> Any:
        return exhibits(names, ordered, pngs)

    sections = {
        "found": paragraphs(ordered),
        "tables": sweep.side_by_side(ordered),
        "defenses": comparison.of_defenses(ordered),
        "models": sweep.verdicts_on(ordered, control=False),
        "controls": sweep.of_controls(ordered),
        "figures": shown("figure_7", "figure_8", "figure_9", "figure_10"),
        "curves": {
            "by_budget": shown("success_by_budget"),
            "by_radius": shown("success_by_epsilon", "robust_accuracy"),
            "bounded": any(network.bounded for network in ordered),
            "radii": adaptive.of_radii(ordered),
        },
        "distances": adaptive.of_distances(ordered, shown("cw_distances")),
        "transfer": adaptive.of_transfer_and_worst_case(ordered),
        "conditions": conditions.of_conditions(ordered),
        "gradients": {"figures": shown("logit_scale", "zero_gradients"), **behind.behind_rates(ordered)},
        "confidence": sweep.of_confidence(ordered),
        "training": shown("training_accuracy", "training_loss"),
        "setting": as_table(settings(ordered, code_version=made.code)),
        "reproduce": how_made(made, ordered[0].seed),
    }
    if len(imported(ordered)) < len(ordered):
        return sections
    return {name: data for name, data in sections.items() if name not in _OF_SWEEPS}


def _note(ordered: Sequence[Evaluation], section: str) -> str:
    """How many images a section's numbers rest on, where they are few, and which of them are in no rate."""
    families = _RESTS_ON.get(section)
    return " ".join(filter(None, (misclassified(ordered), few_images(ordered, *families)))) if families else ""


def _facts(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """What the captions of figures take."""
    numbers = published(ordered[0].dataset)
    return {
        "paper": numbers,
        "images": ordered[0].dataset.test_images,
        "variation": ACCURACY_VARIATION,
        "amplitudes": numbers is not None and any(numbers.amplitudes_of(network) for network in ordered),
        "gain": _gain(ordered),
        "controls": bool(controls(ordered)),
        "others": bool(others(ordered)),
        "logits": SECOND_HAND_LOGITS,
    }


def _gain(ordered: Sequence[Evaluation]) -> dict[str, str] | None:
    """By how much distillation raises the robustness of Eq. 10, as the paper measures it; None where it was not."""
    baseline = undistilled(ordered)
    before = baseline.attack("probabilities") if baseline else None
    found = [(network, attack) for network in distilled(ordered) if (attack := network.attack("probabilities"))]
    if before is None or not before.robustness or not found:
        return None
    network, after = max(found, key=lambda pair: pair[1].robustness)
    return {
        "before": per_cent(before.robustness),
        "after": per_cent(after.robustness),
        "network": label(network),
        "ours": f"{100 * (after.robustness / before.robustness - 1):+,.0f} %".replace("-", "−"),
    }


@cache
def templates() -> Environment:
    """What fills the templates of this room."""
    return Environment(
        loader=PackageLoader("defensive_distillation.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_held,
    )


def _held(value: object) -> str:
    """Text with a number held together with its unit, and the T with its value; markup as it is."""
    if isinstance(value, Markup):
        return value
    return re.sub(r"(?<=\d) (?=[%×])|(?<=\bT) (?== )|(?<=\bT =) (?=\d)", "\N{NO-BREAK SPACE}", str(value))
