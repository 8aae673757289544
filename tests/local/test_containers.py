"""`defdistill run --runner docker`, as far as it can be seen without Docker; tests/docker has the rest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from defensive_distillation_pipelines.commands import cli
from support.containers import docker_engine

CLI = [sys.executable, "-m", "defensive_distillation_pipelines.commands"]
IMAGE = ("--runner", "docker", "--image", docker_engine.IMAGE)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[docker_engine.Engine]:
    with docker_engine.running() as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        yield engine


def refused(capsys: pytest.CaptureFixture[str], workspace: Path, *flags: str) -> str:
    """The one line that a run with these flags ends with before anything is made."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--workspace", str(workspace), *flags])
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert len(said.splitlines()) == 1
    assert not workspace.exists()
    return said


@pytest.mark.slow
def test_without_docker_a_run_in_containers_ends_with_one_line(tmp_path: Path) -> None:
    # in a process of its own: Docker's client leaves its socket open where it finds no engine
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(
        [*CLI, "run", *IMAGE], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("defdistill: --runner docker: expected a running Docker engine, found none: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_image_that_is_not_here_ends_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: docker_engine.Engine
) -> None:
    said = refused(capsys, tmp_path / "workspace", "--runner", "docker", "--image", "elsewhere:2")
    assert "--image: expected an image that this machine has" in said
    assert "got 'elsewhere:2'" in said
    assert not engine.created


def test_a_network_that_is_not_there_ends_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: docker_engine.Engine
) -> None:
    said = refused(capsys, tmp_path / "workspace", *IMAGE, "--network", "nowhere")
    assert "--network: expected one of bridge, host, got 'nowhere'" in said
    assert not engine.created


@pytest.mark.parametrize("flag", ["--image", "--network"])
def test_flags_of_containers_are_refused_without_containers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    said = refused(capsys, tmp_path / "workspace", flag, "some")
    assert f"{flag}: expected with --runner docker, got it without" in said


@pytest.mark.slow
def test_a_container_that_dies_at_once_is_a_failure_and_nothing_of_it_is_left(
    tmp_path: Path, engine: docker_engine.Engine
) -> None:
    archive = tmp_path / "digits.zip"
    archive.write_bytes(b"is not opened here")
    of_another_run = tmp_path / "workspace" / "work" / ("0" * 32)
    of_another_run.mkdir(parents=True)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**plain, "AWS_REGION": "here"}
    done = subprocess.run(
        [*CLI, "run", *IMAGE, "--network", "host", "--run", "one", "--set", f"prepare_data.source={archive}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("defdistill: a container ended before its stage began; log: ")
    log = Path(last.rpartition("log: ")[2])
    assert "expected the container to write" in (tmp_path / log).read_text()
    assert engine.removed == ["/containers/c0ffee"]

    asked = engine.created[0]
    host, workspace = asked["HostConfig"], tmp_path / "workspace"
    assert asked["Image"] == docker_engine.IMAGE
    assert asked["User"] == f"{os.getuid()}:{os.getgid()}"
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"] == {"/tmp": ""}
    assert host["NetworkMode"] == "host"
    mounts = {mount["Target"]: mount.get("ReadOnly", False) for mount in host["Mounts"]}
    assert mounts == {str(workspace / "work"): False, str(workspace / "runs" / "one"): False, str(archive): True}
    store, own = sorted(host["Binds"])
    assert store == f"{workspace / 'store'}:{workspace / 'store'}:rw"
    assert re.fullmatch(rf"{re.escape(str(workspace / 'work'))}/\.kubeflow-\d+:/kfp-workspace:rw", own)
    assert [path.name for path in (workspace / "work").iterdir()] == [of_another_run.name]  # Kubeflow's own is gone
    told = dict(pair.split("=", 1) for pair in asked["Env"])
    assert told["AWS_REGION"] == "here"
    assert told["DEFDISTILL_RUN_DIR"] == str(workspace / "runs" / "one")
    assert told["KFP_RUN_ID"] == "one"
    assert "PYTHONPATH" not in told  # without plugins
    assert asked["Labels"] == {"defensive-distillation.run": str(workspace / "runs" / "one")}
