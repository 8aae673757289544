"""The report as one HTML page: no script, no request to anywhere, below 5 MB; it begins with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import sqrt

from defensive_distillation.evaluation import Evaluation
from defensive_distillation.reporting.captions import EXHIBITS, grid_alt
from defensive_distillation.reporting.drawing import png
from defensive_distillation.reporting.figures import MAX_CLASSES, sample_grid
from defensive_distillation.reporting.findings import Verdict, checked, headline, paragraphs, verdicts
from defensive_distillation.reporting.grid import Grid
from defensive_distillation.reporting.markup import Html, image, join, table, tag, text
from defensive_distillation.reporting.paper import CARLINI_WAGNER, CITATION, published
from defensive_distillation.reporting.settings import settings
from defensive_distillation.reporting.words import (
    OUTPUTS,
    column_per_cent,
    count,
    label,
    per_cent_range,
    published_per_cent,
)

MAX_BYTES = 5_000_000
_RESERVE = 20_000  # for what `page` writes around the grids
_GRID_DPI = 150.0
_MIN_DPI = 36.0

Samples = Mapping[str, Mapping[str, Grid]]

_SECTIONS = {
    "found": "What was found",
    "tables": "As in the paper, as an attacker sees it",
    "models": "Verdict, model by model",
    "figures": "The paper’s figures",
    "confidence": "Confidence (Table III)",
    "gradients": "Behind the success rates",
    "training": "Training",
    "samples": "Adversarial samples",
    "setting": "Setting and deviations",
    "reproduce": "How to reproduce",
}
_PAPER_FIGURES = ("figure_7", "figure_8", "figure_9", "figure_10")
_BEHIND = ("zero_gradients", "success_by_budget")
_TRAINING = ("training_accuracy", "training_loss")
_MASKED = {"yes": "masked", "no": "not masked", "undecided": "undecided"}


def figures_as_png(evaluations: Sequence[Evaluation]) -> dict[str, bytes]:
    """Every figure of the sweep by its name."""
    return {exhibit.name: png(exhibit.draw(evaluations)) for exhibit in EXHIBITS}


def page(
    evaluations: Sequence[Evaluation],
    grids: Samples,
    title: str,
    *,
    code_version: str,
    drawn: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page.

    Args:
        evaluations: all models of the sweep, in any order.
        grids: adversarial samples by model and attacked output; models without any are left out.
        title: of the page.
        code_version: of the code that measured.
        drawn: what `figures_as_png` gave, if it was called already.

    Raises:
        InputError: if the evaluations cannot stand in one report.
    """
    ordered = checked(evaluations)
    pngs = figures_as_png(ordered) if drawn is None else drawn
    sections = {
        "found": join([tag("p", paragraph) for paragraph in paragraphs(ordered)]),
        "tables": _tables(ordered),
        "models": _models(ordered),
        "figures": _exhibits(_PAPER_FIGURES, ordered, pngs),
        "confidence": _confidence(ordered),
        "gradients": _exhibits(_BEHIND, ordered, pngs),
        "training": _exhibits(_TRAINING, ordered, pngs),
        "samples": Html(""),
        "setting": _setting(ordered, code_version),
        "reproduce": _reproduce(ordered, code_version),
    }
    size = len(_document(ordered, sections, title).encode())
    sections["samples"] = _samples(ordered, grids, MAX_BYTES - size - _RESERVE)
    return _document(ordered, sections, title)


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
    main = tag("main", join([_header(ordered, title), body[0], contents, *body[1:], _footer()]))
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{main}\n</body>\n</html>\n'


def _header(ordered: Sequence[Evaluation], title: str) -> Html:
    dataset = ordered[0].dataset
    models = f"{len(ordered)} model{'s' if len(ordered) > 1 else ''}"
    return tag(
        "header",
        tag("p", f"{dataset.name} · {models}", class_="eyebrow"),
        tag("h1", title),
        tag("p", headline(ordered), class_="lede"),
        _badges(ordered),
    )


def _badges(ordered: Sequence[Evaluation]) -> Html:
    items = [
        tag("li", tag("span", label(found)), " ", tag("b", _MASKED[verdict.masked]), class_=verdict.masked)
        for found, verdict in zip(ordered, verdicts(ordered), strict=True)
        if found.distilled
    ]
    return tag("div", tag("p", "Gradients"), tag("ul", *items), class_="badges") if items else Html("")


def _tables(ordered: Sequence[Evaluation]) -> Html:
    numbers = published(ordered[0].dataset)
    theirs = ["The paper"] if numbers else []
    paper_rows = [
        [
            label(found),
            column_per_cent(found.accuracy),
            _rate(found, "probabilities"),
            *([_published(numbers.success_of(found))] if numbers else []),
        ]
        for found in ordered
    ]
    attacker_rows = [
        [label(found), _rate(found, "logits"), _rate(found, "scaled"), _verdict_cell(verdict)]
        for found, verdict in zip(ordered, verdicts(ordered), strict=True)
    ]
    return join(
        [
            tag(
                "p",
                "Both tables describe the same networks. First what the paper measures: JSMA climbs the probabilities "
                "at temperature 1. Then what an attacker does who knows the defense: JSMA climbs the logits z, or "
                "the probabilities of z/T. Below a rate its 95 % interval.",
            ),
            tag(
                "div",
                table(
                    ["", "Accuracy", "JSMA on probabilities", *theirs],
                    paper_rows,
                    caption="As in the paper",
                    kind="rates",
                ),
                table(
                    ["", "JSMA on logits", "JSMA on z/T", "Gradients"],
                    attacker_rows,
                    caption="As an attacker sees it",
                    kind="rates",
                ),
                class_="pair",
            ),
        ]
    )


def _rate(found: Evaluation, output: str) -> str:
    """A success rate with its interval and a bar; a dash where nothing was attacked."""
    attack = found.attack(output)
    if attack is None:
        return "–"
    width = f"{100 * attack.success_rate:.1f}%"
    return join(
        [
            tag("span", column_per_cent(attack.success_rate), class_="value"),
            tag("span", Html(f'<i style="width:{width}"></i>'), class_=f"bar {output}", aria_hidden="true"),
            tag("span", per_cent_range(attack.success_interval), class_="range"),
        ],
        "",
    )


def _verdict_cell(verdict: Verdict) -> Html:
    return tag("span", _MASKED[verdict.masked], class_=f"verdict {verdict.masked}")


def _published(share: float | None) -> str:
    return "–" if share is None else published_per_cent(share)


def _models(ordered: Sequence[Evaluation]) -> Html:
    items = [
        tag("dt", label(found), " ", _verdict_cell(verdict)) + tag("dd", verdict.sentence)
        for found, verdict in zip(ordered, verdicts(ordered), strict=True)
    ]
    return tag("dl", Html("".join(items)))


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


def _confidence(ordered: Sequence[Evaluation]) -> Html:
    numbers = published(ordered[0].dataset)
    has_theirs = numbers is not None and bool(numbers.confidence)
    body = [
        [
            label(found),
            column_per_cent(found.confidence),
            *([_published(numbers.confidence_of(found))] if numbers and has_theirs else []),
            column_per_cent(found.accuracy),
        ]
        for found in ordered
    ]
    return join(
        [
            tag(
                "p",
                "Mean over the test images of the largest probability at T = 1, counted as 0 where it is not the true "
                "class (Eq. 12). It cannot exceed the accuracy, and a saturated softmax brings it up to it.",
            ),
            table(["", "Confidence", *(["The paper"] if has_theirs else []), "Accuracy"], body, caption="Confidence"),
        ]
    )


def _samples(ordered: Sequence[Evaluation], grids: Samples, room: int) -> Html:
    """The sample grids, drawn as large as fits into `room` bytes."""
    wanted = [
        (found, output, grids[found.name][output])
        for found in ordered
        for output in OUTPUTS
        if output in grids.get(found.name, {})
    ]
    if not wanted:
        return Html("")
    dpi = _GRID_DPI
    images = _grid_images(wanted, dpi)
    while (size := sum(map(len, images))) > room and dpi > _MIN_DPI:
        dpi = max(_MIN_DPI, dpi * min(0.85, 0.88 * sqrt(max(0, room) / size)))
        images = _grid_images(wanted, dpi)
    left_out = 0
    while sum(map(len, images)) > room:
        images.pop()
        left_out += 1
    shown = list(zip(wanted, images, strict=False))
    chosen = max(
        zip(ordered, verdicts(ordered), strict=True),
        key=lambda pair: (pair[1].difference or 0.0, not pair[0].distilled),
    )[0]
    parts = [_samples_intro(wanted[0][2], left_out)]
    for found in ordered:
        here = [(output, grid, drawn) for (model, output, grid), drawn in shown if model is found]
        if here:
            parts.append(_model_samples(found, here, is_open=found is chosen))
    return join(parts)


def _grid_images(wanted: Sequence[tuple[Evaluation, str, Grid]], dpi: float) -> list[Html]:
    return [
        image(
            png(sample_grid(grid), dpi=dpi, colours=256 if grid.images.shape[2] == 3 else 32),
            grid_alt(found, output, grid),
        )
        for found, output, grid in wanted
    ]


def _samples_intro(grid: Grid, left_out: int) -> Html:
    words = (
        "One sample for each source class (row) and target class (column), with the originals framed on the diagonal. "
        "A sample that did not reach its target is dimmed and crossed out; a dash is a pair that was not attacked."
    )
    if len(grid.classes) > MAX_CLASSES:
        words += f" The first {MAX_CLASSES} of {len(grid.classes)} classes are shown."
    if left_out:
        words += f" {left_out} more grids were left out to keep this page small."
    return tag("p", words)


def _model_samples(found: Evaluation, here: Sequence[tuple[str, Grid, Html]], *, is_open: bool) -> Html:
    cells = [
        tag("figure", tag("h3", f"JSMA on {OUTPUTS[output]}"), drawn, tag("figcaption", _reached(grid)))
        for output, grid, drawn in here
    ]
    return tag("details", tag("summary", label(found)), tag("div", *cells, class_="grids"), open=is_open)


def _reached(grid: Grid) -> str:
    reached, attacked = int((grid.success & grid.attacked).sum()), int(grid.attacked.sum())
    return f"{count(reached)} of these {count(attacked)} samples reach their target."


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
