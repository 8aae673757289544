"""Nothing of a run goes on once its command is gone, however early it was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

CLI = [sys.executable, "-m", "defensive_distillation_pipelines.commands"]
PROCESS = "defensive_distillation_pipelines.local.process"


def descendants(process: psutil.Process) -> dict[psutil.Process, list[str]]:
    """The processes below one, with their words; of one that ends just now none."""
    found = {}
    for child in process.children(recursive=True):
        try:
            found[child] = child.cmdline()
        except psutil.NoSuchProcess:
            found[child] = []
    return found


@pytest.mark.parametrize("seconds", [0, 0.3, 1])
def test_a_run_that_is_killed_as_soon_as_its_child_appears_leaves_no_process(tmp_path: Path, seconds: float) -> None:
    arguments = [*CLI, "run", "--workspace", str(tmp_path / "workspace"), "--temperatures", "20"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
        process, deadline = psutil.Process(command.pid), time.monotonic() + 60
        while not any(PROCESS in words for words in descendants(process).values()):
            assert time.monotonic() < deadline
            assert command.poll() is None
            time.sleep(0.001)
        time.sleep(seconds)
        below = list(descendants(process))
        command.kill()
    _gone, alive = psutil.wait_procs(below, timeout=20)
    for orphan in alive:
        orphan.kill()
    assert not alive
