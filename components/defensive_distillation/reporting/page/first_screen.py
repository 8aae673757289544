"""What a reader sees who reads only the first screen: the paper's number is real, and the defense does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.findings import headline
from defensive_distillation.reporting.page.parts import Html, tag
from defensive_distillation.reporting.measures import relative_distance
from defensive_distillation.reporting.networks import chosen, distilled, models, undistilled
from defensive_distillation.reporting.paper import published
from defensive_distillation.reporting.findings.verdicts import attacked
from defensive_distillation.reporting.words import count, label, per_cent, published_per_cent, times

MASKED = {"yes": "masked", "no": "not masked", "undecided": "undecided"}
NAIVE, ADAPTIVE = "As in the paper", "As an adaptive attacker sees it"


def header(ordered: Sequence[Evaluation], title: str) -> Html:
    """Title, headline, the two sides, the verdicts."""
    dataset, number = ordered[0].dataset, len(models(ordered))
    of_controls = len(ordered) - number
    about = f"{dataset.name} · {number} model{'s' if number > 1 else ''}"
    if of_controls:
        about += f", {of_controls} control{'s' if of_controls > 1 else ''}"
    return tag(
        "header",
        tag("p", about, class_="eyebrow"),
        tag("h1", title),
        tag("p", headline(ordered), class_="lede"),
        _sides(ordered),
        _badges(ordered),
    )


def verdict_cell(found: Evaluation) -> Html:
    """'masked' and so on, coloured."""
    masked = found.masking.masked
    return tag("span", MASKED[masked], class_=f"verdict {masked}")


def _sides(ordered: Sequence[Evaluation]) -> Html:
    """The same network twice: what the paper's attack says of it, and what one says that knows the defense."""
    found, baseline = chosen(ordered), undistilled(ordered)
    if found is None:
        return Html("")
    left, right = _as_in_the_paper(found, baseline), _as_adaptive(found, baseline)
    if not left and not right:
        return Html("")
    return tag(
        "div",
        _side(NAIVE, "naive", left),
        _side(ADAPTIVE, "adaptive", right),
        class_="sides",
    )


def _side(title: str, kind: str, lines: Sequence[tuple[str, str]]) -> Html:
    said = [tag("p", tag("b", number), " ", tag("span", words)) for number, words in lines]
    return tag("section", tag("h2", title), *(said or [tag("p", "not run")]), class_=f"side {kind}")


def _as_in_the_paper(found: Evaluation, baseline: Evaluation | None) -> list[tuple[str, str]]:
    plain, before = attacked(found, "probabilities"), attacked(baseline, "probabilities")
    if plain is None:
        return []
    numbers = published(found.dataset)
    theirs = numbers.success_of(found) if numbers else None
    of_paper = f" – the paper: {published_per_cent(theirs)}" if theirs is not None else ""
    fooled = f"of {count(plain.pairs)} pairs fooled at {label(found)} by JSMA on probabilities{of_paper}"
    lines = [(per_cent(plain.success_rate), fooled)]
    if before:
        of_paper = f" – the paper: {published_per_cent(numbers.baseline_success)}" if numbers else ""
        lines.append((per_cent(before.success_rate), f"without distillation{of_paper}"))
    return lines


def _as_adaptive(found: Evaluation, baseline: Evaluation | None) -> list[tuple[str, str]]:
    scaled, nearest = attacked(found, "scaled"), found.distance("cw_l2")
    lines = []
    if scaled:
        fooled = f"of {count(scaled.pairs)} pairs fooled at {label(found)} by JSMA on z/T"
        lines.append((per_cent(scaled.success_rate), fooled))
    if nearest and nearest.pairs:
        ratio = relative_distance(found, baseline, "cw_l2")
        far = f", at {times(ratio)} the distance it takes without distillation" if ratio is not None else ""
        lines.append((per_cent(nearest.success_rate), f"by Carlini and Wagner's L2 attack{far}"))
    return lines


def _badges(ordered: Sequence[Evaluation]) -> Html:
    items = [
        tag(
            "li",
            tag("span", label(found)),
            " ",
            tag("b", MASKED[found.masking.masked]),
            class_=found.masking.masked,
        )
        for found in distilled(ordered)
    ]
    return tag("div", tag("p", "Gradients"), tag("ul", *items), class_="badges") if items else Html("")
