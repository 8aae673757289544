"""The report as one HTML page: no script, no request to anywhere, below 5 MB; it begins with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import adaptive, tables
from defensive_distillation.reporting.figures.exhibits import EXHIBITS
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.findings import checked, paragraphs
from defensive_distillation.reporting.page.first_screen import header
from defensive_distillation.reporting.grid import Examples
from defensive_distillation.reporting.page.parts import Html, image, join, table, tag, text
from defensive_distillation.reporting.paper import CARLINI_WAGNER, CITATION
from defensive_distillation.reporting.parallel import on_all_cores
from defensive_distillation.reporting.page.samples import Samples, sample_sections
from defensive_distillation.reporting.page.settings import settings

MAX_BYTES = 5_000_000
_RESERVE = 20_000  # for what `page` writes around the samples

_SECTIONS = {
    "found": "What was found",
    "tables": "As in the paper, as an adaptive attacker sees it",
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
    "reproduce": "How to reproduce",
}


def figures_as_png(evaluations: Sequence[Evaluation]) -> dict[str, bytes]:
    """Every figure of the sweep by its name."""
    drawn = on_all_cores(lambda exhibit: png(exhibit.draw(evaluations)), EXHIBITS)
    return {exhibit.name: content for exhibit, content in zip(EXHIBITS, drawn, strict=True)}


def page(
    evaluations: Sequence[Evaluation],
    grids: Samples,
    title: str,
    *,
    code_version: str,
    examples: Mapping[str, Examples] | None = None,
    drawn: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page.

    Args:
        evaluations: all models of the sweep and their controls, in any order.
        grids: adversarial samples by model and attacked output; models without any are left out.
        title: of the page.
        code_version: of the code that measured.
        examples: what every attack makes of the same sources, by model.
        drawn: what `figures_as_png` gave, if it was called already.

    Raises:
        InputError: if the evaluations cannot stand in one report.
    """
    ordered = checked(evaluations)
    pngs = figures_as_png(ordered) if drawn is None else drawn
    sections = {name: Html("") for name in _SECTIONS} | _sections(ordered, pngs, code_version)
    size = len(_document(ordered, sections, title).encode())
    sheets, by_class = sample_sections(ordered, grids, examples or {}, MAX_BYTES - size - _RESERVE)
    return _document(ordered, sections | {"examples": sheets, "samples": by_class}, title)


def _sections(ordered: Sequence[Evaluation], pngs: Mapping[str, bytes], code_version: str) -> dict[str, Html]:
    """Every section but those of samples; an empty one is left out of the page."""

    def shown(*names: str) -> Html:
        return _exhibits(names, ordered, pngs)

    has_distances = any(found.distances for found in ordered)
    return {
        "found": join([tag("p", paragraph) for paragraph in paragraphs(ordered)]),
        "tables": tables.side_by_side(ordered),
        "models": tables.of_models(ordered),
        "controls": tables.of_controls(ordered),
        "figures": shown("figure_7", "figure_8", "figure_9", "figure_10"),
        "curves": _curves(ordered, shown("success_by_budget"), shown("success_by_epsilon")),
        "distances": join([shown("cw_distances"), adaptive.of_distances(ordered)]) if has_distances else Html(""),
        "transfer": _joined(adaptive.of_transfer(ordered), adaptive.of_worst_case(ordered)),
        "conditions": adaptive.of_conditions(ordered),
        "gradients": join(
            [
                shown("logit_scale", "zero_gradients"),
                tables.of_gradients(ordered),
                tables.of_stops(ordered),
                tables.of_costs(ordered),
            ]
        ),
        "confidence": tables.of_confidence(ordered),
        "training": shown("training_accuracy", "training_loss"),
        "setting": _setting(ordered, code_version),
        "reproduce": _reproduce(ordered, code_version),
    }


def _joined(*parts: Html) -> Html:
    return join([part for part in parts if part])


def _curves(ordered: Sequence[Evaluation], by_budget: Html, by_radius: Html) -> Html:
    if not any(found.bounded for found in ordered):
        return by_budget
    return join([tag("div", by_budget, by_radius, class_="pair"), adaptive.of_radii(ordered)])


def _document(ordered: Sequence[Evaluation], sections: Mapping[str, Html], title: str) -> str:
    css = files("defensive_distillation.reporting").joinpath("page.css").read_text(encoding="utf-8")
    shown = {name: content for name, content in sections.items() if content}
    contents = tag(
        "nav",
        tag("h2", "Contents", class_="small"),
        tag("ol", *(tag("li", tag("a", _SECTIONS[name], href=f"#{name}")) for name in shown)),
        aria_label="Contents",
    )
    body = [
        tag("section", tag("h2", _SECTIONS[name]), content, id=name, class_=f"section-{name}")
        for name, content in shown.items()
    ]
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(
                '<meta http-equiv="Content-Security-Policy" '
                "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
            ),
            Html('<meta name="color-scheme" content="light dark">'),
            Html('<link rel="icon" href="data:,">'),
            tag("title", title),
            tag("style", Html(css)),
        ]
    )
    main = tag("main", join([header(ordered, title), body[0], contents, *body[1:], _footer()]))
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{main}\n</body>\n</html>\n'


def _exhibits(names: Sequence[str], ordered: Sequence[Evaluation], pngs: Mapping[str, bytes]) -> Html:
    shown = [exhibit for exhibit in EXHIBITS if exhibit.name in names]
    return join(
        [
            tag(
                "figure",
                tag("h3", exhibit.title),
                image(pngs[exhibit.name], exhibit.alt(ordered)),
                tag("figcaption", exhibit.caption(ordered)),
                id=exhibit.name,
            )
            for exhibit in sorted(shown, key=lambda exhibit: names.index(exhibit.name))
        ]
    )


def _setting(ordered: Sequence[Evaluation], code_version: str) -> Html:
    body = [
        [setting.name, setting.here, join([setting.paper, *([_differs()] if setting.differs else [])], " ")]
        for setting in settings(ordered, code_version=code_version)
    ]
    words = "What was done here, and what the paper did. A setting that differs is marked ≠."
    return join([tag("p", words), table(["", "Here", "The paper"], body, caption="Setting", kind="setting")])


def _differs() -> Html:
    return tag("span", "≠", class_="differs", title="differs from the paper")


def _reproduce(ordered: Sequence[Evaluation], code_version: str) -> Html:
    return join(
        [
            tag(
                "p",
                f"This sweep was made with seed {ordered[0].seed} and code version ",
                tag("code", code_version),
                ". With the same code, the same dataset (compare the digest above), the same settings and the same "
                "number of threads, a CPU writes the same bytes; a GPU comes close.",
            ),
            tag(
                "p",
                tag("code", "defdistill run --help"),
                " tells how a sweep like this one is started, ",
                tag("code", "defdistill rerun --help"),
                " how a recorded run is repeated with its recorded settings.",
            ),
            tag(
                "p",
                "The numbers of this page lie beside it as ",
                tag("code", "sweep.csv"),
                " and ",
                tag("code", "sweep.json"),
                ", its figures in ",
                tag("code", "figures/"),
                ".",
            ),
        ]
    )


def _footer() -> Html:
    return tag(
        "footer",
        tag("p", text(CITATION)),
        tag("p", f"Why the defense does not hold: {CARLINI_WAGNER}"),
    )
