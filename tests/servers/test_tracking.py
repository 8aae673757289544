from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defensive_distillation import artifacts, config
from defensive_distillation.errors import TrackingError
from defensive_distillation.evaluation.results import Epoch
from defensive_distillation.stages import attack, fitting, train_teacher
from defensive_distillation.tracking import mlflow_runs as tracking
from defensive_distillation.tracking.mlflow_runs import TIME_LIMIT, Tracker
from defensive_distillation.tracking.records import curve
from support import mlflow_server
from support.recording import EPOCHS, STAGES, children, files, record, values

if TYPE_CHECKING:
    from mlflow.entities import Run

    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

TAGS = {"defdistill.pipeline_run", "defdistill.dataset", "defdistill.stage", "defdistill.version"}


ASKING = """
import sys, time
from defensive_distillation.tracking import mlflow_runs as tracking
start = time.monotonic()
try:
    tracking.Tracker(sys.argv[1], "lost")
except tracking.TrackingError as error:
    print(time.monotonic() - start, error)
"""


@pytest.fixture(scope="module", autouse=True)
def silence(request: pytest.FixtureRequest) -> Iterator[tuple[str, subprocess.Popen[str]] | None]:
    """A server that never answers, and a process that asks it: begun before all tests, because it waits for long."""
    if all("never_answers" not in item.name for item in request.session.items):
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        command = [sys.executable, "-W", "ignore", "-c", ASKING, address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        stack.enter_context(process)
        stack.callback(process.kill)
        yield address, process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server.running(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db"
    tracking.prepare(uri)
    return uri


@pytest.fixture(scope="module", params=["database", "server"])
def store(request: pytest.FixtureRequest) -> str:
    """The URI of either kind of store."""
    uri: str = request.getfixturevalue(request.param)
    return uri


@pytest.fixture(scope="module")
def sweep(store: str, chain: Chain) -> Tracker:
    """A sweep of a baseline and T = 20, each stage recorded by a tracker of its own, as in steps of a pipeline."""
    for name in STAGES:
        record(chain, name, Tracker(store, "digits-1"))
    return Tracker(store, "digits-1")


def runs_of(tracker: Tracker) -> list[Run]:
    condition = f"tags.`defdistill.pipeline_run` = '{tracker.pipeline_run}'"
    return list(tracker.client.search_runs([tracker.experiment_id], condition))


def test_a_sweep_is_one_run_with_a_child_for_each_model(sweep: Tracker) -> None:
    parent = sweep.client.get_run(sweep.parent_id)
    assert len(runs_of(sweep)) == 4
    assert parent.info.run_name == "digits-1"
    assert sweep.client.get_experiment(sweep.experiment_id).name == tracking.EXPERIMENT
    assert set(children(sweep)) == {"baseline", "T=20", "control T=20"}
    assert [run.info.status for run in (parent, *children(sweep).values())] == ["FINISHED"] * 4
    of_teachers = {name: value for name, value in parent.data.params.items() if name.startswith("train_teacher.")}
    assert of_teachers["train_teacher.epochs"] == str(EPOCHS)
    assert {name: value for name, value in parent.data.params.items() if name not in of_teachers} == {
        "dataset": "digits",
        "classes": "10",
        "image_shape": "1×28×28",
        "train_images": "300",
        "test_images": "60",
        "models": "baseline, T=20, control T=20",
    }


def test_all_models_have_the_same_parameters_and_metrics(sweep: Tracker, chain: Chain) -> None:
    baseline, student = children(sweep)["baseline"].data, children(sweep)["T=20"].data
    # nothing is transferred from a model to itself
    assert set(baseline.params) == set(student.params) - {"attack.confidences"}
    of_teacher = {name for name in student.metrics if name.startswith(("teacher_", "soft_label_"))}
    assert of_teacher
    missing: dict[str, set[str]] = {}  # so small an attack may reach no class from every source, or none at all
    for run, suffix in ((baseline, "-baseline"), (student, "")):
        evaluation = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts["evaluation"]
        named = {
            **{
                f"cw_mean/{one['norm']}_{case}": one[case]["mean_distance"]
                for one in evaluation["distances"]
                for case in ("best", "average", "worst")
            },
            **{
                f"{one['attack']}_{short}/{one['output']}": one[f"mean_{long}"]
                for one in evaluation["attacks"]
                for short, long in (("changed", "changed_features"), ("distortion", "distortion"))
            },
        }
        assert len(named) == 9 + 10
        missing[suffix] = {name for name, mean in named.items() if mean is None}
        told = {name for name in run.metrics if name.startswith("cw_mean/") or re.match("jsma.*_(changed|dist)", name)}
        assert told == set(named) - missing[suffix]
    assert set(baseline.metrics) | missing["-baseline"] == (set(student.metrics) | missing[""]) - of_teacher - {
        "transfer_success"
    }
    assert baseline.params["temperature"] == "1"
    assert student.params["temperature"] == "20"
    assert (baseline.params["distilled"], student.params["distilled"]) == ("False", "True")
    assert baseline.params["training.epochs"] == student.params["training.epochs"] == str(EPOCHS)
    assert baseline.params["attack.max_features"] == student.params["attack.max_features"] == "20"


def test_numbers_are_those_of_the_evaluation(sweep: Tracker, chain: Chain) -> None:
    for name, suffix in (("baseline", "-baseline"), ("T=20", "")):
        found = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts["evaluation"]
        metrics = children(sweep)[name].data.metrics
        assert metrics["accuracy"] == found["accuracy"]
        for output in ("probabilities", "logits", "scaled"):
            measured = next(one for one in found["attacks"] if (one["attack"], one["output"]) == ("jsma", output))
            assert metrics[f"jsma_success/{output}"] == measured["success_rate"]
            assert metrics[f"jsma_robustness/{output}"] == measured["robustness"]


def test_trainings_are_curves_by_epoch(sweep: Tracker, chain: Chain) -> None:
    facts = {name: artifacts.read_manifest(chain.place(name)).facts for name in ("teacher-1", "teacher-20", "student")}
    for model, prefix, network in (
        ("baseline", "", "teacher-1"),
        ("T=20", "", "student"),
        ("T=20", "teacher_", "teacher-20"),
    ):
        found = values(sweep.client, children(sweep)[model])
        for name in ("loss", "train_accuracy", "test_accuracy"):
            expected = [(epoch["epoch"], epoch[name]) for epoch in facts[network]["training"]]
            assert sorted(found[prefix + name]) == expected
            assert [step for step, _ in expected] == list(range(1, EPOCHS + 1))
    assert not [name for name in children(sweep)["baseline"].data.metrics if name.startswith("teacher_")]


def test_the_report_lies_on_the_sweep_and_samples_on_its_models(sweep: Tracker, chain: Chain, tmp_path: Path) -> None:
    kept = files(sweep.client, sweep.parent_id)
    stored = Path(chain.place("report"))
    assert kept == {
        f"report/{path.relative_to(stored).as_posix()}": path.stat().st_size
        for path in stored.rglob("*")
        if path.is_file()
    }
    for name, suffix in (("baseline", "-baseline"), ("T=20", "")):
        run_id = children(sweep)[name].info.run_id
        assert set(files(sweep.client, run_id)) == {
            "evaluation.json",
            "samples/examples.png",
            *(f"samples/jsma_{output}.png" for output in ("probabilities", "logits", "scaled")),
        }
        content = Path(sweep.client.download_artifacts(run_id, "evaluation.json", str(tmp_path))).read_text()
        facts = artifacts.read_manifest(chain.place(f"evaluation{suffix}")).facts
        assert json.loads(content) == facts["evaluation"]
        picture = Path(sweep.client.download_artifacts(run_id, "samples/jsma_scaled.png", str(tmp_path)))
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_tags_lead_from_a_number_to_where_it_came_from(sweep: Tracker, chain: Chain) -> None:
    dataset = artifacts.file_digest(Path(chain.place("dataset"), artifacts.MANIFEST))
    parent = sweep.client.get_run(sweep.parent_id).data.tags
    models = {name: run.data.tags for name, run in children(sweep).items()}
    for tags in (parent, *models.values()):
        assert tags["defdistill.pipeline_run"] == "digits-1"
        assert tags["defdistill.dataset"] == dataset
    assert parent["defdistill.stage"] == "report"
    assert parent["defdistill.artifact.report"] == chain.place("report")
    assert {name: tags["defdistill.temperature"] for name, tags in models.items()} == {
        "baseline": "1",
        "T=20": "20",
        "control T=20": "20",
    }
    assert models["control T=20"]["defdistill.artifact.scale_logits"] == chain.place("control")
    for stage, name in (
        ("train_teacher", "teacher-20"),
        ("generate_soft_labels", "soft-labels"),
        ("train_student", "student"),
        ("attack.jsma", "attack"),
        ("attack.pgd", "suite"),
        ("attack.transfer", "suite"),
        ("evaluate", "evaluation"),
    ):
        assert models["T=20"][f"defdistill.artifact.{stage}"] == chain.place(name)
        code = artifacts.read_manifest(chain.place(name)).code
        assert models["T=20"][f"defdistill.code.{stage.partition('.')[0]}"] == code
    assert models["T=20"]["defdistill.stage"] == "evaluate"


def test_stages_that_are_recorded_again_change_nothing(sweep: Tracker, chain: Chain) -> None:
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
    for name in ("dataset", "student", "soft-labels", "attack", "suite", "evaluation", "control", "report"):
        record(chain, name, Tracker(sweep.uri, "digits-1"))
    assert snapshot() == before


def test_a_rerun_has_runs_of_its_own_beside_the_first(sweep: Tracker, chain: Chain, tmp_path: Path) -> None:
    before = {run.info.run_id: (run.data, run.info.status) for run in runs_of(sweep)}
    rerun = Tracker(sweep.uri, "digits-1", rerun="rerun attack max_features=3")
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student")}
    settings = config.AttackConfig(sources=10, max_features=3, outputs=("logits",))
    for _ in range(2):
        attack.run(settings, **inputs, output=str(tmp_path / "attack"), tracker=rerun)
    record(chain, "report", Tracker(sweep.uri, "digits-1", rerun="rerun report title=It's new"))
    try:
        found = children(rerun)
        mine = found["T=20 rerun attack max_features=3"]
        assert mine.data.params["attack.max_features"] == "3"
        assert values(sweep.client, mine)["jsma_success/logits"][0][0] == 0
        assert len(values(sweep.client, mine)["jsma_success/logits"]) == 1
        assert "report/report.html" in files(sweep.client, found["rerun report title=It's new"].info.run_id)
        again = {run.info.run_id: run for run in runs_of(sweep)}
        for run_id, (data, status) in before.items():
            assert again[run_id].data.to_dictionary() == data.to_dictionary()
            assert again[run_id].info.status == status
    finally:
        for run in runs_of(sweep):
            if run.info.run_id not in before:
                sweep.client.delete_run(run.info.run_id)


RACER = """
import sys
from defensive_distillation.tracking import mlflow_runs as tracking
tracking._client(sys.argv[1])  # imports what takes long
print("ready", flush=True)
for line in sys.stdin:
    tracker = tracking.Tracker(*line.split())
    print(tracker.parent_id, tracker.model_run("T=20").run_id, flush=True)
"""


@pytest.fixture(scope="module")
def racers(database: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Four processes that make a sweep's run and a model's run on a word."""
    with ExitStack() as stack:
        command = [sys.executable, "-W", "ignore", "-c", RACER, database]
        processes = []
        for _ in range(4):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        assert [told(process) for process in processes] == ["ready"] * 4
        yield processes


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_that_begin_at_the_same_moment_share_their_runs(
    store: str, racers: list[subprocess.Popen[str]]
) -> None:
    for number in range(5):
        for process in racers:
            assert process.stdin is not None
            process.stdin.write(f"{store} race-{number}\n")
            process.stdin.flush()
        found = {told(process) for process in racers}
        assert len(found) == 1
        tracker = Tracker(store, f"race-{number}")
        assert found == {f"{tracker.parent_id} {tracker.model_run('T=20').run_id}"}
        assert len(runs_of(tracker)) == 2


def test_a_run_whose_maker_was_killed_at_once_is_not_waited_for_forever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_MAKING", 0.5)
    first = Tracker(database, "killed")
    first.client.delete_tag(first.parent_id, "defdistill.turn")  # as if it had come no further
    second = Tracker(database, "killed")
    assert second.parent_id != first.parent_id
    assert Tracker(database, "killed").parent_id == second.parent_id


@pytest.mark.parametrize("name", ["it's", 'say "x"', "both ' and \"", "x" * 300, "back\\slash", "50 % ≥ é"])
def test_any_name_finds_its_run_again(database: str, name: str) -> None:
    first = Tracker(database, name, rerun=name)
    assert Tracker(database, name, rerun=name).parent_id == first.parent_id
    assert first.model_run("T=20").run_id == Tracker(database, name, rerun=name).model_run("T=20").run_id
    assert first.client.get_run(first.parent_id).info.run_name == name


def test_a_parameter_keeps_its_first_value_and_a_metric_shows_its_last(store: str) -> None:
    tracker = Tracker(store, "changed")
    for epochs, accuracy, last in ((5, 0.9, 0.5), (6, 0.8, 0.4), (6, 0.8, 0.4)):
        run = Tracker(store, "changed").model_run("T=20")
        run.params({"epochs": epochs, "lasting": 1.5})
        run.metrics({"accuracy": accuracy, "never_measured": None})
        run.curves([{"loss": 1.0}, {"loss": last}])
        time.sleep(0.002)  # MLflow tells values of a step apart by milliseconds
    data = children(tracker)["T=20"].data
    assert data.params == {"epochs": "5", "lasting": "1.5"}
    assert data.metrics == {"accuracy": 0.8, "loss": 0.4}
    found = values(tracker.client, children(tracker)["T=20"])
    assert sorted(found["accuracy"]) == [(0, 0.8), (0, 0.9)]
    assert sorted(found["loss"]) == [(1, 1.0), (2, 0.4), (2, 0.5)]


def test_without_the_usual_variable_nothing_is_tracked() -> None:
    assert tracking.tracker() is None


def test_the_usual_variables_say_where_and_as_what(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of my own")
    monkeypatch.setenv("KFP_RUN_ID", "0f3a")
    tracker = tracking.tracker()
    assert tracker is not None
    assert tracker.client.get_experiment(tracker.experiment_id).name == "of my own"
    assert tracker.client.get_run(tracker.parent_id).info.run_name == "0f3a"


def test_files_of_a_database_lie_beside_it(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Tracker(database, "files").sweep_run()
    run.files({"folder/one.txt": b"1"})
    run.files({"folder/one.txt": b"2"})
    place = Path(database.removeprefix("sqlite:///")).parent / "mlartifacts" / run.run_id
    assert (place / "artifacts" / "folder" / "one.txt").read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == []


def test_recording_prints_nothing(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker(store, "quiet")
    tracker.model_run("T=20").ended()
    tracker.sweep_run().ended()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("nested", [True, False])
def test_a_run_that_kubeflow_opened_is_adopted(
    store: str, chain: Chain, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    client = Tracker(store, "elsewhere").client
    experiment = client.create_experiment(f"kubeflow {nested}")
    parent = client.create_run(experiment, tags={"mlflow.runName": "kubeflow's"}).info.run_id
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": "attack-2"} if nested else {}
    step = client.create_run(experiment, tags=tags).info.run_id
    client.log_param(step, "max_features", '"20"')
    client.log_param(step, "outputs", '["probabilities"]')
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_RUN_ID", step)
    monkeypatch.setenv("KFP_RUN_ID", f"0f3a-{nested}")
    tracker = tracking.tracker()
    assert tracker is not None
    record(chain, "dataset", tracker)
    record(chain, "attack", tracker)

    assert tracker.parent_id == (parent if nested else step)
    assert tracker.sweep_run().run_id == tracker.parent_id
    assert client.get_run(tracker.parent_id).data.params["dataset"] == "digits"
    found = client.search_runs([experiment])
    assert len(found) == 3
    mine = next(run for run in found if run.info.run_name == "T=20")
    assert mine.data.tags["mlflow.parentRunId"] == tracker.parent_id
    assert "jsma_success/scaled" in mine.data.metrics
    stepped = client.get_run(step).data
    assert stepped.params["max_features"] == '"20"'
    assert stepped.params["defdistill.max_features"] == "20"
    assert stepped.params["defdistill.theta"] == "1"
    assert stepped.tags["defdistill.stage"] == "attack"
    assert stepped.tags["defdistill.model"] == "T=20"
    assert stepped.tags["defdistill.artifact.attack.jsma"] == chain.place("attack")


@pytest.fixture
def gate(server: str) -> Iterator[mlflow_server.Gate]:
    with mlflow_server.Gate(server) as gate:
        yield gate


def fails_in_time(uri: str, limit: float = TIME_LIMIT) -> str:
    """What Tracker says of a server that it cannot reach: one line, within `limit` seconds."""
    start = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        Tracker(uri, "lost")
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


def test_a_server_whose_name_is_unknown_fails_in_one_line() -> None:
    said = fails_in_time("http://no-such-host.invalid:5000")
    assert said.startswith("MLflow at http://no-such-host.invalid:5000 did not take the results: no answer (")


@pytest.mark.slow
def test_a_server_that_never_answers_fails_within_the_limit(silence: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = silence
    seconds, said = process.communicate(timeout=2 * TIME_LIMIT)[0].split(" ", maxsplit=1)
    assert 2 < float(seconds) < TIME_LIMIT
    assert said.startswith(f"MLflow at {address} did not take the results: no answer (timed out); ")


def test_the_limits_of_the_user_stand(gate: mlflow_server.Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gate.silence()
    fails_in_time(gate.address, 8)


def test_a_password_in_the_address_is_never_shown(gate: mlflow_server.Gate) -> None:
    with_password = gate.address.replace("://", "://me:sesame@")
    assert "sesame" not in repr(Tracker(with_password, "secret").sweep_run())
    gate.shut()
    said = fails_in_time(with_password)
    assert "sesame" not in said
    assert re.match(r"MLflow at http://\*\*\*@127.0.0.1:\d+ did not", said)
    assert "sesame" not in fails_in_time("foo://me:sesame@somewhere/db")


def test_an_artifact_is_there_though_the_server_died_and_is_recorded_later(
    gate: mlflow_server.Gate, chain: Chain, tmp_path: Path
) -> None:
    tracker = Tracker(gate.address, "died")
    settings = config.AttackConfig(sources=10, max_features=2)
    inputs = {"dataset": chain.place("dataset"), "model": chain.place("student"), "output": str(tmp_path / "attack")}
    gate.shut()
    with pytest.raises(TrackingError, match=f"MLflow at {gate.address} did not take the results: no answer"):
        attack.run(settings, **inputs, tracker=tracker)
    assert artifacts.exists(inputs["output"])
    assert list(children_after(gate, "died")) == []
    attack.run(settings, **inputs, tracker=Tracker(gate.address, "died"))
    assert "jsma_success/logits" in children_after(gate, "died")["T=20"].data.metrics


def test_a_training_whose_server_dies_goes_on_with_its_next_epoch(
    gate: mlflow_server.Gate, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "LOG_INTERVAL", 0)
    settings = config.TrainTeacherConfig(epochs=3, batch_size=50, minimum_progress=0, temperature=20)
    inputs = {"dataset": chain.place("dataset"), "output": str(tmp_path / "teacher"), "work": str(tmp_path / "work")}
    tracker = Tracker(gate.address, "died in training")
    gate.shut_at("/mlflow/runs/log-batch", 2)
    with pytest.raises(TrackingError, match="no artifact is lost"):
        train_teacher.run(settings, **inputs, tracker=tracker)
    saved = [path.name for path in Path(inputs["work"]).rglob("*") if path.is_file()]
    assert saved == ["checkpoint.safetensors"]
    interrupted = values(tracker.client, children_after(gate, "died in training")["T=20"])
    assert [step for step, _ in interrupted["teacher_loss"]] == [1]

    whole = train_teacher.run(settings, **inputs, tracker=Tracker(gate.address, "died in training"))
    found = values(tracker.client, children_after(gate, "died in training")["T=20"])
    assert sorted(found["teacher_loss"]) == [(epoch["epoch"], epoch["loss"]) for epoch in whole.facts["training"]]
    undisturbed = train_teacher.run(settings, dataset=inputs["dataset"], output=str(tmp_path / "undisturbed"))
    assert undisturbed.digest == whole.digest


@pytest.mark.slow
def test_a_hundred_temperatures_of_fifty_epochs_are_logged_within_a_minute(tmp_path: Path) -> None:
    """As their trainings log them, epochs that follow at once: the first, and the whole curve at the end."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracking.prepare(uri)
    epochs = [
        {"epoch": n, "loss": 1 / n, "train_accuracy": 1 - 1 / n, "test_accuracy": 1 - 2 / n} for n in range(1, 51)
    ]
    start = time.process_time()
    for temperature in range(1, 101):
        tracker, label = Tracker(uri, "hundred"), f"T={temperature}"
        for head in ("teacher_", ""):
            log = fitting.EpochLog(tracker, label, head)
            for done in range(1, 51):
                log.add(epochs[:done])
            tracker.model_run(label).curves(curve([Epoch(**epoch) for epoch in epochs], head))
    assert time.process_time() - start < 60
    tracker = Tracker(uri, "hundred")
    runs = children(tracker)
    assert len(runs) == 100
    for label in ("T=1", "T=57", "T=100"):
        found = values(tracker.client, runs[label])
        for head in ("teacher_", ""):
            assert found[f"{head}loss"] == [(n, 1 / n) for n in range(1, 51)]
            assert found[f"{head}test_accuracy"] == [(n, 1 - 2 / n) for n in range(1, 51)]


def children_after(gate: mlflow_server.Gate, name: str) -> dict[str, Run]:
    gate.open()
    return children(Tracker(gate.address, name))
