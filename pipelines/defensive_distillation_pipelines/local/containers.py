"""Each step in a container of its own: Kubeflow Pipelines' DockerRunner, and what it leaves open.

A container sees the folders that the run writes and what its data comes from, each under the path that it has here; all
else in it is read-only. It belongs to no process of this machine, so whoever started it must end it (`end`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, Mount
from kfp import local
from kfp.local import docker_task_handler, status
from pydantic import BaseModel, ConfigDict

from defensive_distillation import plugins
from defensive_distillation.errors import InputError, first_line
from defensive_distillation.tracking.status import RUN_DIR

if TYPE_CHECKING:
    from docker.client import DockerClient

RUN = "defensive-distillation.run"  # label of a container: the folder of its run
_PLUGINS = "/plugins"  # where modules of others lie in a container
_PASSED = ("AWS_", "CUBLAS_", "CUDA_", "DEFDISTILL_", "KFP_", "MKL_", "OMP_", "HTTP", "NO_PROXY", "http", "no_proxy")
_GPU = Path("/dev/nvidiactl")  # is there where NVIDIA's driver is


class Containers(BaseModel):
    """How the steps of a job run in containers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    digest: str  # of the image: another image of the same name has other results
    network: str | None = None  # none: Docker's own choice
    read: tuple[str, ...] = ()  # files and folders that the steps read
    gpus: bool = False


def containers(image: str, network: str | None, read: Sequence[str]) -> Containers:
    """The containers of a run, after a look whether the engine, the image and the network are there.

    Raises:
        InputError: naming what is missing.
    """
    with _engine() as client:
        digest = _digest(client, image)
        if network is not None and not any(one.name == network for one in client.networks.list()):
            known = ", ".join(sorted(one.name for one in client.networks.list()))
            raise InputError(f"--network: expected one of {known}, got {network!r}")
        gpus = _GPU.exists() and "nvidia" in client.info().get("Runtimes", {})
    present = tuple(place for place in read if Path(place).exists())  # a step says what is wrong with any other
    return Containers(image=image, digest=digest, network=network, read=present, gpus=gpus)


def runner(wanted: Containers, workspace: Path) -> local.DockerRunner:
    """Kubeflow's runner, for this process's run."""
    docker_task_handler.DockerTaskHandler = _Checked
    run_dir = Path(os.environ[RUN_DIR])
    written = [str(workspace / "work"), str(run_dir)]  # Kubeflow itself adds the store
    files = [value for name, value in _environment().items() if name.startswith("AWS_") and Path(value).is_file()]
    modules = plugins.places()
    options: dict[str, Any] = {"network": wanted.network} if wanted.network is not None else {}
    if wanted.gpus:
        options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return local.DockerRunner(
        user=f"{os.getuid()}:{os.getgid()}",
        environment={**_environment(), **({"PYTHONPATH": _PLUGINS} if modules else {})},
        mounts=[
            *(Mount(place, place, type="bind") for place in written),
            *(_read_only(place, str(Path(place).absolute())) for place in (*wanted.read, *files)),
            *(_read_only(str(place), f"{_PLUGINS}/{place.name}") for place in modules),
        ],
        read_only=True,
        tmpfs={"/tmp": ""},
        working_dir=str(Path.cwd()),  # a relative path means what it means here
        security_opt=["no-new-privileges"],
        shm_size="1g",
        labels={RUN: str(run_dir)},
        **options,
    )


def end(run_dir: Path) -> None:
    """Ends all containers of a run, and whatever of earlier starts of it is left."""
    with contextlib.suppress(InputError), _engine() as client:
        for container in client.containers.list(all=True, filters={"label": f"{RUN}={run_dir}"}, ignore_removed=True):
            with contextlib.suppress(APIError):  # it has just ended by itself
                container.remove(force=True)


class _Checked(docker_task_handler.DockerTaskHandler):  # type: ignore[misc]
    """Kubeflow's, which takes a container for successful that was gone before it could be asked how it had ended."""

    def run(self) -> status.Status:
        """Runs the container; a success without the file that Kubeflow's executor writes last is none."""
        try:
            result = super().run()
        except DockerException as error:
            print(f"Docker did not run {self.image}: {first_line(error)}")
            return status.Status.FAILURE
        if result == status.Status.SUCCESS and not _last_file(self.full_command).is_file():
            print(f"{self.image}: expected the container to write {_last_file(self.full_command)}, it ended without")
            return status.Status.FAILURE
        return result


def _last_file(command: Sequence[str]) -> Path:
    told = json.loads(command[command.index("--executor_input") + 1])
    return Path(told["outputs"]["outputFile"])


@contextlib.contextmanager
def _engine() -> Iterator[DockerClient]:
    try:
        client = docker.from_env()
    except DockerException as error:
        raise InputError(
            f"--runner docker: expected a running Docker engine, found none: {first_line(error)}"
        ) from error
    with contextlib.closing(client):
        yield client


def _digest(client: DockerClient, image: str) -> str:
    """The digest of an image that is here; Kubeflow would look for any other in a registry."""
    name = image if ":" in image else f"{image}:latest"
    try:
        found = client.images.get(name)
    except NotFound:
        found = None
    if found is None or name not in (*found.tags, *found.attrs["RepoDigests"]):
        raise InputError(
            f"--image: expected an image that this machine has ('make image' builds one, 'docker images' lists them), "
            f"got {image!r}"
        )
    return str(found.id)


def _environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}


def _read_only(source: str, target: str) -> Mount:
    return Mount(target, str(Path(source).absolute()), type="bind", read_only=True)
