"""The gate as people and Kubeflow meet it: its exit code, its one line, its files, and its page."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from defensive_distillation import artifacts
from defensive_distillation.artifacts.evaluation import read_measured
from defensive_distillation.config import GateConfig
from defensive_distillation.errors import ArtifactError, GateError
from defensive_distillation.reporting.gate import write_gate
from defensive_distillation.runtime import step
from defensive_distillation.stages import gate
from defensive_distillation.tracking.status import RUN_DIR, statuses
from defensive_distillation_pipelines.commands import cli
from support.browser import chromium
from support.chain import Chain
from support.comparisons.measured import rewritten
from support.files import bytes_of

EVALUATIONS = ("evaluation-baseline", "evaluation", "evaluation-control")
Gate = Callable[..., tuple[int, str]]


@pytest.fixture
def better(chain: Chain, tmp_path: Path) -> list[str]:
    """A champion that the chain's student is clearly worse than: all images right, and none of them ever fooled."""
    with artifacts.opened(chain.place("evaluation"), "evaluation") as found:
        errors = read_measured(found).errors
    assert errors is not None
    arrays = {"correct": np.ones(60, dtype=np.bool_), "errors.linf": np.full(len(errors.linf), np.inf)}
    student = rewritten(chain.place("evaluation"), tmp_path / "better", arrays, accuracy=1.0)
    return [chain.place("evaluation-baseline"), student]


@pytest.fixture
def run(chain: Chain, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Runs the gate on the chain's sweep by its command; the exit code, and what it said."""

    def run(output: Path, *options: str) -> tuple[int, str]:
        evaluations = [chain.place(name) for name in EVALUATIONS]
        command = ["stage", "gate", "--evaluations", *evaluations, "--report", chain.place("report")]
        try:
            cli.main([*command, "--output", str(output), *options])
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def told(place: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((place / "gate.json").read_text())
    return found


def test_a_gate_without_a_champion_passes_and_says_so(run: Gate, tmp_path: Path) -> None:
    assert run(tmp_path / "gate") == (0, "")
    found = told(tmp_path / "gate")
    assert (found["outcome"], found["changes"]) == ("passed", [])
    assert "There is no champion to compare with, which is a pass" in (tmp_path / "gate" / "report.html").read_text()


def test_a_sweep_is_no_worse_than_itself(run: Gate, chain: Chain, tmp_path: Path) -> None:
    assert run(tmp_path / "gate", "--champion", *map(chain.place, EVALUATIONS)) == (0, "")
    found = told(tmp_path / "gate")
    changes = list(csv.DictReader((tmp_path / "gate" / "gate.csv").read_text().splitlines()))
    assert found["outcome"] == "passed"
    assert {row["model"] for row in changes} == {"baseline", "T=20"}
    assert {row["change"] for row in changes} == {"same"}
    assert all(row["paired"] == "True" for row in changes if row["measure"] != "masked")
    measures = {row["measure"].partition("/")[0] for row in changes}
    assert measures == {"accuracy", "robust_accuracy", "jsma_success", "distance", "masked"}


def test_a_worse_sweep_fails_with_its_artifact_whole(run: Gate, better: list[str], tmp_path: Path) -> None:
    place = tmp_path / "gate"
    code, said = run(place, "--champion", *better)
    assert code == 1
    assert re.match(r"defdistill: The sweep is worse than the champion: T = 20, accuracy: 6.* against 100 %", said), (
        said
    )
    assert said.count("\n") == 1
    assert "; and 1 more" in said
    with artifacts.opened(str(place), "gate") as artifact:
        assert artifact.facts["outcome"] == "failed"
        assert artifact.facts["failures"] == ["T=20: accuracy", "T=20: robust_accuracy/0.2"]
        digests = {json.dumps(artifacts.file_digest(Path(one, artifacts.MANIFEST))) for one in better}
        assert {json.dumps(digest) for digest in artifact.manifest.inputs["champion"]} == digests
    written = bytes_of(place)
    assert set(written) == {"gate.json", "gate.csv", "report.html", "manifest.json"}
    assert run(place, "--champion", *better) == (1, said), "it finds its result, and fails again"
    assert bytes_of(place) == written


@pytest.mark.parametrize(
    "options",
    [
        ("--accuracy.tolerance", "0.6", "--no-robust-accuracy.compared"),
        ("--no-accuracy.compared", "--no-robust-accuracy.compared"),
        ("--networks", "baseline"),
    ],
)
def test_rules_decide_what_fails(options: tuple[str, ...], run: Gate, better: list[str], tmp_path: Path) -> None:
    assert run(tmp_path / "gate", "--champion", *better, *options) == (0, "")


def test_a_network_that_the_sweep_lacks_fails_unless_it_may(chain: Chain, tmp_path: Path) -> None:
    def compared(**settings: str) -> None:
        gate.run(
            GateConfig.model_validate(settings),
            evaluations=[chain.place("evaluation-baseline")],
            champion=[chain.place("evaluation-baseline"), chain.place("evaluation")],
            report=chain.place("report"),
            output=str(tmp_path / f"gate-{len(settings)}"),
        )

    with pytest.raises(
        GateError, match=r"T = 20, accuracy cannot be compared \(the network was evaluated before only\)"
    ):
        compared()
    compared(incomparable="pass")


def test_another_page_than_a_report_is_refused() -> None:
    with pytest.raises(ArtifactError, match="expected a page of the stage report"):
        write_gate(None, "<html></html>")


def test_an_evaluation_of_an_earlier_version_is_refused(run: Gate, chain: Chain, tmp_path: Path) -> None:
    old = rewritten(chain.place("evaluation"), tmp_path / "old", change=lambda facts: facts.pop("samples"))
    code, said = run(tmp_path / "gate", "--champion", old)
    assert (code, said.count("\n")) == (2, 1)
    assert "expected an evaluation that tells of each sample, got one of an earlier version" in said


class Given:
    """What Kubeflow hands to a step."""

    def __init__(self, path: str) -> None:
        self.path = self.uri = path
        self.metadata: dict[str, object] = {}


def test_a_step_that_fails_its_gate_says_where_it_left_the_reasons(
    chain: Chain, better: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "run"))
    monkeypatch.setattr(step, "log_to_file", lambda task: None)  # it would take this process's own output
    inputs = {
        "evaluations": [Given(chain.place(name)) for name in EVALUATIONS],
        "report": Given(chain.place("report")),
        "champion": [Given(place) for place in better],
    }
    with pytest.raises(SystemExit) as ended:
        step.run("gate", {}, inputs, Given(str(tmp_path / "gate")), {})
    assert ended.value.code == 1
    (status,) = statuses(tmp_path / "run" / "progress").values()
    assert (status.state, status.exit_code, status.artifact) == ("failed", 1, str(tmp_path / "gate"))
    assert artifacts.exists(status.artifact)


def test_the_report_shows_the_gate_first(run: Gate, chain: Chain, better: list[str], tmp_path: Path) -> None:
    place, photographs = tmp_path / "gate", os.environ.get("DEFDISTILL_SCREENSHOTS")
    run(place, "--champion", *better)
    report, page = (Path(chain.place("report"), "report.html").read_text(), (place / "report.html").read_text())
    start, end = page.index("<style>.gate"), page.index("</section>\n") + len("</section>\n")
    assert page[: start - 1] + page[end:] == report, "the report itself is as it was"
    with chromium(tmp_path / "profile") as driver:
        driver.get(f"file://{place}/report.html")
        first = driver.find_element("css selector", "main > :not(style)")
        assert first.get_attribute("id") == "gate"
        assert "Gate failed" in first.text
        assert "accuracy" in driver.find_element("css selector", "#gate table").text
        assert driver.find_element("css selector", "#gate .fails").is_displayed()
        if photographs:
            Path(photographs).mkdir(parents=True, exist_ok=True)
            driver.save_screenshot(str(Path(photographs, "gate.png")))
            driver.find_element("css selector", "#gate summary").click()
            driver.save_screenshot(str(Path(photographs, "gate_open.png")))
        for width in (1400, 500):
            driver.set_window_size(width, 900)
            wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"the page is wider than a window of {width}"
            if photographs:
                driver.save_screenshot(str(Path(photographs, f"gate_{width}.png")))
        assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []
