from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.defenses import distillation
from defensive_distillation.model_id import BASELINE
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation.tracking.views import AXES, NETWORKS, SWEEPS, address
from support import mlflow_server
from support.browser import chromium
from support.recording import ARTIFACTS, EPOCHS, record

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

RUN = "digits-1a2b3c"
RERUN = "rerun attack max_features=20"
PATIENCE = 60  # seconds for a page to show something; a busy machine needs many
SHOWN = ("accuracy", "jsma_success/logits", "jsma_success/probabilities", "jsma_success/scaled")


class Reader:
    """A person before MLflow's pages: sees text, clicks on it, waits."""

    def __init__(self, driver: Any, address: str, tree: RunTree) -> None:
        self.driver = driver
        self.address = address
        self.experiment = tree.experiment_id
        self.parent = tree.parent_id
        self.models = {model.label: tree.model(model).run_id for model in (BASELINE, distillation.student(20.0))}

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
    """A reader of a database: a sweep of two models and a control, and one attack run again."""
    with ExitStack() as stack:
        driver = stack.enter_context(chromium(tmp_path_factory.mktemp("profile")))
        folder = tmp_path_factory.mktemp("workspace")
        uri = f"sqlite:///{folder}/mlflow.db"
        tree = RunTree(uri, RUN, alone=True)
        for name in ARTIFACTS:
            record(chain, name, tree)
        record(chain, "attack", RunTree(uri, RUN, rerun=RERUN, alone=True))
        address = stack.enter_context(mlflow_server.running(folder))
        yield Reader(driver, address, tree)


def measured(chain: Chain, name: str) -> list[float]:
    """Accuracy and success rates of a model."""
    suffix = "-baseline" if name == "baseline" else ""
    found = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts["evaluation"]
    rates = {one["output"]: one["success_rate"] for one in found["attacks"] if one["attack"] == "jsma"}
    return [found["accuracy"], rates["logits"], rates["probabilities"], rates["scaled"]]


def test_the_list_of_runs_shows_sweeps_and_their_networks_with_their_numbers(reader: Reader, chain: Chain) -> None:
    """The view of networks, as a list: nobody has to choose a column."""
    reader.open(address(reader.experiment, NETWORKS).removeprefix("/#").replace("&compareRunsMode=CHART", ""))
    reader.see("4 matching runs", "baseline", "T=20", "control T=20", f"T=20 {RERUN}", "temperature", "defense", "role")
    reader.click("[aria-label='Toggle sidebar']")
    rows = reader.wait(lambda: cells(reader), "rows with numbers")
    reader.photograph("runs")
    for name in ("baseline", "T=20"):
        assert rows[name] == [repr(value).removesuffix(".0") for value in measured(chain, name)]
    assert rows[f"T=20 {RERUN}"] == ["-"] * 4  # of an attack alone nobody knows which images are misclassified


def test_the_first_page_draws_the_sweeps_measures_against_its_temperatures(reader: Reader, chain: Chain) -> None:
    reader.open(address(reader.experiment, SWEEPS).removeprefix("/#"))
    reader.see("1 Sweeps by temperature", "Accuracy by T", "Success of JSMA by T", RUN)
    drawn = reader.wait(lambda: lines_by_step(reader), "line charts")
    reader.photograph("sweeps")
    networks = {0: measured(chain, "baseline"), 20: measured(chain, "T=20")}
    for number, metric in enumerate(SHOWN):
        if metric in drawn:  # of those that are scrolled to
            assert drawn[metric] == [list(networks), [found[number] for found in networks.values()]]


def lines_by_step(reader: Reader) -> dict[str, list[Any]]:
    """The steps and values that line charts draw, by metric, once accuracy and JSMA are drawn."""
    script = """
      return [...document.querySelectorAll("[data-testid='experiment-view-compare-runs-card']")].map(card => {
        const line = card.querySelector('.js-plotly-plot')?._fullData?.[0];
        return [card.innerText.split('\\n')[0].trim(), [...(line?.x ?? [])], [...(line?.y ?? [])]];
      });
    """
    found = {name: [steps, values] for name, steps, values in reader.driver.execute_script(script) if steps}
    return found if {"accuracy", "jsma_success/probabilities"} <= set(found) else {}


def test_networks_stand_side_by_side_on_temperature_accuracy_and_jsma(reader: Reader) -> None:
    reader.open(address(reader.experiment, NETWORKS).removeprefix("/#"))
    reader.see("2 Networks", "Networks side by side", "baseline", "control T=20")
    axes = reader.wait(lambda: axes_drawn(reader), "parallel coordinates")
    reader.photograph("networks")
    assert axes == list(AXES)


def axes_drawn(reader: Reader) -> list[str]:
    """The names of the axes of parallel coordinates, from left to right."""
    script = "return [...document.querySelectorAll('.parcoords .dimension')].map(axis => axis.__data__)"
    return list(reader.driver.execute_script(script))


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
    # MLflow opens on three parameters and one metric; the view of networks has JSMA's success, too
    axes = reader.wait(lambda: axes_of_comparison(reader), "parallel coordinates")
    assert axes == ["defense", "role", "temperature", "test_accuracy"]
    assert lines(reader)["temperature"] == ["1", "20"]
    assert lines(reader)["role"] == ["baseline", "defended"]
    assert lines(reader)["defense"] == ["none", "distillation"]
    for number, metric in enumerate(SHOWN):
        expected = [f"{round(measured(chain, name)[number], 3):g}" for name in ("baseline", "T=20")]
        assert reader.wait(lambda metric=metric: scrolled(reader, metric), metric) == expected
    for title in ("Metrics", "Parameters"):
        heading = reader.driver.find_elements("xpath", f"//*[normalize-space(text())='{title}']")[-1]
        reader.driver.execute_script("arguments[0].scrollIntoView()", heading)
        reader.photograph(f"compare_{title.lower()}")


def axes_of_comparison(reader: Reader) -> list[str]:
    """The names of the axes that the page which compares runs draws, from left to right."""
    script = (
        "return document.querySelector('.js-plotly-plot')?._fullData?.[0]?.dimensions?.map(axis => axis.label) ?? []"
    )
    return list(reader.driver.execute_script(script))


def lines(reader: Reader) -> dict[str, list[str]]:
    """What stands on one line of the comparison, from left to right, by its first word.

    Lines that are scrolled out of one table lie behind those of the next: cells of one line begin in tables of one top.
    """
    script = """
      const lines = [];
      for (const cell of document.querySelectorAll('td, th, .ReactVirtualized__Grid__innerScrollContainer > div')) {
        const box = cell.getBoundingClientRect();
        const table = cell.closest('table, .ReactVirtualized__Grid').getBoundingClientRect().top;
        let line = lines.find(line => Math.abs(line.top - box.top) <= 3 && Math.abs(line.table - table) <= 3);
        if (!line) lines.push(line = {top: box.top, table, cells: []});
        line.cells.push([box.left, cell.innerText.trim()]);
      }
      return lines.map(line => line.cells.sort((a, b) => a[0] - b[0]).map(cell => cell[1]));
    """
    return {first: rest for first, *rest in reader.driver.execute_script(script)}


def scrolled(reader: Reader, metric: str) -> list[str] | None:
    """The line of a metric, for which its table is scrolled on if need be."""
    found = lines(reader).get(metric)
    if not found:
        # MLflow's column of names follows its body one scroll event late: a last step of two pixels brings it there
        for step in (88, 2):
            reader.driver.execute_script(
                "[...document.querySelectorAll('.ReactVirtualized__Grid')]"
                ".filter(grid => ['auto', 'scroll'].includes(getComputedStyle(grid).overflowY))"
                f".forEach(grid => grid.scrollBy(0, {step}))"
            )
            time.sleep(0.3)
    return found


def test_losses_are_curves(reader: Reader, chain: Chain) -> None:
    ids = ",".join(f'"{run_id}"' for run_id in reader.models.values())
    reader.open(
        f'/metric?runs=[{ids}]&metric="loss"&experiments=["{reader.experiment}"]&plot_metric_keys=["loss"]&x_axis=step'
    )
    reader.see("baseline (loss)", "T=20 (loss)", f"(step={EPOCHS})")
    found = reader.wait(lambda: curves(reader), "two curves")
    reader.photograph("loss")
    for (name, steps, values), network in zip(found, ("teacher-1", "student"), strict=True):
        training = artifacts.read_manifest(chain.place(network)).facts["training"]
        assert name == ("baseline" if network == "teacher-1" else "T=20")
        assert steps == [epoch["epoch"] for epoch in training]
        assert values == [epoch["loss"] for epoch in training]
        assert f"{values[-1]} (step={EPOCHS})" in reader.text


def curves(reader: Reader) -> list[tuple[str, list[int], list[float]]]:
    """The curves of a chart: name, steps and values, once they are drawn."""
    script = """
      if (document.querySelectorAll('.js-plotly-plot path.js-line').length < 2) return [];
      return document.querySelector('.js-plotly-plot')._fullData.map(line => [line.name, line.x, line.y]);
    """
    # MLflow draws each curve twice, as it is and smoothed
    unique = {name: (name, steps, values) for name, steps, values in reader.driver.execute_script(script)}
    return list(unique.values())


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
