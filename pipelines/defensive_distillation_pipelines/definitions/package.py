"""The compiled pipeline as the text that Kubeflow is given."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from defensive_distillation_pipelines.definitions.lean import make_lean, stage_of

__all__ = ["Package", "compiled", "package", "stage_of"]


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # reads the same, ten times as fast


class _Dumper(yaml.SafeDumper):
    """Writes what stands in several places at each of them."""

    def ignore_aliases(self, data: Any) -> bool:
        """See above."""
        return True


@dataclass(frozen=True)
class Package:
    """A compiled pipeline: its text, and what can be read off it."""

    text: str

    @cached_property
    def documents(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The pipeline, and what it says for Kubernetes."""
        pipeline, platform = yaml.load_all(self.text, _LOADER)
        return pipeline, platform

    @property
    def pipeline(self) -> Mapping[str, Any]:
        """The pipeline itself."""
        return self.documents[0]

    @property
    def name(self) -> str:
        """Of the pipeline, as Kubeflow lists it."""
        return str(self.pipeline["pipelineInfo"]["name"])

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this version of the pipeline."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def compiled(pipeline: Any) -> str:
    """The compiled pipeline as YAML, the same text for the same definition.

    KFP heads it with a comment whose dictionaries come in another order each time: that comment is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(path))
        lines = path.read_text().splitlines(keepends=True)
    return "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))


def package(pipeline: Any) -> Package:
    """The compiled pipeline for a cluster."""
    documents = list(yaml.load_all(compiled(pipeline), _LOADER))
    make_lean(*documents)
    return Package(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=10_000))
