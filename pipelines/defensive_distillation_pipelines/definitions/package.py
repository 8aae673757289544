"""The compiled pipeline as the text that Kubeflow is given."""

from __future__ import annotations

import hashlib
import itertools
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

_ENTRY = ("python3", "-m", "defensive_distillation.runtime.kubeflow")


@dataclass(frozen=True)
class Package:
    """A compiled pipeline: its text, and what can be read off it."""

    text: str

    @cached_property
    def documents(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The pipeline, and what it says for Kubernetes."""
        pipeline, platform = yaml.safe_load_all(self.text)
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
    """The compiled pipeline for a cluster.

    KFP lets each step carry the text of its function, which a workflow would then hold six times for every step. Our
    image has the function: the step only names its stage (runtime/kubeflow).
    """
    documents = list(yaml.safe_load_all(compiled(pipeline)))
    for name, executor in documents[0]["deploymentSpec"]["executors"].items():
        executor["container"] |= {"command": [*_ENTRY, stage_of(name.removeprefix("exec-"))], "args": ["{{$}}"]}
    return Package(yaml.safe_dump_all(documents, sort_keys=True, width=10_000))


def stage_of(component: str) -> str:
    """The stage of a component by its name in the compiled pipeline, which is numbered where there are several."""
    return re.sub(r"-\d+$", "", component).replace("-", "_")
