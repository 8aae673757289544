from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts, config
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.model_id import BASELINE
from defensive_distillation.runtime import checkpoints
from defensive_distillation.stages import attack, train_teacher
from defensive_distillation.tracking import records
from defensive_distillation.tracking.client import EXPERIMENT, TIME_LIMIT
from defensive_distillation.tracking.connection import PARENT, recorder
from defensive_distillation.tracking.run_tree import RunTree
from support import mlflow_server
from support.recording import ARTIFACTS, EPOCHS, children, files, record, runs_of, values

if TYPE_CHECKING:
    from mlflow.entities import Run

    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

STUDENT = distillation.student(20.0)


@pytest.fixture
def gate(server: str) -> Iterator[mlflow_server.Gate]:
    with mlflow_server.Gate(server) as gate:
        yield gate


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"


@pytest.fixture(scope="module")
def sweep(database: str, chain: Chain) -> RunTree:
    """A sweep of a baseline, T = 20 and a control, from finished artifacts."""
    tree = RunTree(database, "digits-1", alone=True)
    for name in ARTIFACTS:
        record(chain, name, tree)
    return tree


def evaluation(chain: Chain, model: str) -> dict[str, Any]:
    suffix = {"baseline": "-baseline", "T=20": "", "control T=20": "-control"}[model]
    found: dict[str, Any] = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts["evaluation"]
    return found


def test_a_sweep_is_one_run_with_a_child_for_each_model(sweep: RunTree) -> None:
    parent = sweep.client.get_run(sweep.parent_id)
    assert len(runs_of(sweep)) == 4
    assert parent.info.run_name == "digits-1"
    assert sweep.client.get_experiment(sweep.experiment_id).name == EXPERIMENT
    assert set(children(sweep)) == {"baseline", "T=20", "control T=20"}
    assert [run.info.status for run in (parent, *children(sweep).values())] == ["FINISHED"] * 4
    sections = ("train_teacher.", "train_student.", "attack.", "evaluate.")
    settings = {name: value for name, value in parent.data.params.items() if name.startswith(sections)}
    assert settings["train_teacher.epochs"] == settings["train_student.epochs"] == str(EPOCHS)
    assert settings["attack.jsma.max_features"] == "20"
    assert settings["attack.bounded.epsilons"] == "[0.2, 1.0]"
    assert settings["evaluate.gradient_samples"] == "10000"
    assert {name: value for name, value in parent.data.params.items() if name not in settings} == {
        "dataset": "digits",
        "classes": "10",
        "image_shape": "1×28×28",
        "train_images": "300",
        "test_images": "60",
        "architecture": "papernot_mnist",
        "seed": "0",
        "models": "baseline, T=20, control T=20",
    }


def test_all_models_have_the_same_parameters_and_metrics(sweep: RunTree, chain: Chain) -> None:
    baseline, student = children(sweep)["baseline"].data, children(sweep)["T=20"].data
    assert set(baseline.params) == set(student.params)
    of_teacher = {name for name in student.metrics if name.startswith(("teacher_", "soft_label_"))}
    assert len(of_teacher) == 5
    missing: dict[str, set[str]] = {}  # so small an attack may reach no class from every source, or none at all
    for label, run in (("baseline", baseline), ("T=20", student)):
        found = evaluation(chain, label)
        named = {
            **{
                f"cw_mean/{one['norm']}_{case}": one[case]["mean_distance"]
                for one in found["distances"]
                for case in ("best", "average", "worst")
            },
            **{
                f"{one['attack']}_{short}/{one['output']}": one[f"mean_{long}"]
                for one in found["attacks"]
                for short, long in (("changed", "changed_features"), ("distortion", "distortion"))
            },
        }
        assert len(named) == 9 + 10
        missing[label] = {name for name, mean in named.items() if mean is None}
        told = {name for name in run.metrics if name.startswith("cw_mean/") or re.match("jsma.*_(changed|dist)", name)}
        assert told == set(named) - missing[label]
    assert set(baseline.metrics) | missing["baseline"] == (set(student.metrics) | missing["T=20"]) - of_teacher - {
        "transfer_success",
        "images/transfer",
    }


def test_a_models_parameters_tell_it_from_the_others_and_are_no_more(sweep: RunTree) -> None:
    """MLflow compares runs by what differs, in the order of the alphabet: what is equal stands on the sweep's run."""
    assert {name: run.data.params for name, run in children(sweep).items()} == {
        "baseline": {"temperature": "1", "role": "baseline", "defense": "none"},
        "T=20": {"temperature": "20", "role": "defended", "defense": "distillation"},
        "control T=20": {"temperature": "20", "role": "control", "defense": "distillation"},
    }


def test_numbers_are_those_of_the_evaluation(sweep: RunTree, chain: Chain) -> None:
    for name in ("baseline", "T=20"):
        found, metrics = evaluation(chain, name), children(sweep)[name].data.metrics
        assert metrics["accuracy"] == found["accuracy"]
        for output in ("probabilities", "logits", "scaled"):
            measured = next(one for one in found["attacks"] if (one["attack"], one["output"]) == ("jsma", output))
            assert metrics[f"jsma_success/{output}"] == measured["success_rate"]
            assert metrics[f"jsma_robustness/{output}"] == measured["robustness"]


def test_trainings_are_curves_by_epoch(sweep: RunTree, chain: Chain) -> None:
    for model, prefix, network in (
        ("baseline", "", "teacher-1"),
        ("control T=20", "", "teacher-1"),
        ("T=20", "", "student"),
        ("T=20", "teacher_", "teacher-20"),
    ):
        training = artifacts.read_manifest(chain.place(network)).facts["training"]
        found = values(sweep.client, children(sweep)[model])
        for name in ("loss", "train_accuracy", "test_accuracy"):
            expected = [(epoch["epoch"], epoch[name]) for epoch in training]
            assert sorted(found[prefix + name]) == expected
            assert [step for step, _ in expected] == list(range(1, EPOCHS + 1))
    assert not [name for name in children(sweep)["baseline"].data.metrics if name.startswith("teacher_")]


def test_the_report_lies_on_the_sweep_and_samples_on_its_models(sweep: RunTree, chain: Chain, tmp_path: Path) -> None:
    stored = Path(chain.place("report"))
    assert files(sweep.client, sweep.parent_id) == {
        f"report/{path.relative_to(stored).as_posix()}": path.stat().st_size
        for path in stored.rglob("*")
        if path.is_file()
    }
    for name in ("baseline", "T=20"):
        run_id = children(sweep)[name].info.run_id
        assert set(files(sweep.client, run_id)) == {
            "evaluation.json",
            "evaluation/manifest.json",
            "evaluation/tensors.safetensors",
            "samples/examples.png",
            *(f"samples/jsma_{output}.png" for output in ("probabilities", "logits", "scaled")),
        }
        content = Path(sweep.client.download_artifacts(run_id, "evaluation.json", str(tmp_path))).read_text()
        assert json.loads(content) == evaluation(chain, name)
        picture = Path(sweep.client.download_artifacts(run_id, "samples/jsma_scaled.png", str(tmp_path)))
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_tags_lead_from_a_number_to_where_it_came_from(sweep: RunTree, chain: Chain) -> None:
    dataset = artifacts.file_digest(Path(chain.place("dataset"), artifacts.MANIFEST))
    parent = sweep.client.get_run(sweep.parent_id).data.tags
    models = {name: run.data.tags for name, run in children(sweep).items()}
    for tags in (parent, *models.values()):
        assert tags["defdistill.pipeline_run"] == "digits-1"
        assert tags["defdistill.dataset"] == dataset
        assert tags["defdistill.version"]
    assert parent["defdistill.stage"] == "report"
    assert parent["defdistill.seed"] == "0"
    assert parent["defdistill.artifact.report"] == chain.place("report")
    assert {name: tags["defdistill.temperature"] for name, tags in models.items()} == {
        "baseline": "1",
        "T=20": "20",
        "control T=20": "20",
    }
    assert models["control T=20"]["defdistill.artifact.attack.jsma"] == chain.place("attack-control")
    for stage, name in (
        ("train_teacher", "teacher-20"),
        ("generate_soft_labels", "soft-labels"),
        ("train_student", "student"),
        ("attack.jsma", "attack"),
        ("attack.pgd", "others"),
        ("attack.transfer", "others"),
        ("evaluate", "evaluation"),
    ):
        assert models["T=20"][f"defdistill.artifact.{stage}"] == chain.place(name)
        code = artifacts.read_manifest(chain.place(name)).code
        assert models["T=20"][f"defdistill.code.{stage.partition('.')[0]}"] == code
    assert models["T=20"]["defdistill.stage"] == "evaluate"


def test_artifacts_that_are_recorded_again_change_nothing(sweep: RunTree, chain: Chain) -> None:
    def snapshot() -> dict[str, Any]:
        return {
            run.info.run_id: (
                run.info.status,
                run.data.params,
                {name: tag for name, tag in run.data.tags.items() if name != "defdistill.stage"},
                values(sweep.client, run),
                files(sweep.client, run.info.run_id),
            )
            for run in runs_of(sweep)
        }

    before = snapshot()
    again = RunTree(sweep.uri, "digits-1")
    for name in ("dataset", "teacher-20", "soft-labels", "student", "attack-control", "attack", "others", "evaluation"):
        record(chain, name, again)
    record(chain, "report", again)
    assert snapshot() == before


def test_a_server_takes_what_a_database_takes(server: str, sweep: RunTree, chain: Chain) -> None:
    tree = RunTree(server, "digits-1", alone=True)
    for name in ("dataset", "teacher-20", "soft-labels", "student", "attack", "others", "evaluation", "report"):
        record(chain, name, tree)
    here, there = children(sweep)["T=20"], children(tree)["T=20"]
    assert (there.data.params, there.data.metrics) == (here.data.params, here.data.metrics)
    assert values(tree.client, there) == values(sweep.client, here)
    assert files(tree.client, there.info.run_id) == files(sweep.client, here.info.run_id)
    assert files(tree.client, tree.parent_id) == files(sweep.client, sweep.parent_id)


def test_a_rerun_has_runs_of_its_own_beside_the_first(sweep: RunTree, chain: Chain) -> None:
    before = {run.info.run_id: (run.data.to_dictionary(), run.info.status) for run in runs_of(sweep)}
    for _ in range(2):
        record(chain, "attack", RunTree(sweep.uri, "digits-1", rerun="rerun attack max_features=20", alone=True))
    record(chain, "teacher-20", RunTree(sweep.uri, "digits-1", rerun="rerun train_teacher", alone=True))
    record(chain, "report", RunTree(sweep.uri, "digits-1", rerun="rerun report title=It's new", alone=True))
    try:
        found = children(sweep)
        mine = found["T=20 rerun attack max_features=20"]
        assert mine.info.status == "FINISHED"
        assert mine.data.params["attack.jsma.max_features"] == "20"
        assert len(values(sweep.client, mine)["jsma_reached/logits"]) == 1
        taught = found["T=20 rerun train_teacher"]
        assert (taught.info.status, taught.data.params["train_teacher.epochs"]) == ("FINISHED", str(EPOCHS))
        assert taught.data.metrics["teacher_loss"] > 0
        assert "report/report.html" in files(sweep.client, found["rerun report title=It's new"].info.run_id)
        again = {run.info.run_id: (run.data.to_dictionary(), run.info.status) for run in runs_of(sweep)}
        assert {run_id: again[run_id] for run_id in before} == before
    finally:
        for run in runs_of(sweep):
            if run.info.run_id not in before:
                sweep.client.delete_run(run.info.run_id)


def test_a_shard_of_an_attack_has_a_place_of_its_own_and_no_rate_of_success(database: str, chain: Chain) -> None:
    tree = RunTree(database, "shards", alone=True)
    with artifacts.opened(chain.place("attack"), "attack") as whole:
        settings = {**whole.manifest.config, "shards": 4, "shard": 1}
        shard = dataclasses.replace(whole, manifest=whole.manifest.model_copy(update={"config": settings}))
        records.record(tree, shard, location="s3://bucket/shard")
    run = children(tree)["T=20"]
    assert run.data.metrics == {}
    assert tree.client.get_run(tree.parent_id).data.params["attack.shards"] == "4"
    assert run.data.tags["defdistill.artifact.attack.jsma.2of4"] == "s3://bucket/shard"
    assert run.info.status == "RUNNING"


def test_processes_that_begin_at_the_same_moment_share_their_runs(server: str) -> None:
    together, shared = threading.Barrier(4), []

    def begin() -> None:
        together.wait()
        tree = RunTree(server, "race")
        shared.append((tree.parent_id, tree.model(STUDENT).run_id))

    RunTree(server, "before", alone=True)  # imports MLflow
    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shared) == 4
    assert len(set(shared)) == 1
    tree = RunTree(server, "race")
    assert (tree.parent_id, tree.model(STUDENT).run_id) == shared[0]
    assert len(runs_of(tree)) == 2


def test_any_name_finds_its_run_again(database: str) -> None:
    for name in ("it's", 'say "x"', "both ' and \"", "x" * 300, "back\\slash", "50 % ≥ é"):
        first = RunTree(database, name, rerun=name, alone=True)
        again = RunTree(database, name, rerun=name, alone=True)
        assert again.parent_id == first.parent_id
        assert again.model(STUDENT).run_id == first.model(STUDENT).run_id
        assert first.client.get_run(first.parent_id).info.run_name == name


def test_a_parameter_keeps_its_first_value_and_a_metric_shows_its_last(database: str) -> None:
    tree = RunTree(database, "changed", alone=True)
    for epochs, accuracy, last in ((5, 0.9, 0.5), (6, 0.8, 0.4), (6, 0.8, 0.4)):
        run = RunTree(database, "changed", alone=True).model(STUDENT)
        run.params({"epochs": epochs, "lasting": 1.5})
        run.metrics({"accuracy": accuracy, "tiny": 1e-300, "never_measured": None})
        run.curves([{"loss": 1.0}, {"loss": last}])
        time.sleep(0.002)  # MLflow tells values of a step apart by milliseconds
    data = children(tree)["T=20"].data
    assert data.params == {"epochs": "5", "lasting": "1.5"}
    assert data.metrics == {"accuracy": 0.8, "tiny": 1e-300, "loss": 0.4}
    found = values(tree.client, children(tree)["T=20"])
    assert sorted(found["accuracy"]) == [(0, 0.8), (0, 0.9)]
    assert sorted(found["loss"]) == [(1, 1.0), (2, 0.4), (2, 0.5)]


def test_files_of_a_database_lie_beside_it(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunTree(database, "files", alone=True).sweep()
    run.files({"folder/one.txt": b"1"})
    run.files({"folder/one.txt": b"2"})
    place = Path(database.removeprefix("sqlite:///")).parent / "mlartifacts" / run.run_id
    assert (place / "artifacts" / "folder" / "one.txt").read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == []


def test_recording_prints_nothing(database: str, server: str, capfd: pytest.CaptureFixture[str]) -> None:
    for store in (database, server):
        tree = RunTree(store, "quiet", alone=True)
        tree.model(STUDENT).ended()
        tree.sweep().ended("FAILED")
        assert tree.client.get_run(tree.parent_id).info.status == "FAILED"
        tree.sweep().begun()
        assert tree.client.get_run(tree.parent_id).info.status == "RUNNING"
    assert capfd.readouterr() == ("", "")


def test_without_the_usual_variable_nothing_is_recorded_nor_in_a_step_of_a_local_run(tmp_path: Path) -> None:
    assert recorder() is None
    code = (
        "import sys; from defensive_distillation.tracking.connection import recorder; "
        "sys.exit(recorder() is not None or 'mlflow' in sys.modules or 'torch' in sys.modules)"
    )
    told = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "DEFDISTILL_RUN_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, **told}).returncode == 0


def test_the_usual_variables_say_where_and_as_what(
    database: str, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of my own")
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    to = recorder(locations={chain.place("dataset"): "s3://bucket/dataset"})
    assert to is not None
    with artifacts.opened(chain.place("dataset"), "dataset") as artifact:
        to.record(artifact)
    tree = RunTree(database, "0f3a")
    assert tree.client.get_experiment(tree.experiment_id).name == "of my own"
    (run,) = runs_of(tree)
    assert run.info.run_name == "0f3a"
    assert run.data.tags["defdistill.artifact.prepare_data"] == "s3://bucket/dataset"


@pytest.mark.parametrize("by", ["step", "nested step", "loop", "ours"])
def test_a_run_that_was_made_before_is_adopted(
    database: str, chain: Chain, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    client = RunTree(database, "elsewhere", alone=True).client
    experiment = client.create_experiment(f"by {by}")

    def made(name: str, above: str = "") -> str:
        tags = {"mlflow.runName": name, **({"mlflow.parentRunId": above} if above else {})}
        run_id: str = client.create_run(experiment, tags=tags).info.run_id
        return run_id

    root, step = made("root"), ""
    if by == "step":
        monkeypatch.setenv("MLFLOW_RUN_ID", step := root)
    elif by == "nested step":
        monkeypatch.setenv("MLFLOW_RUN_ID", step := made("attack-2", root))
    elif by == "loop":
        loop = json.dumps({"endpoint": f"{database}/", "parentRunId": made("attack-2", made("loop-1", root))})
        monkeypatch.setenv("KFP_MLFLOW_CONFIG", loop)
    else:
        monkeypatch.setenv(PARENT, root)
        elsewhere = json.dumps({"endpoint": "http://another", "parentRunId": "of another server"})
        monkeypatch.setenv("KFP_MLFLOW_CONFIG", elsewhere)
    if step:
        client.log_param(step, "max_features", '"20"')
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    before = len(client.search_runs([experiment]))
    to = recorder()
    assert to is not None
    for name, kind in (("dataset", "dataset"), ("attack", "attack")):
        with artifacts.opened(chain.place(name), kind) as artifact:
            to.record(artifact)

    adopted = client.get_run(root).data
    assert adopted.params["dataset"] == "digits"
    if by != "ours":  # which carries them since it was made
        assert (adopted.tags["defdistill.kind"], adopted.tags["defdistill.pipeline_run"]) == ("sweep", "0f3a")
    runs = client.search_runs([experiment])
    assert len(runs) == before + 1
    mine = next(run for run in runs if run.info.run_name == "T=20")
    assert mine.data.tags["mlflow.parentRunId"] == root
    assert "jsma_reached/scaled" in mine.data.metrics
    if step:
        stepped = client.get_run(step).data
        assert stepped.params["max_features"] == '"20"'
        assert stepped.params["defdistill.jsma.max_features"] == "20"
        assert stepped.params["defdistill.jsma.theta"] == "1"
        assert stepped.tags["defdistill.stage"] == "attack"
        assert stepped.tags["defdistill.model"] == "T=20"
        assert stepped.tags["defdistill.artifact.attack.jsma"] == chain.place("attack")


def test_what_kubeflow_tells_is_checked(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    for told in ("{", "[]", "3"):
        monkeypatch.setenv("KFP_MLFLOW_CONFIG", told)
        with pytest.raises(TrackingError, match="KFP_MLFLOW_CONFIG: expected a JSON object, got: "):
            recorder()
    monkeypatch.delenv("KFP_MLFLOW_CONFIG")
    monkeypatch.setenv(PARENT, "0" * 32)
    with pytest.raises(InputError, match=r"MLFLOW_PARENT: expected a run that MLflow at .* knows, got '0{32}'"):
        recorder()


def fails_in_time(uri: str, limit: float = TIME_LIMIT) -> str:
    """What is said of a server that cannot be reached: one line, within `limit` seconds."""
    start = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        RunTree(uri, "lost")
    assert time.monotonic() - start < limit
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_server_that_is_down_fails_within_seconds_in_one_line(
    gate: mlflow_server.Gate, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    gate.shut()
    said = fails_in_time(gate.address, TIME_LIMIT / 3)
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert said == (
        f"MLflow at {gate.address} did not take the results: no answer (Connection refused); "
        "no artifact is lost, run the stage again when it is up"
    )


def test_a_server_whose_name_is_unknown_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = fails_in_time("http://no-such-host.invalid:5000")
    assert said.startswith("MLflow at http://no-such-host.invalid:5000 did not take the results: no answer (")


def test_a_server_that_never_answers_fails_within_the_limit(
    gate: mlflow_server.Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # the user's own limit stands
    gate.silence()
    start = time.monotonic()
    said = fails_in_time(gate.address)
    seconds = time.monotonic() - start
    assert said.startswith(f"MLflow at {gate.address} did not take the results: no answer (timed out); ")
    attempts = 1 + int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    RunTree("sqlite://", "sets the limits", alone=True)
    without_limits_of_the_user = int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    assert attempts <= seconds
    assert seconds + attempts * (without_limits_of_the_user - 1) < TIME_LIMIT


def test_a_password_in_the_address_is_never_shown(gate: mlflow_server.Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with_password = gate.address.replace("://", "://me:sesame@")
    assert "sesame" not in repr(RunTree(with_password, "secret", alone=True).sweep())
    gate.shut()
    said = fails_in_time(with_password)
    assert "sesame" not in said
    assert re.match(r"MLflow at http://\*\*\*@127.0.0.1:\d+ did not", said)
    assert "sesame" not in fails_in_time("foo://me:sesame@somewhere/db")


@pytest.fixture
def at_the_gate(gate: mlflow_server.Gate, monkeypatch: pytest.MonkeyPatch) -> mlflow_server.Gate:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return gate


def children_after(gate: mlflow_server.Gate, name: str) -> dict[str, Run]:
    gate.open()
    return children(RunTree(gate.address, name, alone=True))


def test_an_artifact_is_there_though_the_server_died_and_is_recorded_later(
    at_the_gate: mlflow_server.Gate, chain: Chain, tmp_path: Path
) -> None:
    to = recorder("died")
    settings = config.AttackConfig(jsma={"sources": 1, "max_features": 1}, logit_scale=3)
    places = {"dataset": chain.place("dataset"), "model": chain.place("teacher-1"), "output": str(tmp_path / "control")}
    at_the_gate.shut()
    with pytest.raises(TrackingError, match=f"MLflow at {at_the_gate.address} did not take the results: no answer"):
        attack.run(settings, **places, recorder=to)
    assert artifacts.exists(places["output"])
    assert list(children_after(at_the_gate, "died")) == []
    attack.run(settings, **places, recorder=recorder("died"))
    assert children_after(at_the_gate, "died")["control T=3"].data.params["role"] == "control"


def test_a_training_whose_server_dies_goes_on_with_its_next_epoch(
    at_the_gate: mlflow_server.Gate, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    settings = config.TrainTeacherConfig(epochs=2, batch_size=50, minimum_progress=0, temperature=20)
    places = {"dataset": chain.place("dataset"), "output": str(tmp_path / "teacher"), "work": str(tmp_path / "work")}
    to = recorder("died in training")
    at_the_gate.shut_at("/mlflow/runs/log-batch", 2)
    with pytest.raises(TrackingError, match="no artifact is lost"):
        train_teacher.run(settings, **places, recorder=to)
    saved = [path.name for path in Path(places["work"]).rglob("*") if path.is_file()]
    assert saved == ["checkpoint.safetensors"]
    interrupted = children_after(at_the_gate, "died in training")["T=20"]
    tree = RunTree(at_the_gate.address, "died in training")
    assert [step for step, _ in values(tree.client, interrupted)["teacher_loss"]] == [1]

    whole = train_teacher.run(settings, **places, recorder=recorder("died in training"))
    found = values(tree.client, children_after(at_the_gate, "died in training")["T=20"])
    assert sorted(found["teacher_loss"]) == [(epoch["epoch"], epoch["loss"]) for epoch in whole.facts["training"]]
    undisturbed = train_teacher.run(settings, dataset=places["dataset"], output=str(tmp_path / "undisturbed"))
    assert undisturbed.digest == whole.digest


def test_curves_of_fifty_epochs_take_a_third_of_a_second(database: str) -> None:
    """The first epoch while a training runs, then all of them; a hundred temperatures take less than a minute."""
    history = [
        {"epoch": n, "loss": 1 / n, "train_accuracy": 1 - 1 / n, "test_accuracy": 1 - 2 / n} for n in range(1, 51)
    ]
    tree = RunTree(database, "many", alone=True)
    start = time.process_time()
    models = [distillation.student(float(temperature)) for temperature in range(2, 10)]
    for model in models:
        for role in ("teacher", "defended"):
            for done in (1, 50):
                records.epochs(tree, model.model_copy(update={"role": role}), history[:done])
    records.epochs(tree, BASELINE, history[40:])  # after a checkpoint
    assert time.process_time() - start < 0.3 * 2 * len(models)
    runs = children(tree)
    for label in ("T=2", "T=9"):
        found = values(tree.client, runs[label])
        for head in ("teacher_", ""):
            assert found[f"{head}loss"] == [(n, 1 / n) for n in range(1, 51)]
            assert found[f"{head}test_accuracy"] == [(n, 1 - 2 / n) for n in range(1, 51)]
    assert [step for step, _ in values(tree.client, runs["baseline"])["loss"]] == list(range(41, 51))
