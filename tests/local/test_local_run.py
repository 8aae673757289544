"""The sweep on this machine by Kubeflow's own runner: run, killed, failed, gone on with, one stage again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from defensive_distillation import artifacts
from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.runtime.stopwatch import PHASES
from defensive_distillation.stages import prepare_data
from defensive_distillation_pipelines.commands import cli

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

TITLE = "A sweep by python3"  # which Kubeflow's runner takes for the name of a program, also in the workspace's path
SMALL = (
    *("--temperatures", "20", "--set", "prepare_data.train_limit=120", "--set", "prepare_data.test_limit=30"),
    *("--set", "train.epochs=4", "--set", "train.batch_size=16", "--set", "train.minimum_progress=0"),
    *("--set", "attack.jsma.sources=1", "--set", "attack.jsma.max_features=6", "--set", "attack.bounded.samples=3"),
    *("--set", "attack.square.queries=5", "--set", "attacks=jsma,fgsm,square", "--set", "control_attacks=jsma"),
    *("--set", "attack_groups=jsma,fgsm+square", "--set", f"report.title={TITLE}"),
)
NEEDED = (
    "prepare_data",
    "train_teacher T=20",
    "generate_soft_labels T=20",
)  # by the student, all from before
SETTINGS_AGAIN = ("--set", "jsma.max_features=4", "--set", "attacks=jsma,noise")
CLI = [sys.executable, "-m", "defensive_distillation_pipelines.commands"]


@dataclass(frozen=True)
class Finished:
    workspace: Path
    output: str
    errors: str
    run: str


def defdistill(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=400)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def here(capsys: pytest.CaptureFixture[str], *arguments: str, expect: int = 0) -> str:
    """What a command that starts no step prints; it needs no process of its own."""
    capsys.readouterr()
    if not expect:
        cli.main(arguments)
        return capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == expect
    return capsys.readouterr().err


def name_of(output: str) -> str:
    return next(line.split()[1] for line in output.splitlines() if line.startswith("run:"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One small sweep: the baseline and T = 20."""
    workspace = tmp_path_factory.mktemp("local") / "of-python3"
    done = defdistill("run", "--workspace", str(workspace), *SMALL)
    return Finished(workspace, done.stdout, done.stderr, name_of(done.stdout))


def stored(workspace: Path) -> dict[str, str]:
    """Digest of every file in the store."""
    files = (path for path in (workspace / "store").rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shown(workspace: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, dict[str, str]]:
    """State and name of the run that was started last, and the state of each of its steps."""
    told = json.loads(here(capsys, "show", "latest", "--json", "--workspace", str(workspace)))
    return told["state"], told["run"], {step["step"]: step["state"] for step in told["steps"]}


def stages_of(paths: Sequence[str]) -> list[str]:
    manifests = [Path(path) for path in paths if path.endswith(artifacts.MANIFEST)]
    return sorted(json.loads(path.read_text())["stage"] for path in manifests)


def models_in_mlflow(workspace: Path) -> dict[str, dict[str, float]]:
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, "tags.`defdistill.kind` = 'model'")
    return {run.info.run_name: run.data.metrics for run in found}


def test_a_run_ends_with_a_table_the_report_and_the_way_to_mlflow(finished: Finished) -> None:
    table, _, places = finished.output.partition("run:")
    for words in ("probabilities", "logits", "z/T", "none", "20"):
        assert words in table
    report = next(line.split()[1] for line in places.splitlines() if line.startswith("report:"))
    assert f"<title>{TITLE}</title>" in Path(report).read_text()
    assert f"ui --workspace {finished.workspace}" in places
    assert (finished.workspace / "runs" / finished.run / "report" / "sweep.csv").is_file()


def test_a_run_tells_how_far_it_is(finished: Finished) -> None:
    assert "stages:" in finished.errors
    assert "running" in finished.errors
    assert "left" in finished.errors
    assert "[0:0" in finished.errors
    # of fourteen: data, four for the baseline, two for the control, six for the student, report
    assert "14 done" in finished.errors


def test_the_processor_time_of_every_step_is_told_by_phase(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    said = here(capsys, "times", "latest", "--workspace", str(finished.workspace))
    head, rule, *rows, other_rule, total, empty, words = said.splitlines()
    assert head.split() == ["step", *PHASES, "all"]
    assert (set(rule), other_rule, empty) == ({"─"}, rule, "")
    assert len(rows) == 14
    cells = [[float(cell) for cell in row.split()[-6:]] for row in [*rows, total]]
    for *phases, whole in cells:
        assert sum(phases) == pytest.approx(whole, abs=0.3), "each a tenth at most from its cell"
    for column, whole in enumerate(cells[-1]):
        assert sum(row[column] for row in cells[:-1]) == pytest.approx(whole, abs=0.8)
    by_step = {row[: row.index("  ")]: seconds for row, seconds in zip(rows, cells[:-1], strict=True)}
    importing, _, computing, *_ = by_step["train_student T=20"]
    # Python, Kubeflow and PyTorch; on Linux they are there before the step begins (local/warm.py)
    assert importing < 0.5 if sys.platform == "linux" else importing > 0.5
    assert computing > 0.05
    assert "14 steps" in words
    assert re.search(r"Not computing: [\d.]+ of [\d.]+ s, [\d.]+ s a step and [\d.]+ s at most \(", words)


def test_a_steps_log_ends_with_its_times(finished: Finished) -> None:
    log = finished.workspace / "runs" / finished.run / "logs" / "evaluate-baseline.log"
    assert re.search(
        r"evaluate-baseline: [\d.]+ CPU s: importing [\d.]+, reading .*recording [\d.]+\n", log.read_text()
    )


def test_a_stage_in_the_pipeline_gives_the_same_bytes_as_one_called_alone(finished: Finished, tmp_path: Path) -> None:
    config = PrepareDataConfig(train_limit=120, test_limit=30)
    alone = prepare_data.run(config, output=str(tmp_path / "dataset"))
    digests = {artifacts.file_digest(path) for path in (finished.workspace / "store").rglob(artifacts.MANIFEST)}
    assert alone.digest in digests


def test_mlflow_holds_one_parent_and_a_child_a_model(finished: Finished) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.workspace}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`defdistill.kind` = 'sweep'")
    assert parent.info.run_name == finished.run
    assert parent.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["config.yaml", "report"]
    models = models_in_mlflow(finished.workspace)
    assert set(models) == {"baseline", "T=20", "control T=20"}
    only_of_students = {name for name in models["T=20"] if name.startswith(("teacher_", "soft_label_"))}
    # a network that misclassifies every attacked image has no rates, and trainings are short here
    of_attacks = ("jsma", "linf_", "cw_", "images/", "worst_case", "transfer", "masked_", "conditions_", "robust")
    differ = (set(models["T=20"]) - only_of_students) ^ set(models["baseline"])
    assert not {name for name in differ if not name.startswith(of_attacks)}


def test_a_killed_run_is_finished_by_the_same_command_and_a_changed_setting_repeats_what_depends_on_it(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(finished.workspace)
    changes = ("--set", "train_student.epochs=9", "--set", "attack.square.queries=6")
    arguments = ("run", "--workspace", str(finished.workspace), *SMALL, *changes)
    checkpoints = set((finished.workspace / "work").rglob("checkpoint.safetensors"))
    process = subprocess.Popen([*CLI, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while checkpoints == set((finished.workspace / "work").rglob("checkpoint.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    steps = psutil.Process(process.pid).children(recursive=True)
    assert steps
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _gone, alive = psutil.wait_procs(steps, timeout=10)
    assert not alive, "the steps of a run that is gone must not go on"
    state, run, states = shown(finished.workspace, capsys)
    assert (state, states["train_student T=20"], states["report"]) == ("stopped", "stopped", "left")
    assert states.items() >= dict.fromkeys(NEEDED, "kept").items()
    killed = stored(finished.workspace)
    assert "train_student" not in stages_of([path for path in killed if path not in before])
    done = defdistill(*arguments)
    after = stored(finished.workspace)
    assert {path: after[path] for path in killed} == killed
    assert {path: after[path] for path in before} == before
    new = stages_of([path for path in after if path not in killed])
    assert f"14 done ({14 - len(new)} kept" in done.stderr
    report = finished.workspace / "runs" / run / "report"
    report.rename(report.with_name("beside"))  # as if it had been stopped at the end
    assert list(shown(finished.workspace, capsys)[2].values()).count("kept") == 14 - len(new)
    report.with_name("beside").rename(report)
    # nothing of the control depends on either, nor does JSMA on the baseline
    repeated = ["attack", "attack", "attack", "evaluate", "evaluate", "report", "train_student"]
    assert stages_of([path for path in after if path not in before]) == repeated
    assert set(models_in_mlflow(finished.workspace)) == {"baseline", "T=20", "control T=20"}


def test_a_stage_run_again_is_recorded_beside_the_first_and_changes_nothing(finished: Finished) -> None:
    before = stored(finished.workspace)
    report = (finished.workspace / "runs" / finished.run / "report" / "report.html").read_bytes()
    again = ("rerun", "attack", "--run", finished.run, "--model", "control T=20")
    done = defdistill(*again, *SETTINGS_AGAIN, "--workspace", str(finished.workspace))
    after = stored(finished.workspace)
    assert {path: after[path] for path in before} == before
    assert (finished.workspace / "runs" / finished.run / "report" / "report.html").read_bytes() == report
    (manifest,) = [path for path in after if path not in before and path.endswith(artifacts.MANIFEST)]
    content = json.loads(Path(manifest).read_text())
    assert (content["stage"], content["config"]["jsma"]["max_features"]) == ("attack", 4)
    assert content["config"]["attacks"] == ["jsma", "noise"]
    assert str(Path(manifest).parent) in done.stdout
    models = models_in_mlflow(finished.workspace)
    for attack in ("jsma/probabilities", "noise"):
        assert re.search(rf"^{attack} +\d+ +[\d.]+$", done.stdout, re.MULTILINE), done.stdout
    name = "control T=20 rerun attack attacks=jsma+noise jsma.max_features=4"
    assert name in models
    assert "jsma_reached/scaled" in models[name]


def test_a_changed_attack_reaches_evaluation_and_report(finished: Finished) -> None:
    before = stored(finished.workspace)
    changed = ("--temperature", "20", "--set", "attacks=jsma", "--set", "jsma.max_features=4")
    again = ("rerun", "attack", "--run", finished.run, *changed, "--and-after", "--json", "--quiet")
    done = defdistill(*again, "--workspace", str(finished.workspace))
    assert done.stderr == ""
    document = json.loads(done.stdout)
    after = stored(finished.workspace)
    assert {path: after[path] for path in before} == before
    assert stages_of([path for path in after if path not in before]) == ["attack", "evaluate", "report"]
    made = [artifacts.read_manifest(place) for place in document["made"]]
    assert [manifest.stage for manifest in made] == ["attack", "evaluate", "report"]
    attacked, evaluated, reported = (artifacts.stored(place) for place in document["made"])
    assert attacked.manifest.config["jsma"]["max_features"] == 4
    assert attacked.digest in evaluated.manifest.inputs["attacks"]
    assert len(evaluated.manifest.inputs["attacks"]) == 2, "the other step of attacks stays"
    assert evaluated.digest in reported.manifest.inputs["evaluations"]
    earlier = artifacts.read_manifest(str(finished.workspace / "runs" / finished.run / "report"))
    kept = set(reported.manifest.inputs["evaluations"]) & set(earlier.inputs["evaluations"])
    assert len(kept) == 2, "the baseline and the control are as they were"
    assert [network["model"] for network in document["networks"]] == ["baseline", "T=20", "control T=20"]
    assert "T=20 rerun attack attacks=jsma jsma.max_features=4" in models_in_mlflow(finished.workspace)


def test_what_reruns_have_made_is_not_waste(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(finished.workspace)
    found = json.loads(here(capsys, "clean", "--dry-run", "--json", "--workspace", str(finished.workspace)))
    assert not [kind for kind in found["kinds"] if kind["kind"].startswith("artifacts")]
    assert stored(finished.workspace) == before


def test_the_report_can_be_made_again(finished: Finished) -> None:
    done = defdistill("rerun", "report", "--run", finished.run, "--workspace", str(finished.workspace))
    place = next(word for word in done.stdout.split() if "/store/" in word)
    assert artifacts.read_manifest(place).stage == "report"
    assert "accuracy, %" in done.stdout


def test_a_failed_stage_names_itself_its_temperature_and_its_log(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all attacks on a network in one step; Kubeflow may start with the student, or with other networks."""
    before = stored(finished.workspace)
    settings = ("--set", "attack_groups=", "--set", "train_student.learning_rate=1e6")
    done = defdistill("run", "--workspace", str(finished.workspace), *SMALL, *settings, expect=1)
    after = stored(finished.workspace)
    assert {path: after[path] for path in before} == before
    new = [path for path in after if path not in before and path.endswith(artifacts.MANIFEST)]
    facts = [json.loads(Path(path).read_text()) for path in new]
    attacked = {one["facts"]["model"]["label"]: one["config"]["attacks"] for one in facts if one["kind"] == "attack"}
    assert attacked.items() <= {"baseline": ["jsma", "fgsm", "square"], "control T=20": ["jsma"]}.items()
    last = done.stderr.strip().splitlines()[-1]
    assert "train_student at T=20 failed: training at T = 20 diverged" in last
    assert "lower learning_rate" in last
    log = Path(last.rpartition("log: ")[2])
    assert "diverged" in log.read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.workspace}/mlflow.db")
    shown = json.loads(here(capsys, "show", log.parents[1].name, "--json", "--workspace", str(finished.workspace)))
    assert (shown["state"], shown["failure"]) == ("failed", last.removeprefix("defdistill: "))
    states = {step["step"]: step["state"] for step in shown["steps"]}
    assert (states["train_student T=20"], states["report"]) == ("failed", "left")
    failed = client.search_runs(
        ["1"], f"tags.`defdistill.pipeline_run` = '{log.parents[1].name}' and status = 'FAILED'"
    )
    assert [run.data.tags["defdistill.kind"] for run in failed].count("sweep") == 1


def test_a_run_whose_mlflow_does_not_answer_ends_in_one_line(tmp_path: Path) -> None:
    command = [*CLI, "run", "--workspace", str(tmp_path / "workspace"), *SMALL]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "MLflow at http://127.0.0.1:9 did not take the results: no answer (Connection refused)" in last
    assert "Traceback" not in done.stderr


def test_a_report_is_shown_again_and_put_elsewhere(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("-o", str(tmp_path / "copy"), "--workspace", str(finished.workspace))
    assert "none" in here(capsys, "report", finished.run, *places)
    assert "<html" in (tmp_path / "copy" / "report.html").read_text()


def test_two_processes_do_not_work_at_one_run(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(finished.workspace / "runs" / finished.run / ".lock"):
        said = here(capsys, "run", "--workspace", str(finished.workspace), *SMALL, expect=2)
    assert "another process is at work on it" in said
