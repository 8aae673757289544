"""Who runs which code with which command: what stands beside a result so that somebody can get it again.

Every command imports this, so it imports what takes its time where that is used.
"""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from defensive_distillation import __version__, variables
from defensive_distillation.addresses import shown

COMMAND = "DEFDISTILL_COMMAND"  # the command line, told to the processes that it starts
BEGUN = "DEFDISTILL_BEGUN"  # when that was, ISO 8601
RUN = "DEFDISTILL_RUN"  # name of the run that something is made for, outside of its steps
COMMIT = "DEFDISTILL_COMMIT"  # of git, told to an image that has no repository
_LIBRARIES = ("torch", "numpy", "matplotlib")
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Made:
    """How something was made; what is not known is ''.

    Attributes:
        written: when.
        begun: when the run began that it ends.
        run: name of the run.
        tracked: address of the run's page in MLflow.
        command: that began the run.
        code: version and commit.
        libraries: versions by name.
        machine: processor, cores and GPUs of the process that wrote it.
        configuration: settings of the run, YAML.
    """

    written: datetime
    begun: datetime | None = None
    run: str = ""
    tracked: str = ""
    command: str = ""
    code: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    configuration: str = ""


def of_run(name: str, began: str) -> AbstractContextManager[None]:
    """Within it, what is made belongs to the run `name`, whose command was `began`; '' where nobody knows."""
    return variables.set_to({COMMAND: began, BEGUN: "", RUN: name})


def here_and_now() -> Made:
    """How this process makes what it writes now."""
    import platform

    begun = os.environ.get(BEGUN, "")
    return Made(
        written=datetime.now(UTC),
        begun=datetime.fromisoformat(begun) if begun else None,
        run=os.environ.get(RUN) or os.environ.get("KFP_RUN_ID", ""),
        tracked=_tracked(),
        command=command(),
        code=", ".join(filter(None, (__version__, f"commit {commit()}" if commit() else ""))),
        libraries={"Python": platform.python_version(), **_versions()},
        machine=machine(),
    )


def command() -> str:
    """The command line that this process, or the one that started it, was called by; '' in a library or a cluster."""
    return os.environ.get(COMMAND, "")


def told_to_children(program: str, arguments: Sequence[str] | None = None) -> None:
    """Tells the processes that this one starts by which command it was called: `program` and its arguments."""
    os.environ[COMMAND] = shlex.join([program, *(sys.argv[1:] if arguments is None else arguments)])
    os.environ[BEGUN] = datetime.now(UTC).isoformat()


@functools.cache
def commit() -> str:
    """The git commit of this code, with '-changed' where files differ from it; '' where nobody knows."""
    if told := os.environ.get(COMMIT, ""):
        return told if told != "unknown" else ""
    folder = Path(__file__).resolve().parent
    # an installed copy in an environment below somebody's repository is none of its files
    if not git(folder, "ls-files", "--error-unmatch", Path(__file__).name):
        return ""
    changed = git(folder, "status", "--porcelain", "--", ".")
    return git(folder, "rev-parse", "HEAD") + ("-changed" if changed else "")


@functools.cache
def machine() -> str:
    """Processor, cores and GPUs of this machine, such as 'AMD EPYC 7763, 2 cores, NVIDIA H100 80GB HBM3'."""
    import platform

    processors = values(Path("/proc/cpuinfo"), "model name") or [platform.processor() or platform.machine()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = [name for card in sorted(_GPUS.glob("*/information")) for name in values(card, "Model")]
    return ", ".join(filter(None, (processors[0], f"{cores} core{'s' if cores > 1 else ''}", *gpus)))


def user() -> str:
    """Who runs this, '' where the system has no name for them, as in a container."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder; '' where it fails, or is not there."""
    import subprocess

    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def values(path: Path, key: str) -> list[str]:
    """The values of a key in a file of lines 'key: value', each once; none where there is no such file."""
    try:
        lines = [line.partition(":") for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    return list(dict.fromkeys(value.strip() for name, _, value in lines if name.strip() == key))


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _tracked() -> str:
    """The address of the run's page where MLflow is a server and the environment names the run; '' else."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    run = os.environ.get("DEFDISTILL_MLFLOW_PARENT") or os.environ.get("MLFLOW_RUN_ID")
    return f"{shown(server).rstrip('/')}/#/runs/{run}" if run and server.startswith(("http://", "https://")) else ""
