"""The process that one of Kubeflow Pipelines' own local runners works in: SubprocessRunner or DockerRunner.

`python -m defensive_distillation_pipelines.local.process JOB` runs a job, a JSON file that says what to run, and where.
execution.py starts it and follows its steps. It holds the other end of the standard input, which closes when it ends,
however it went and however early.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from defensive_distillation.artifacts.storage import drafts
from defensive_distillation.config import STAGES, experiment
from defensive_distillation.runtime.code_version import code_digest
from defensive_distillation.tracking.status import RUN_DIR
from defensive_distillation_pipelines.local import warm


class Job(BaseModel):
    """What the process that Kubeflow runs in is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workspace: str
    plan: str  # the file that the steps of the pipeline are written to
    kept: str  # the file that tells which steps were done before: the places of their artifacts in the store
    experiment: dict[str, Any] | None = None  # the sweep to run, or
    rerun: dict[str, Any] | None = None  # the arguments of rerun.rerun
    containers: dict[str, Any] | None = None  # a containers.Containers: each step in one; None: each in a process


def main(path: str) -> None:
    """Runs the job and exits with 0 if every step did."""
    job = Job.model_validate(json.loads(Path(path).read_bytes()))
    threading.Thread(target=_end_with_parent, args=(job,), daemon=True).start()
    # the runner warns of images without 'python' in their name, and of resources that mean nothing here
    warnings.simplefilter("ignore")
    if job.containers is None:
        warm.use()
    from kfp import local

    from defensive_distillation_pipelines.local import finished_steps

    root = Path(job.workspace)
    _keep_values()
    drafts.remove_all_abandoned(root / "store")  # each attempt has a folder of its own, so no step finds them
    runner, cache, image = local.SubprocessRunner(use_venv=False), root / "cache", ""
    if job.containers is not None:
        from defensive_distillation_pipelines.local.containers import Containers
        from defensive_distillation_pipelines.local.containers import runner as in_containers

        wanted = Containers.model_validate(job.containers)
        runner, image = in_containers(wanted, root), wanted.image
        cache = cache / wanted.digest.partition(":")[2]  # what another image has made is nothing to it
    local.init(
        runner,
        pipeline_root=str(root / "store"),
        # its own, which Kubeflow removes at the end: other runs have unfinished work beside it
        workspace_root=str(root / "work" / f".kubeflow-{os.getpid()}"),
        enable_caching=True,
        cache_root=str(cache),
        raise_on_error=True,
    )
    finished_steps.use(Path(job.kept))
    pipeline = _pipeline(job, image)
    _write_plan(pipeline, Path(job.plan))
    pipeline()


def _keep_values() -> None:
    """Keeps the runner from replacing 'python3' in what a step is given: in paths and settings it is no program."""
    from kfp.local import subprocess_task_handler as handler

    replace = handler.replace_python_executable

    def in_program(command: list[str], executable: str) -> list[str]:
        given = command.index("--executor_input")
        return [*replace(command[:given], shlex.quote(executable)), *command[given:]]

    handler.replace_python_executable = in_program


def _pipeline(job: Job, image: str) -> Any:
    work = str(Path(job.workspace, "work").absolute())
    if job.rerun is not None:
        from defensive_distillation_pipelines.definitions.rerun import rerun

        return rerun(**job.rerun, work=work)
    from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE
    from defensive_distillation_pipelines.definitions.sweep import sweep

    assert job.experiment is not None
    codes = {stage: code_digest(stage) for stage in STAGES}
    return sweep(experiment(job.experiment), cluster=None, work=work, codes=codes, image=image or LOCAL_IMAGE)


def _write_plan(pipeline: Any, path: Path) -> None:
    from google.protobuf import json_format

    from defensive_distillation_pipelines.definitions.plan import plan

    steps = plan(json_format.MessageToDict(pipeline.pipeline_spec))
    beside = path.with_suffix(".tmp")
    beside.write_bytes(json.dumps([step.model_dump(mode="json") for step in steps]).encode())
    beside.replace(path)


def _end_with_parent(job: Job) -> None:
    """Ends this process and all its steps when the command that started it is gone."""
    while os.read(0, 1):
        pass
    if job.containers is not None:
        from defensive_distillation_pipelines.local.containers import end

        end(Path(os.environ[RUN_DIR]))
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
