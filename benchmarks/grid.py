"""The paper's grid of temperatures on one device: the pipeline's own stages, several networks at once, no Kubeflow.

While one process packs, checks or draws, another has the device. A grid that was stopped goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from importlib import import_module
from pathlib import Path
from typing import Any

from defensive_distillation.config import ExperimentConfig, stage_config


class Grid:
    """The steps of `experiment` below `folder`, each network in a process."""

    def __init__(self, experiment: ExperimentConfig, folder: Path) -> None:
        self.experiment, self.folder = experiment, folder

    def stage(self, stage: str, output: str, temperature: float = 0.0, **inputs: Any) -> str:
        """Runs it, at a temperature if that is above 0, or finds that it has been run; where its result lies."""
        values = self.experiment.settings(stage)
        if temperature:
            values["temperature"] = temperature
        run = import_module(f"defensive_distillation.stages.{stage}").run
        run(stage_config(stage, values), output=self.at(output), work=self.at("unfinished"), **inputs)
        return self.at(output)

    def at(self, name: str) -> str:
        """A place of the grid."""
        return str(self.folder / name)

    def baseline(self) -> str:
        """Trains the undistilled network."""
        return self.stage("train_teacher", "baseline", 1.0, dataset=self.at("dataset"))

    def distilled(self, t: float) -> str:
        """The evaluation of a network distilled at T; at T = 1 the baseline is the teacher."""
        dataset = self.at("dataset")
        teacher = self.at("baseline")
        if t != 1:
            teacher = self.stage("train_teacher", f"teacher-{t:g}", t, dataset=dataset)
        labels = self.stage("generate_soft_labels", f"labels-{t:g}", t, dataset=dataset, teacher=teacher)
        self.stage("train_student", f"student-{t:g}", t, dataset=dataset, soft_labels=labels)
        return self.evaluation(f"student-{t:g}")

    def evaluation(self, name: str) -> str:
        """Of the network at `name`, attacked."""
        inputs: dict[str, Any] = {"dataset": self.at("dataset"), "model": self.at(name)}
        attacks = self.stage("attack", f"attack-{name}", **inputs)
        return self.stage("evaluate", f"evaluation-{name}", attacks=[attacks], **inputs)


def run(experiment: ExperimentConfig, folder: Path, *, workers: int, limit: float) -> dict[str, Any]:
    """Everything from the data to the report, which is of the networks that are judged within `limit` seconds.

    Returns:
        Seconds in all and of the parts, the networks that failed or are missing, and where the report lies.
    """
    start, grid = time.monotonic(), Grid(experiment, folder)
    grid.stage("prepare_data", "dataset")
    found: dict[str, Any] = {"seconds": {"prepare_data": time.monotonic() - start}, "missing": {}}
    jobs: dict[str, Future[str]] = {}
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:

        def begin(name: str, job: Callable[..., str], *arguments: Any) -> None:
            jobs[name] = pool.submit(job, *arguments)
            jobs[name].add_done_callback(
                lambda _: print(f"  {name} at {time.monotonic() - start:.0f} s", file=sys.stderr)
            )

        first = pool.submit(grid.baseline)
        for t in experiment.temperatures:
            if t != 1:
                begin(f"T={t:g}", grid.distilled, t)
        first.result()
        begin("baseline", grid.evaluation, "baseline")
        if 1 in experiment.temperatures:
            begin("T=1", grid.distilled, 1.0)
        finished, late = wait(jobs.values(), timeout=max(0.0, limit - (time.monotonic() - start)))
        if late:
            for process in pool._processes.values():  # no public way to stop one at work
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
    found["seconds"]["networks"] = time.monotonic() - start
    for name, job in jobs.items():
        if job not in finished:
            found["missing"][name] = f"not judged within {limit:g} s"
        elif job.exception():
            found["missing"][name] = str(job.exception())
    evaluations = [job.result() for name, job in jobs.items() if name not in found["missing"]]
    report = grid.stage("report", f"report-{len(evaluations)}", evaluations=evaluations)
    return {**found, "seconds": {**found["seconds"], "all": time.monotonic() - start}, "report": report}
