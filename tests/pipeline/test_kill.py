"""A stage that is killed at any moment and started again ends in the same bytes as one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.chain import Chain
from support.files import bytes_of


def killed_until_done(command: list[str], first_delay: float, moments: random.Random) -> int:
    """Starts the command again and again, kills it at random moments later and later; how often it was killed."""
    kills, delay = 0, first_delay
    while True:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=delay * moments.uniform(0.7, 1.3))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            delay *= 1.15  # a slow machine gets further each time
            assert kills < 40
            continue
        assert code == 0
        return kills


def stage(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"defensive_distillation.stages.{name}", *arguments]


def seconds(command: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("place", ["beside the output", "in a common folder"])
def test_a_training_killed_at_random_moments_ends_in_the_same_bytes(chain: Chain, tmp_path: Path, place: str) -> None:
    arguments = ["--dataset", chain.place("dataset"), "--temperature", "20", "--epochs", "20", "--batch-size", "8"]
    arguments += ["--learning-rate", "0.05", "--momentum", "0.9", "--decay", "0.5", "--decay-epochs", "4"]
    arguments += ["--minimum-progress", "0"]
    alone = seconds(stage("train_teacher", *arguments, "--output", str(tmp_path / "alone")))
    work = [] if place == "beside the output" else ["--work", str(tmp_path / "work")]
    command = stage("train_teacher", *arguments, *work, "--output", str(tmp_path / "killed"))
    # a third of the way: after the imports, before the end
    kills = killed_until_done(command, alone * 0.55, random.Random(place))
    assert kills >= 1
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "killed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "work") == ["alone", "killed"]


@pytest.mark.slow
def test_an_attack_killed_at_random_moments_ends_in_the_same_bytes(chain: Chain, tmp_path: Path) -> None:
    arguments = ["--dataset", chain.place("dataset"), "--model", chain.place("teacher-1"), "--jsma.sources", "30"]
    arguments += ["--part-size", "10", "--jsma.max-features", "60"]
    alone = seconds(stage("attack", *arguments, "--output", str(tmp_path / "alone")))
    command = stage("attack", *arguments, "--output", str(tmp_path / "killed"))
    kills = killed_until_done(command, alone * 0.55, random.Random(1))
    assert kills >= 1
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "killed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "killed"]
