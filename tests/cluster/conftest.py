from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from defensive_distillation_pipelines.cluster import watching
from defensive_distillation_pipelines.commands import __main__ as program
from support.cluster.kubeflow import Kubeflow
from support.cluster.kubernetes import Kubernetes


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_cluster_but_ours(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the cluster of whoever starts the tests, and none waits as long as a person would."""
    for name in [name for name in os.environ if name.startswith(("KF_PIPELINES_", "KUBERNETES_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path_factory.getbasetemp() / "no-kubeconfig"))
    monkeypatch.setattr(watching, "POLL", 0.01)


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """A stand-in for Kubeflow Pipelines that the environment leads to."""
    server = Kubeflow()
    with server.running():
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.address)
        yield server


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A stand-in for Kubernetes that the kubeconfig leads to."""
    server = Kubernetes()
    with server.running():
        kubeconfig = server.kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield server


@pytest.fixture
def defdistill(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The program as it is installed, in this process."""

    def call(*arguments: str) -> Ended:
        code = 0
        try:
            program.main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return call
