"""A stage that is killed at any moment and started again ends in the same bytes as one that was left alone."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defensive_distillation.config import AttackConfig, TrainTeacherConfig
from defensive_distillation.stages import attack, train_teacher
from support.chain import Chain
from support.files import bytes_of

# a process for each try, copied from one that has imported the stages, and what an optimiser imports: a kill costs none
STAGES = multiprocessing.get_context("forkserver")
STAGES.set_forkserver_preload([attack.__name__, train_teacher.__name__, "torch._dynamo"])


def killed_until_done(stage: Any, config: Any, given: dict[str, str], work: Path, moments: Iterator[float]) -> int:
    """Starts a stage again and again and kills it, first as soon as it has saved something; how often it was killed."""
    for kills, delay in enumerate(moments):
        process = STAGES.Process(target=stage.run, args=(config,), kwargs=given)
        process.start()
        if kills:
            process.join(delay)
        else:  # by what it did, not by the clock: it may go faster than alone
            while process.is_alive() and not list(work.rglob("*.safetensors")):
                time.sleep(0.005)
        if process.exitcode is None:
            # without a word, or as Ctrl-C does
            os.kill(process.pid or 0, (signal.SIGKILL, signal.SIGINT)[kills % 2])
            process.join(10)
        if process.exitcode == 0:
            return kills
    raise AssertionError("it was never done")


def seconds_alone(stage: Any, config: Any, given: dict[str, str]) -> float:
    """Runs a stage that nobody kills, in such a process too; how long it took."""
    ready = STAGES.Process(target=time.sleep, args=(0,))  # the first one waits for the imports
    ready.start()
    ready.join()
    started = time.monotonic()
    process = STAGES.Process(target=stage.run, args=(config,), kwargs=given)
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def delays(seconds: float, seed: int) -> Iterator[float]:
    """Random moments of what a stage takes; a machine that has got slower gets further each time."""
    moments = random.Random(seed)
    for number in range(40):
        yield seconds * moments.uniform(0.1, 0.6) * 1.15**number


@pytest.mark.parametrize("place", ["beside the output", "in a common folder"])
@pytest.mark.parametrize("name", ["train_teacher", "attack"])
def test_a_stage_killed_at_random_moments_ends_in_the_same_bytes(
    chain: Chain, tmp_path: Path, name: str, place: str
) -> None:
    given = {"dataset": chain.place("dataset")}
    if name == "attack":
        stage: Any = attack
        config: Any = AttackConfig(jsma={"sources": 6, "max_features": 30}, part_size=6, threads=1)
        given["model"] = chain.place("teacher-1")
    else:
        stage = train_teacher
        learning = {"learning_rate": 0.05, "momentum": 0.9, "decay": 0.5, "decay_epochs": 4, "minimum_progress": 0}
        config = TrainTeacherConfig(temperature=20, epochs=8, batch_size=32, threads=1, **learning)
    moments = delays(seconds_alone(stage, config, {**given, "output": str(tmp_path / "alone")}), len(name + place))
    work = tmp_path / (".killed.unfinished" if place == "beside the output" else "work")
    if place == "in a common folder":
        given["work"] = str(work)
    kills = killed_until_done(stage, config, {**given, "output": str(tmp_path / "killed")}, work, moments)
    assert kills >= 1
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "killed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "work") == ["alone", "killed"]
