"""What `defdistill watch` reads in MLflow of a run that a cluster has recorded there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from defensive_distillation.model_id import BASELINE
from defensive_distillation.tracking import run_tree
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation_pipelines.cluster.following import results
from defensive_distillation_pipelines.cluster.progress import recorded
from defensive_distillation_pipelines.cluster.progress.sources import Sources
from defensive_distillation_pipelines.cluster.runs import Run
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from support.cluster.recorded import answer
from support.recording import ARTIFACTS, record

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

RUN = "33ec24d0-119a-419a-a053-705ad321d8c9"


def step(stage: str, part: str = "", *, model: bool = True) -> PlannedStep:
    return PlannedStep(
        stage=stage, model=BASELINE if model else None, part=part, needs=(), path=("exit-handler-1", stage + part)
    )


STEPS = [
    step("prepare_data", model=False),
    step("train_teacher"),
    step("attack", "jsma"),
    step("attack", "jsma+carlini"),
    step("evaluate"),
    step("report", model=False),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> str:
    """A sweep of a baseline, T = 20 and a control, but for its report."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_tree, "SETTLING", 0)
        tree = RunTree(uri, RUN, alone=True)
        for name in ARTIFACTS:
            if name != "report":
                record(chain, name, tree)
    return uri


@pytest.fixture(autouse=True)
def _recorded_there(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


def run(tasks: list[object] | None = None) -> Run:
    told = answer("run-succeeded") | {"state": "RUNNING", "state_history": []}
    return Run.of(told | {"run_details": {"task_details": tasks}} if tasks is not None else told)


def test_a_step_is_done_when_all_that_it_makes_is_recorded() -> None:
    assert recorded.view(RUN, STEPS).states == {
        ("exit-handler-1", "prepare_data"): "done",
        ("exit-handler-1", "train_teacher"): "done",
        ("exit-handler-1", "attackjsma"): "done",
        ("exit-handler-1", "evaluate"): "done",
    }


def test_a_run_that_has_recorded_nothing_has_no_steps_yet() -> None:
    assert recorded.view("another", STEPS).states == {}


def test_where_kubeflows_list_stands_still_mlflow_tells_and_it_is_said() -> None:
    view = Sources(None, "no kubeconfig", "kubeflow", STEPS).look(run())
    assert view.source.startswith("MLflow, which tells what is done but not what runs (no kubeconfig; the list has not")
    assert view.states["exit-handler-1", "evaluate"] == "done"


def test_while_kubeflows_list_is_alive_it_tells() -> None:
    now = datetime.now(UTC).isoformat()
    tasks: list[object] = [{"display_name": "root", "state": "RUNNING", "start_time": now, "child_tasks": []}]
    assert Sources(None, "no kubeconfig", "kubeflow", STEPS).look(run(tasks)).source.startswith("Kubeflow's list")


def test_the_table_of_a_clusters_run_is_made_from_what_stands_in_mlflow(capsys: pytest.CaptureFixture[str]) -> None:
    results(run()).tell(as_json=False, quiet=False)
    table = capsys.readouterr().out
    assert "JSMA success, %" in table
    networks = table[table.index("─") : table.index("Misclassified without an attack")]
    assert [line.split()[0] for line in networks.splitlines() if line.strip()][1:3] == ["none", "20"]


def test_the_table_is_found_in_whatever_experiment_the_cluster_records(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    results(run()).tell(as_json=False, quiet=False)
    assert "JSMA success, %" in capsys.readouterr().out


def test_without_a_server_it_is_said_where_the_table_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    found = results(run())
    (line,) = found.result
    assert str(line).startswith("table:   set MLFLOW_TRACKING_URI to see it here")
    assert found.document["table"] == "set MLFLOW_TRACKING_URI to see it here"


def test_the_document_of_a_clusters_run_has_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    results(run()).tell(as_json=True, quiet=False)
    document = json.loads(capsys.readouterr().out)
    assert [network["model"] for network in document["networks"]] == ["baseline", "T=20", "control T=20"]
    assert document["headline"]
