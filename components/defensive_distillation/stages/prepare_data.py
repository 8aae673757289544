"""prepare_data: reads, checks and splits a dataset."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from defensive_distillation import seeds
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.dataset import dataset_facts, dataset_tensors
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets import sources
from defensive_distillation.datasets.loading import load
from defensive_distillation.runtime import origin
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[PrepareDataConfig]) -> Result:
    config = task.config
    generator = torch.Generator().manual_seed(seeds.derive(config.seed, config.stage))
    with _local(config.source) as path:
        dataset = load(config.source, path, generator, **config.model_dump(exclude={"source", "seed", "content"}))
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


STAGE = Stage(PrepareDataConfig, _compute, settled=origin.of_images)
run = STAGE.run

if __name__ == "__main__":
    main("prepare_data")
