"""A stage as a step: what stands in MLflow and in the pod's last word, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.artifacts import storage
from defensive_distillation.runtime import failure, step
from defensive_distillation.runtime.kubeflow.artifact import Given, inputs_of
from defensive_distillation.tracking import run_tree
from defensive_distillation.tracking.records import REASON
from defensive_distillation.tracking.run_tree import RunTree
from support.recording import children

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

GONE = "expected the artifact of an earlier step, found nothing: Kubeflow's cache still names what was deleted; "
HOPELESS = {"epochs": 1, "batch_size": 16, "learning_rate": 1e6, "temperature": 20}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"


@pytest.fixture
def run(request: pytest.FixtureRequest, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a run whose steps record in MLflow."""
    name: str = request.node.name
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("KFP_RUN_ID", name)
    monkeypatch.setattr(run_tree, "SETTLING", 0)
    return name


@pytest.fixture
def last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that Kubernetes reads the last word of a pod from."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(failure, "TERMINATION_LOG", path)
    return path


def given(chain: Chain, **names: str) -> dict[str, Given]:
    """Artifacts of the chain as a step is given them."""
    return {name: Given(name, chain.place(place)) for name, place in names.items()}


def failed(stage: str, settings: Mapping[str, Any], inputs: Mapping[str, Any], output: Path) -> int | str | None:
    """The exit code of a step that fails."""
    with pytest.raises(SystemExit) as ended:
        step.run(stage, settings, inputs, Given("result", str(output)), {})
    return ended.value.code


def test_a_step_that_fails_says_why_in_its_pod_and_on_its_network(
    run: str, database: str, chain: Chain, tmp_path: Path, last_word: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = given(chain, dataset="dataset", soft_labels="soft-labels")
    assert failed("train_student", HOPELESS, inputs, tmp_path / "model") == 1
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith("train_student-T=20: training at T = 20 diverged")
    assert last_word.read_text() == said[-1]
    child = children(RunTree(database, run))["T=20"]
    assert (child.info.status, child.data.tags[REASON]) == ("FAILED", said[-1])


def test_a_step_for_the_sweep_as_a_whole_leaves_the_sweeps_run_open(
    run: str, database: str, tmp_path: Path, last_word: Path
) -> None:
    assert failed("prepare_data", {"source": "nowhere"}, {}, tmp_path / "dataset") == 2
    tree = RunTree(database, run)
    parent = tree.client.get_run(tree.parent_id)
    assert (parent.info.status, parent.data.tags[REASON]) == ("RUNNING", last_word.read_text())


def test_a_cached_artifact_that_is_gone_is_told_as_such_and_stands_in_mlflow(
    run: str, database: str, tmp_path: Path, last_word: Path, s3_bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for place in (f"{s3_bucket}/gone", f"{s3_bucket}/gone".replace("s3:", "minio:"), "gs://bucket/gone", "/no/such"):
        assert failed("train_teacher", {}, {"dataset": Given("dataset", place)}, tmp_path / "model") == 2
        assert last_word.read_text() == f"train_teacher: {place}: {GONE}submit again with --no-cache"
        assert capfd.readouterr().err == f"{last_word.read_text()}\n"
    tree = RunTree(database, run)
    assert tree.client.get_run(tree.parent_id).data.tags[REASON] == last_word.read_text()


def test_where_mlflow_is_down_the_first_reason_is_told(
    run: str, tmp_path: Path, last_word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert failed("prepare_data", {"train_limit": -1}, {}, tmp_path / "dataset") == 2
    assert "train_limit" in last_word.read_text()
    assert failed("prepare_data", {}, {}, tmp_path / "dataset") == 1
    assert last_word.read_text().startswith("prepare_data: MLflow at http://127.0.0.1:9 did not take the results")


def test_outside_of_a_pod_there_is_no_last_word(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(failure, "TERMINATION_LOG", tmp_path / "none")
    assert failed("prepare_data", {"source": "nowhere"}, {}, tmp_path / "dataset") == 2
    assert not (tmp_path / "none").exists()
    assert capfd.readouterr().err.count("\n") == 1


def test_an_error_of_our_own_making_shows_where_it_came_from(
    tmp_path: Path, last_word: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        step.run("prepare_data", {}, {}, Given("dataset", str(tmp_path / "dataset")), {"no such": 1})
    assert ended.value.code == 1
    assert "Traceback" in capfd.readouterr().err
    assert "\n" not in last_word.read_text()


def test_artifacts_are_known_by_where_others_find_them(
    run: str, database: str, chain: Chain, tmp_path: Path, s3_bucket: str
) -> None:
    """An input lies on S3 here, as in a rerun; the output is uploaded by Kubeflow."""
    place = f"{s3_bucket}/dataset"
    for path in Path(chain.place("dataset")).iterdir():
        storage.write_bytes(f"{place}/{path.name}", path.read_bytes())
    output = Uploaded("model", str(tmp_path / "model"))
    settings = {"epochs": 1, "batch_size": 64, "minimum_progress": 0}
    step.run("train_teacher", settings, {"dataset": Given("dataset", place)}, output, {})
    assert output.metadata == {}, "Kubeflow would tell it six times to each step that reads the model"
    tags = children(RunTree(database, run))["baseline"].data.tags
    assert tags["defdistill.artifact.train_teacher"] == "s3://elsewhere/model"


class Uploaded(Given):
    """An artifact that lies here and that others find elsewhere."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, f"s3://elsewhere/{name}")
        self._path = path

    @property
    def path(self) -> str:
        return self._path


def test_an_evaluation_says_what_it_was_made_from_and_the_report_records_it_where_it_was_cached(
    run: str, database: str, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks = [Given("attacks", chain.place(name)) for name in ("attack", "others")]
    inputs = {**given(chain, dataset="dataset", model="student"), "attacks": attacks}
    output = Given("evaluation", str(tmp_path / "evaluation"))
    with monkeypatch.context() as elsewhere:  # another run has made it
        elsewhere.delenv("MLFLOW_TRACKING_URI")
        step.run("evaluate", {"gradient_samples": 5}, inputs, output, {})
    behind = {
        "dataset": [chain.place("dataset")],
        "model": [chain.place("student")],
        "attacks": [chain.place("attack"), chain.place("others")],
    }
    assert inputs_of(output.metadata["made_from"], output.uri) == behind

    evaluations = [output, Given("evaluation", chain.place("evaluation-baseline"))]
    step.run("report", {}, {"evaluations": evaluations}, Given("report", str(tmp_path / "report")), {})
    tree = RunTree(database, run)
    found = children(tree)
    assert set(found) == {"T=20"}, "of the other nothing says that it has come from a cache"
    student = found["T=20"]
    assert student.info.status == "FINISHED"
    assert student.data.metrics["accuracy"] == artifacts.read_manifest(output.uri).facts["evaluation"]["accuracy"]
    assert student.data.tags["defdistill.artifact.evaluate"] == output.uri
    assert {name: student.data.tags[f"defdistill.behind.{name}"].split("\n") for name in behind} == behind
    assert tree.client.get_run(tree.parent_id).info.status == "FINISHED"
