from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from browser import chromium
from defensive_distillation.errors import InputError
from defensive_distillation.reporting import write_report
from defensive_distillation.reporting.page import MAX_BYTES, figures_as_png, page
from evaluations import CIFAR10, MNIST, evaluation, grid, grids, measured, sweep

VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects what the tests ask for, and fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).replace("\N{NO-BREAK SPACE}", " ").split())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def html() -> str:
    models = measured()
    return page(models, grids(models), "Defensive distillation on MNIST", code_version="0.1.0")


def test_the_page_begins_with_what_was_found(html: str) -> None:
    words = read(html).words
    order = [
        "Distillation masks the gradients, it does not stop the attack",
        "What was found",
        "means masked gradients",
        "Contents",
        "As in the paper, as an attacker sees it Both",
        "Figure 7",
        "Figure 8",
        "Figure 9",
        "Figure 10",
        "Training: accuracy",
        "One sample for each source class",
        "A setting that differs is marked",
        "was made with seed 0",
    ]
    places = [words.find(part) for part in order]
    assert -1 not in places
    # the titles of sections stand in the contents too, so only phrases that occur once are compared
    assert places[:4] == sorted(places[:4])
    assert places[4:] == sorted(places[4:])


def test_the_two_tables_have_the_rates_with_intervals_and_the_papers(html: str) -> None:
    words = read(html).words
    assert "T = 20 96.8 % 1.7 % 0.6–4.8 % 1.34 %" in words
    assert "T = 20 74.4 % 67.6–80.3 % 90.0 % 84.7–93.6 % masked" in words
    assert "As in the paper" in words
    assert "As an attacker sees it" in words


def test_nothing_is_asked_of_the_network_and_there_is_no_script(html: str) -> None:
    reader = read(html)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in reader.tags}
    assert "url(" not in html
    assert "@import" not in html


def test_every_image_says_its_numbers(html: str) -> None:
    images = [attributes for tag, attributes in read(html).tags if tag == "img"]
    assert len(images) == 8 + 9
    for attributes in images:
        assert re.search(r"\d", attributes["alt"] or "")
        assert base64.b64decode((attributes["src"] or "").partition(",")[2]).startswith(b"\x89PNG")


def test_contents_lead_to_every_section(html: str) -> None:
    tags = read(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    targets = [str(attributes["href"])[1:] for tag, attributes in tags if tag == "a"]
    assert len(set(ids)) == len(ids)
    assert len(targets) == 10
    assert set(targets) <= set(ids)


def test_headings_do_not_skip_a_level(html: str) -> None:
    levels = [int(tag[1]) for tag, _ in read(html).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_what_users_name_is_text_and_never_markup() -> None:
    evil = '<script>alert("x")</script>&\'"'
    dataset = MNIST.model_copy(update={"name": evil, "classes": (evil, "<b>")})
    models = measured(dataset)
    shown = {"T=20": {"scaled": grid(dataset.classes, shape=(1, 8, 8))}}
    html = page(models, shown, evil, code_version=evil)
    assert "<script" not in html
    assert "<b>alert" not in html
    assert evil in read(html).words


def test_deviations_from_the_paper_are_marked(html: str) -> None:
    words = read(html).words
    assert "60,000 training, 10,000 test ≠" in words
    assert "90,000 (unverified) ≠" in words
    assert "112 (unverified) ≠" not in words


def test_a_setting_that_is_the_papers_is_not_marked() -> None:
    html = page(sweep(CIFAR10), {}, "t", code_version="1")
    words = read(html).words
    assert "50,000 training, 10,000 test ≠" not in words
    assert "50 ≠" not in words
    assert "77.05 %" not in words
    assert "78.05 %" in words  # Table III at T = 5


def test_the_papers_numbers_do_not_stand_beside_another_dataset() -> None:
    copy = CIFAR10.model_copy(update={"name": "cifar10.tar.xz"})
    words = read(page(sweep(copy), {}, "t", code_version="1")).words
    assert "78.05 %" not in words
    assert "MNIST, CIFAR-10 ≠" in words


def test_without_samples_there_is_no_section_of_samples() -> None:
    html = page(measured(), {}, "t", code_version="1")
    assert 'id="samples"' not in html


@pytest.mark.parametrize(
    "models",
    [
        [evaluation(None, probabilities=153, logits=None, scaled=None)],
        [evaluation(20, probabilities=None, logits=None, scaled=None)],
        [evaluation(20, probabilities=0, logits=0, scaled=0, pairs=9)],
    ],
)
def test_a_page_can_be_made_of_little(models: list[Any]) -> None:
    assert read(page(models, {}, "t", code_version="1")).words


def test_a_page_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one, got none"):
        page([], {}, "t", code_version="1")


@pytest.mark.slow
def test_ten_models_with_thirty_grids_that_hardly_compress_stay_below_5_mb() -> None:
    models = sweep(CIFAR10)
    html = page(models, grids(models), "t", code_version="1")
    assert len(html.encode()) < MAX_BYTES
    assert html.count("<img") == 8 + 30


def test_grids_that_cannot_fit_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    models = measured()
    drawn = figures_as_png(models)
    bare = len(page(models, {}, "t", code_version="1", drawn=drawn).encode())
    monkeypatch.setattr("defensive_distillation.reporting.page.MAX_BYTES", bare + 60_000)
    html = page(models, grids(models), "t", code_version="1", drawn=drawn)
    assert len(html.encode()) < bare + 60_000
    shown = html.count("<img") - 8
    assert 0 < shown < 9
    assert f"{9 - shown} more grids were left out" in read(html).words


def test_a_report_has_its_files_and_two_have_the_same_bytes(tmp_path: Path) -> None:
    for name, models in (("one", measured()), ("two", measured()[::-1])):
        write_report(models, grids(measured()), title="t", code_version="1", folder=tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert [str(file) for file in files] == [
        "figures/figure_10.png",
        "figures/figure_7.png",
        "figures/figure_8.png",
        "figures/figure_9.png",
        "figures/success_by_budget.png",
        "figures/training_accuracy.png",
        "figures/training_loss.png",
        "figures/zero_gradients.png",
        "report.html",
        "sweep.csv",
        "sweep.json",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    findings = json.loads((tmp_path / "one" / "sweep.json").read_text())["findings"]
    assert findings["headline"].startswith("Distillation masks the gradients")
    assert [verdict["masked"] for verdict in findings["verdicts"]] == ["no", "yes", "yes"]


def test_a_report_that_is_refused_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_report([*measured(), *measured()], {}, title="t", code_version="1", folder=tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with a profile of its own."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def opened(browser: Any, html: str, folder: Path, *, width: int, height: int) -> None:
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    # headless windows have a least width, emulated screens have none
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(path.as_uri())


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_a_reader_never_scrolls_sideways(browser: Any, html: str, tmp_path: Path, width: int) -> None:
    opened(browser, html, tmp_path, width=width, height=844)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')]"
        ".filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 720)])
def test_the_headline_is_on_the_first_screen(browser: Any, html: str, tmp_path: Path, width: int, height: int) -> None:
    opened(browser, html, tmp_path, width=width, height=height)
    bottom = browser.execute_script("return document.querySelector('.lede').getBoundingClientRect().bottom")
    assert bottom < height


def test_the_page_loads_without_an_error_or_a_request(browser: Any, html: str, tmp_path: Path) -> None:
    browser.get_log("browser")
    opened(browser, html, tmp_path, width=1280, height=900)
    assert browser.get_log("browser") == []
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 17
    assert min(widths) > 0


def test_letters_in_figures_are_read_on_a_phone(browser: Any, html: str, tmp_path: Path) -> None:
    opened(browser, html, tmp_path, width=390, height=844)
    shown = browser.execute_script("return document.querySelector('#figure_7 img').getBoundingClientRect().width")
    assert shown / 5.2 * 12 / 72 > 10.5  # pixels of a 12 point letter's height on 5.2 inches


def test_paper_shows_the_samples_that_the_screen_folds_away(browser: Any, html: str, tmp_path: Path) -> None:
    opened(browser, html, tmp_path, width=1280, height=900)
    folded = (
        "return [...document.querySelectorAll('details')]"
        ".map(made => getComputedStyle(made, '::details-content').contentVisibility == 'hidden')"
    )
    assert browser.execute_script(folded) == [True, True, False]
    try:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert browser.execute_script(folded) == [False, False, False]
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
