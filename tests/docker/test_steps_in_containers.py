"""A sweep with each step in a container: the bytes of processes, nothing left behind, and MLflow by its client alone.

`make test-docker`: needs a Docker engine and the image that DEFDISTILL_IMAGE names, of this very code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from support import mlflow_server
from support.files import bytes_of
from support.recording import files

pytestmark = [
    pytest.mark.docker,
    # MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

CLI = [sys.executable, "-m", "defensive_distillation_pipelines.commands"]
FEW = ("epochs=4", "batch_size=16", "minimum_progress=0")
SMALL = (
    *("--temperatures", "20", "--set", "prepare_data.train_limit=120", "--set", "prepare_data.test_limit=30"),
    *(flag for setting in FEW for flag in ("--set", f"train.{setting}")),
    *("--set", "attack.jsma.sources=1", "--set", "attack.jsma.max_features=6", "--set", "attack.bounded.samples=3"),
    *("--set", "attack.square.queries=5", "--set", "attacks=jsma,fgsm,square", "--set", "control_attacks=jsma"),
)
STAGES = f"""
set -e
stage() {{ name=$1; shift; python -m defensive_distillation.stages.$name "$@" > /dev/null; }}
few="{" ".join("--" + setting.replace("_", "-").replace("=", " ") for setting in FEW)}"
stage prepare_data --train-limit 120 --test-limit 30 --output dataset
stage train_teacher --dataset dataset $few --output baseline
stage attack --dataset dataset --model baseline --attacks jsma --jsma.sources 1 --jsma.max-features 6 --output attack
stage evaluate --dataset dataset --model baseline --attacks attack --output evaluation
stage report --evaluations evaluation --output report
"""


@pytest.fixture(scope="module")
def image() -> str:
    return os.environ["DEFDISTILL_IMAGE"]


def defdistill(cwd: Path, *arguments: str, expect: int = 0, **environment: str) -> str:
    told = {**os.environ, **environment}
    command = [*CLI, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=told, timeout=900)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def containers_of(workspace: Path) -> list[str]:
    """Names of all containers of the workspace's runs, whatever their state."""
    client = docker.from_env()
    try:
        ours = client.containers.list(all=True, filters={"label": "defensive-distillation.run"}, ignore_removed=True)
        runs = f"{workspace}/runs/"
        return [one.name for one in ours if one.labels["defensive-distillation.run"].startswith(runs)]
    finally:
        client.close()


def wait_for(what: str, seen: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not seen():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"expected {what} within {seconds:g} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def by_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The report of the small sweep by processes, as digests."""
    folder = tmp_path_factory.mktemp("processes")
    defdistill(folder, "run", *SMALL, "--run", "one")
    return bytes_of(folder / "workspace" / "runs" / "one" / "report")


def test_a_sweep_killed_again_and_again_leaves_no_container_and_ends_in_the_bytes_of_processes(
    tmp_path: Path, by_processes: dict[str, str], image: str
) -> None:
    workspace = tmp_path / "workspace"
    command = [*CLI, "run", *SMALL, "--run", "one", "--runner", "docker", "--image", image]
    done = workspace / "runs" / "one" / "progress"
    for ending, stage in ((signal.SIGINT, "prepare_data"), (signal.SIGKILL, "train_teacher")):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(f"a container of {stage}", lambda stage=stage: list(done.glob(f"{stage}*.json")))
        assert containers_of(workspace)
        process.send_signal(ending)
        assert process.wait(60) != 0
        wait_for("no container", lambda: not containers_of(workspace), seconds=30)
    said = defdistill(tmp_path, *command[3:])
    assert "kept from before" in said
    assert bytes_of(workspace / "runs" / "one" / "report") == by_processes
    assert not containers_of(workspace)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in workspace.rglob("*")}
    assert owners == {(os.getuid(), os.getgid())}


def test_a_container_left_by_a_machine_that_went_down_is_ended_by_the_next_start(tmp_path: Path, image: str) -> None:
    run = tmp_path / "workspace" / "runs" / "one"
    client = docker.from_env()
    left = client.containers.run(
        image, ["sleep", "600"], labels={"defensive-distillation.run": str(run)}, detach=True, auto_remove=True
    )
    try:
        defdistill(
            tmp_path, "run", "--run", "one", "--runner", "docker", "--image", image, "--set",
            f"prepare_data.source={tmp_path}/none.zip", expect=2,
        )  # fmt: skip
        assert left.name not in containers_of(tmp_path / "workspace")
    finally:
        client.close()


@pytest.fixture
def dying(image: str) -> Iterator[str]:
    """An image whose containers end at once and well, whatever they are told."""
    client = docker.from_env()
    name = f"dying-{uuid.uuid4().hex[:8]}:1"
    container = client.containers.create(image, ["true"])
    container.commit(*name.split(":"), conf={"Entrypoint": ["true"]})
    container.remove()
    yield name
    client.images.remove(name, force=True)
    client.close()


def test_a_container_that_ends_without_its_output_is_a_failure_every_time(tmp_path: Path, dying: str) -> None:
    for attempt in range(5):
        said = defdistill(tmp_path, "run", "--run", f"try-{attempt}", "--runner", "docker", "--image", dying, expect=1)
        assert "a container ended before its stage began" in said.splitlines()[-1]


def test_steps_in_containers_read_archives_at_relative_paths_and_modules_of_others(tmp_path: Path, image: str) -> None:
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(30):
            pixels = rng.integers(0, 90, (16, 16)) + (150 if label == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / label / f"{index}.png")
    shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "modules").mkdir()
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    momentum = text[text.index("# momentum.py\n") :]
    (tmp_path / "modules" / "momentum.py").write_text(momentum[: momentum.index("```")])
    path = os.pathsep.join([str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")])
    said = defdistill(
        tmp_path,
        *("run", "--run", "one", "--runner", "docker", "--image", image, "--temperatures", "20"),
        *(flag for setting in FEW for flag in ("--set", f"train.{setting}")),
        *("--set", "prepare_data.source=images.zip", "--set", "attacks=momentum", "--set", "control_attacks=jsma"),
        *("--set", "attack.bounded.samples=3", "--set", "attack.jsma.sources=1", "--set", "attack.jsma.max_features=2"),
        DEFDISTILL_PLUGINS="momentum",
        PYTHONPATH=path,
    )
    assert "run:     one" in said
    assert "MI-FGSM" in (tmp_path / "workspace" / "runs" / "one" / "report" / "report.html").read_text()


def in_image(image: str, folder: Path, command: Sequence[str], **environment: str) -> None:
    """Runs a command in the image as a cluster would: the numeric user, a read-only root, a folder to write into."""
    options = [f"--env={name}={value}" for name, value in environment.items()]
    folder.chmod(0o777)
    subprocess.run(
        [
            *("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "host", "--cap-drop", "ALL"),
            *("--volume", f"{folder}:/out", "--workdir", "/out", *options, image, *command),
        ],
        check=True,
        timeout=600,
    )


def test_the_image_records_in_mlflow_what_the_whole_of_mlflow_would(tmp_path: Path, image: str) -> None:
    inside, here = tmp_path / "inside", tmp_path / "here"
    inside.mkdir()
    here.mkdir()
    with mlflow_server.running(tmp_path) as server:
        told = {"MLFLOW_TRACKING_URI": server, "MLFLOW_EXPERIMENT_NAME": "inside"}
        in_image(image, inside, ["sh", "-c", STAGES], **told)
        own = {**os.environ, **told, "MLFLOW_EXPERIMENT_NAME": "here"}
        program = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(["sh", "-c", STAGES], check=True, cwd=here, env={**own, "PATH": program}, timeout=600)
        client = MlflowClient(server)
        told_of = {name: _recorded(client, name) for name in ("inside", "here")}
    assert told_of["inside"] == told_of["here"]
    assert any(name.endswith("report.html") for _, _, _, names in told_of["here"] for name in names)


def _recorded(client: MlflowClient, experiment: str) -> list[tuple[str, dict[str, str], dict[str, float], list[str]]]:
    """Of each run its name, parameters, metrics that are not times, and files."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    assert runs
    return sorted(
        (
            run.info.run_name,
            dict(run.data.params),
            {name: value for name, value in run.data.metrics.items() if "second" not in name},
            sorted(files(client, run.info.run_id)),
        )
        for run in runs
    )
