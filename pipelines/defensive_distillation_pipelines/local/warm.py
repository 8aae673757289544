"""Steps of Kubeflow's SubprocessRunner as copies of a process that has imported PyTorch already, two seconds' work.

Each step is still a process of its own, which can be killed and has its own processor time; Kubeflow's executor runs
the component's function in it, from a file, as in a fresh one.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import connection, forkserver
from pathlib import Path

_children = threading.Lock()  # two threads that ask for the end of one child would read it twice


def use() -> None:
    """Has Kubeflow's runner start its steps so, and begins with the imports beside what the caller does next.

    On Linux alone: elsewhere a copy may lack what the system's libraries hold open. Without a place for a socket, steps
    start as Kubeflow starts them.
    """
    if sys.platform != "linux":
        return
    multiprocessing.set_forkserver_preload(["defensive_distillation_pipelines.local.warmed"])
    try:
        forkserver.ensure_running()
    except OSError:
        return
    from kfp.local import subprocess_task_handler as handler

    handler.run_local_subprocess = run


def run(full_command: list[str], env_vars: Mapping[str, str] | None = None) -> int:
    """Runs the command of a lightweight component to its end; its exit code, below 0 that of the signal.

    What `kfp.local.subprocess_task_handler.run_local_subprocess` does with a fresh process.
    """
    with _children:
        process = multiprocessing.get_context("forkserver").Process(
            target=_step, args=(full_command, dict(env_vars or {}))
        )
        process.start()
    connection.wait([process.sentinel])
    with _children:
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _step(command: list[str], environment: Mapping[str, str]) -> None:
    """In the copy: what the command's shell script does, but for the start of Python."""
    os.environ.update({"_KFP_RUNTIME": "true", **environment})
    given = command.index("--executor_input")  # the component's source stands before it, as `sh` gets it
    from kfp.dsl.executor_main import executor_main

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        module = Path(folder, "ephemeral_component.py")
        module.write_text(command[given - 1], encoding="utf-8")
        sys.argv = ["kfp.dsl.executor_main", "--component_module_path", str(module), *command[given:]]
        executor_main()
