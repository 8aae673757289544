"""prepare_data: reads, checks and splits a dataset."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from defensive_distillation import seeds
from defensive_distillation.artifacts import Artifact, storage
from defensive_distillation.artifacts.codecs import dataset_facts, dataset_tensors, write_tensors
from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets import sources
from defensive_distillation.datasets.loading import load
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.tracking.recording import Recorder


def run(
    config: PrepareDataConfig, *, output: str, work: str | None = None, code: str = "", tracker: Recorder | None = None
) -> Artifact:
    """Writes the dataset that `config` describes to `output`; see `Stage.run`."""
    return STAGE.run(config, {}, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[PrepareDataConfig]) -> Result:
    config = task.config
    generator = torch.Generator().manual_seed(seeds.derive(config.seed, config.stage))
    with _local(config.source) as path:
        dataset = load(config.source, path, generator, **config.model_dump(exclude={"source", "seed"}))
    return Result(dataset_facts(dataset), lambda folder: write_tensors(folder, dataset_tensors(dataset)))


@contextlib.contextmanager
def _local(source: str) -> Iterator[Path | None]:
    """Where the source lies on this machine; None for the datasets known by name."""
    if source in sources.NAMED:
        yield None
    elif not storage.is_remote(source):
        yield Path(source)
    else:
        with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
            path = Path(folder, source.rstrip("/").rpartition("/")[2])
            if storage.exists(source):  # an archive
                storage.download_file(source, path)
            else:
                storage.download(source, path)
            yield path


def _record(task: Task[PrepareDataConfig], artifact: Artifact) -> None:
    assert task.tracker is not None
    run = task.tracker.sweep_run()
    facts = artifact.facts
    run.params(
        {
            "dataset": facts["name"],
            "classes": len(facts["classes"]),
            "image_shape": "×".join(map(str, facts["image_shape"])),
            "train_images": facts["train_images"],
            "test_images": facts["test_images"],
        }
    )
    run.tags({"defdistill.dataset": artifact.digest, "defdistill.seed": str(task.config.seed)})


STAGE = Stage(PrepareDataConfig, _compute, _record)

if __name__ == "__main__":
    main("prepare_data")
