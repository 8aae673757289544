from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlflow_server
from browser import chromium
from defensive_distillation import artifacts, tracking
from defensive_distillation.tracking import Tracker
from test_tracking import STAGES, record

if TYPE_CHECKING:
    from conftest import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

RUN = "digits-1a2b3c"
RERUN = "rerun attack max_features=20"
PATIENCE = 60  # seconds for a page to show something; a busy machine needs many
SHOWN = ("accuracy", "jsma_logits_success_rate", "jsma_probabilities_success_rate", "jsma_scaled_success_rate")


class Reader:
    """A person before MLflow's pages: sees text, clicks on it, waits."""

    def __init__(self, driver: Any, address: str, tracker: Tracker) -> None:
        self.driver = driver
        self.address = address
        self.experiment = tracker.experiment_id
        self.parent = tracker.parent_id
        self.models = {name: tracker.model_run(name).run_id for name in ("baseline", "T=20")}

    def open(self, place: str) -> None:
        self.driver.get("about:blank")  # a change of the part behind '#' alone loads nothing
        self.driver.get(f"{self.address}/#{place}")
        self.wait(lambda: self.driver.find_elements("tag name", "nav"), "a page of MLflow")
        for button in self.driver.find_elements("css selector", "button[aria-label='Close']"):
            button.click()  # MLflow's assistant takes a third of the window

    @property
    def text(self) -> str:
        body: str = self.driver.find_element("tag name", "body").text
        return " ".join(body.split())

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"expected {what}, saw: {self.text}"
            time.sleep(0.1)
        return found

    def see(self, *texts: str) -> None:
        for text in texts:
            self.wait(lambda text=text: text in self.text, repr(text))  # type: ignore[misc]

    def click(self, selector: str) -> None:
        self.wait(lambda: self.driver.find_elements("css selector", selector), selector)[0].click()

    def press(self, words: str) -> None:
        buttons = f"//button[normalize-space()='{words}']"
        self.wait(lambda: self.driver.find_elements("xpath", buttons), words)[0].click()

    def photograph(self, name: str) -> None:
        folder = os.environ.get("DEFDISTILL_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            time.sleep(1)  # what is drawn slides into place
            self.driver.save_screenshot(str(Path(folder, f"mlflow_{name}.png")))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[Reader]:
    """A reader of a database that the stages filled: a sweep of two models, and one attack run again."""
    with ExitStack() as stack:
        driver = stack.enter_context(chromium(tmp_path_factory.mktemp("profile")))
        folder = tmp_path_factory.mktemp("workspace")
        uri = f"sqlite:///{folder}/mlflow.db"
        tracking.prepare(uri)
        for name in STAGES:
            record(chain, name, Tracker(uri, RUN))
        record(chain, "attack", Tracker(uri, RUN, rerun=RERUN))
        address = stack.enter_context(mlflow_server.running(folder))
        yield Reader(driver, address, Tracker(uri, RUN))


def rounded(chain: Chain, name: str) -> list[str]:
    """Accuracy and success rates of a model as MLflow writes them."""
    suffix = "-baseline" if name == "baseline" else ""
    found = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts["evaluation"]
    rates = {attack["output"]: attack["success_rate"] for attack in found["attacks"]}
    values = [found["accuracy"], rates["logits"], rates["probabilities"], rates["scaled"]]
    return [str(round(value, 3)) for value in values]


def test_the_list_of_runs_shows_models_below_their_sweep_with_their_numbers(reader: Reader, chain: Chain) -> None:
    reader.open(f"/experiments/{reader.experiment}/runs?workflowType=machine_learning")
    reader.see(RUN, "4 matching runs")
    reader.click(".ag-row button")  # opens the sweep
    reader.see("baseline", "T=20", f"T=20 {RERUN}")
    reader.press("Columns")
    for column in SHOWN:
        reader.click(f"[title='{column}']")
    reader.press("Columns")
    reader.see(*SHOWN)
    rows = reader.wait(lambda: cells(reader), "rows with numbers")
    reader.photograph("runs")
    for name in ("baseline", "T=20"):
        assert rows[name] == rounded(chain, name)
    assert rows[RUN] == ["-"] * 4
    assert rows[f"T=20 {RERUN}"] == ["-", *rounded(chain, "T=20")[1:]]


def cells(reader: Reader) -> dict[str, list[str]]:
    """The rows of the list by run name: what stands below accuracy and the success rates."""
    script = """
      const columns = arguments[0].map(name => [...document.querySelectorAll('.ag-header-cell')]
        .find(cell => cell.innerText.trim() == name)?.getAttribute('col-id'));
      const text = (row, id) => document.querySelector(`.ag-row[row-index="${row}"] [col-id="${CSS.escape(id)}"]`)
        ?.innerText.trim();
      const rows = [...new Set([...document.querySelectorAll('.ag-row')].map(row => row.getAttribute('row-index')))];
      return columns.includes(undefined) ? [] : rows.map(row => [
        document.querySelector(`.ag-row[row-index="${row}"] a`)?.innerText.trim(),
        columns.map(id => text(row, id)),
      ]);
    """
    return {name: values for name, values in reader.driver.execute_script(script, SHOWN) if None not in values}


def test_models_stand_side_by_side_with_temperatures_and_metrics(reader: Reader, chain: Chain) -> None:
    ids = ",".join(f'"{run_id}"' for run_id in reader.models.values())
    reader.open(f'/compare-runs?runs=[{ids}]&experiments=["{reader.experiment}"]')
    reader.see("Comparing 2 Runs from 1 Experiment", "Run Name: baseline T=20", "temperature 1 20")
    rows = {row[0]: row[1:] for row in table(reader)}
    assert rows["temperature"] == ["1", "20"]
    assert rows["distilled"] == ["False", "True"]
    for number, metric in enumerate(SHOWN):
        assert rows[metric] == [rounded(chain, name)[number] for name in ("baseline", "T=20")]
    for title in ("Parameters", "Metrics"):
        heading = reader.driver.find_elements("xpath", f"//*[normalize-space(text())='{title}']")[-1]
        reader.driver.execute_script("arguments[0].scrollIntoView()", heading)
        reader.photograph(f"compare_{title.lower()}")


def table(reader: Reader) -> list[list[str]]:
    """All rows of all tables of a page."""
    script = """
      return [...document.querySelectorAll('tr, [role=row]')]
        .map(row => [...row.querySelectorAll('th, td, [role=cell], [role=rowheader]')].map(cell => cell.innerText.trim()))
    """
    return [row for row in reader.driver.execute_script(script) if row]


def test_losses_are_curves(reader: Reader, chain: Chain) -> None:
    ids = ",".join(f'"{run_id}"' for run_id in reader.models.values())
    reader.open(
        f'/metric/loss?runs=[{ids}]&experiments=["{reader.experiment}"]&metric="loss"&plot_metric_keys=["loss"]'
    )
    reader.see("baseline (loss)", "T=20 (loss)", "(step=5)")
    lines = reader.wait(lambda: curves(reader), "two curves")
    reader.photograph("loss")
    assert all(width > 100 and height > 10 for width, height in lines)  # a curve, not a point or an upright line
    for network in ("teacher-1", "student"):
        last = artifacts.read_manifest(chain.place(network)).facts["training"][-1]
        assert f"{last['loss']} (step=5)" in reader.text


def curves(reader: Reader) -> list[tuple[float, float]]:
    script = """
      return [...document.querySelectorAll('path.js-line')]
        .map(line => line.getBBox()).map(box => [box.width, box.height])
    """
    found: list[tuple[float, float]] = reader.driver.execute_script(script)
    return found if len(found) == 2 else []


def test_the_sweep_holds_its_report_and_a_model_its_samples(reader: Reader) -> None:
    reader.open(f"/experiments/{reader.experiment}/runs/{reader.parent}/artifacts/report/report.html")
    reader.see("report.html", "sweep.csv")
    reader.driver.switch_to.frame(reader.wait(lambda: reader.driver.find_elements("tag name", "iframe"), "a page")[0])
    reader.see("What was found")
    reader.driver.switch_to.default_content()
    reader.photograph("report")
    samples = "artifacts/samples/jsma_logits.png"
    reader.open(f"/experiments/{reader.experiment}/runs/{reader.models['T=20']}/{samples}")
    reader.see("jsma_logits.png", "evaluation.json")
    wide = "return Math.max(0, ...[...document.images].map(image => image.naturalWidth))"
    reader.wait(lambda: reader.driver.execute_script(wide) > 300, "the picture of the samples")
    reader.photograph("samples")
