"""A stage of an earlier run again: MLflow says where its artifacts lie, and they what they were made from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.runtime.kubeflow.again import again, stored_inputs
from defensive_distillation.runtime.kubeflow.artifact import Given
from defensive_distillation.tracking import run_tree
from defensive_distillation.tracking.connection import PARENT
from defensive_distillation.tracking.lineage import locations, newest
from defensive_distillation.tracking.records import StepRecorder
from defensive_distillation.tracking.run_tree import RunTree
from support.recording import ARTIFACTS, children, record

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

FIRST = "9dcd9791"  # Kubeflow's id of the earlier run
BRIEF = {"jsma": {"sources": 1, "max_features": 2}}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"


@pytest.fixture(scope="module")
def sweep(database: str, chain: Chain) -> RunTree:
    """An earlier run of a baseline, T = 20 and a control."""
    tree = RunTree(database, FIRST, alone=True)
    for name in ARTIFACTS:
        record(chain, name, tree)
    return tree


@pytest.fixture(autouse=True)
def _later(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a step of a later run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    monkeypatch.setattr(run_tree, "SETTLING", 0)


def rerun(stage: str, output: Path, request: Mapping[str, Any], name: str = "again") -> artifacts.Manifest:
    again(stage, request, Given("result", str(output)), {"rerun": name} if name else {})
    return artifacts.read_manifest(str(output))


def digest(place: str) -> str:
    return artifacts.stored(place).digest


# Where artifacts lie


def test_all_artifacts_of_a_run_are_named_once(sweep: RunTree, chain: Chain) -> None:
    found = locations(FIRST)
    assert sorted(found) == sorted(map(chain.place, ARTIFACTS))


def test_the_newest_of_a_name_is_what_a_rerun_made_of_it(database: str, sweep: RunTree, chain: Chain) -> None:
    assert newest(FIRST, "prepare_data") == chain.place("dataset")
    assert newest(FIRST, "gate") == ""
    beside = RunTree(database, FIRST, rerun="prepare_data again", parent=sweep.parent_id)
    with artifacts.opened(chain.place("dataset"), "dataset") as dataset:
        StepRecorder(beside, {dataset.location: "s3://bucket/again"}).record(dataset)
    assert newest(FIRST, "prepare_data") == "s3://bucket/again"


def test_artifacts_behind_an_evaluation_from_the_cache_are_named_too(database: str, chain: Chain) -> None:
    tree = RunTree(database, "cached", alone=True)
    behind = {"model": [chain.place("student")], "attacks": [chain.place("attack"), chain.place("others")]}
    with artifacts.opened(chain.place("evaluation"), "evaluation") as evaluation:
        StepRecorder(tree).record(evaluation, behind)
    assert set(locations("cached")) == {chain.place(name) for name in ("student", "attack", "others", "evaluation")}


def test_a_run_that_kubeflows_integration_holds_in_an_experiment_of_its_own_is_found(
    database: str, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RunTree(database, "elsewhere", alone=True).client
    root = client.create_run(client.create_experiment("of Kubeflow's own")).info.run_id
    tree = RunTree(database, "with the plugin", parent=root)
    for name in ("dataset", "teacher-1"):
        record(chain, name, tree)
    assert set(locations("with the plugin")) == {chain.place("dataset"), chain.place("teacher-1")}


@pytest.mark.parametrize("name", ["no such run", "it's", 'say "x"'])
def test_a_run_that_mlflow_does_not_know_is_said(sweep: RunTree, name: str) -> None:
    with pytest.raises(InputError, match=r"rerun: expected a run that MLflow at sqlite:.* knows, got "):
        locations(name)


def test_without_mlflow_nobody_knows_where_artifacts_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(TrackingError, match="expected MLFLOW_TRACKING_URI, where the runs say what they have made"):
        locations(FIRST)


# The inputs of a stage


def made(chain: Chain, *names: str) -> list[Stored]:
    return [artifacts.stored(place) for place in map(chain.place, names)]


@pytest.mark.parametrize(
    ("stage", "label", "expected"),
    [
        ("prepare_data", "", {}),
        ("train_teacher", "baseline", {"dataset": ["dataset"]}),
        ("train_teacher", "T=20", {"dataset": ["dataset"]}),
        ("generate_soft_labels", "T=20", {"dataset": ["dataset"], "teacher": ["teacher-20"]}),
        ("train_student", "T=20", {"dataset": ["dataset"], "soft_labels": ["soft-labels"]}),
        ("attack", "T=20", {"dataset": ["dataset"], "model": ["student"], "surrogate": ["teacher-1"]}),
        ("attack", "baseline", {"dataset": ["dataset"], "model": ["teacher-1"]}),
        ("attack", "control T=20", {"dataset": ["dataset"], "model": ["teacher-1"], "surrogate": ["teacher-1"]}),
        ("evaluate", "T=20", {"dataset": ["dataset"], "model": ["student"], "attacks": ["attack", "others"]}),
    ],
)
def test_the_inputs_of_a_stage_are_those_that_its_artifact_names(
    chain: Chain, stage: str, label: str, expected: Mapping[str, list[str]]
) -> None:
    places, settings = stored_inputs(stage, label, made(chain, *ARTIFACTS))
    assert {name: sorted(found) for name, found in places.items()} == {
        name: sorted(map(chain.place, names)) for name, names in expected.items()
    }
    if stage == "attack":
        assert settings["jsma"]["sources"] == 7, "of several steps of attacks the paper's"
        assert (settings["shards"], settings["shard"]) == (1, 0)
        assert settings["logit_scale"] == (20 if label.startswith("control") else 1)


def test_a_stage_that_was_not_run_for_a_network_is_answered_with_those_that_were(chain: Chain) -> None:
    expected = (
        "rerun: expected a stage of T=20, baseline, control T=20, which baseline has as attack, evaluate, "
        "train_teacher, got train_student"
    )
    with pytest.raises(InputError, match=expected):
        stored_inputs("train_student", "baseline", made(chain, *ARTIFACTS))
    with pytest.raises(InputError, match="which T=7 has as none, got attack"):
        stored_inputs("attack", "T=7", made(chain, *ARTIFACTS))


def test_an_input_that_is_gone_is_named_by_its_digest(chain: Chain) -> None:
    without = [name for name in ARTIFACTS if name != "soft-labels"]
    gone = digest(chain.place("soft-labels"))[:12]
    with pytest.raises(InputError, match=f"expected the artifact {gone} of the earlier run, it is no longer there"):
        stored_inputs("train_student", "T=20", made(chain, *without))


# Run again


def test_a_stage_again_has_its_old_inputs_and_changed_settings_and_is_recorded_beside_the_first(
    sweep: RunTree, chain: Chain, tmp_path: Path
) -> None:
    request = {"runs": [FIRST], "model": "control T=20", "changes": BRIEF}
    found = rerun("attack", tmp_path / "attack", request, "rerun attack jsma.sources=1")
    assert found.inputs == {
        name: [digest(chain.place(p))] for name, p in (("dataset", "dataset"), ("model", "teacher-1"))
    }
    assert (found.config["jsma"]["sources"], found.config["logit_scale"]) == (1, 20)
    mine = children(sweep)["control T=20 rerun attack jsma.sources=1"]
    assert mine.info.status == "FINISHED"
    assert mine.data.tags["defdistill.artifact.attack.jsma"] == str(tmp_path / "attack")
    assert mine.data.tags["defdistill.pipeline_run"] == FIRST
    with pytest.raises(InputError):
        locations("0f3a")  # the later run makes none of its own in MLflow


def test_a_rerun_stands_beside_the_first_whatever_kubeflow_has_made_for_its_own_run(
    sweep: RunTree, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PARENT, sweep.client.create_run(sweep.experiment_id).info.run_id)
    rerun("attack", tmp_path / "attack", {"runs": [FIRST], "model": "baseline", "changes": BRIEF}, "again elsewhere")
    assert "baseline again elsewhere" in children(sweep)


def test_a_report_over_several_runs_has_each_network_once(
    sweep: RunTree, database: str, chain: Chain, tmp_path: Path
) -> None:
    """Of a network that two runs have, such as the baseline, the first's."""
    other = RunTree(database, "second", alone=True)
    for name in ("evaluation-baseline", "evaluation-control"):
        shutil.copytree(chain.place(name), tmp_path / name)
        with artifacts.opened(str(tmp_path / name), "evaluation") as evaluation:
            StepRecorder(other).record(evaluation)
    found = rerun("report", tmp_path / "report", {"runs": ["second", FIRST], "changes": {"title": "Both"}}, "")
    assert found.facts["models"] == ["baseline", "T=20", "control T=20"]
    assert found.config["title"] == "Both"
    whole = RunTree(database, "0f3a")
    assert whole.client.get_run(whole.parent_id).data.params["models"] == "baseline, T=20, control T=20"


def test_a_stage_of_artifacts_that_are_named_needs_no_mlflow(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    inputs = {"dataset": [chain.place("dataset")], "model": [chain.place("student")]}
    found = rerun("attack", tmp_path / "attack", {"inputs": inputs, "settings": BRIEF})
    assert found.config["jsma"]["sources"] == 1
    assert f"attack: model is {chain.place('student')}\n" in capsys.readouterr().out


def test_what_cannot_be_run_again_ends_in_one_line(
    sweep: RunTree, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for request, code, said in (
        ({"runs": ["no such run"], "model": "T=20"}, 2, "rerun attack: rerun: expected a run that MLflow"),
        ({"runs": [FIRST], "model": "T=7"}, 2, "rerun attack: rerun: expected a stage of T=20, baseline, "),
        ({"runs": [FIRST], "model": "T=20", "changes": {"hope": 1}}, 2, "attack: attack.hope: expected a setting of"),
    ):
        with pytest.raises(SystemExit) as ended:
            rerun("attack", tmp_path / "attack", request)
        lines = capfd.readouterr().err.splitlines()
        assert ended.value.code == code
        assert len(lines) == 1
        assert lines[0].startswith(said)
    assert not (tmp_path / "attack").exists()
