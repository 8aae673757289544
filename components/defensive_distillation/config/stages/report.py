"""Settings of report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from defensive_distillation.config.stages.base import ExperimentName, Input, StageConfig
from defensive_distillation.model_id import ModelId


class ReportConfig(StageConfig):
    """The sweep's table, figures and page."""

    stage: ClassVar[str] = "report"
    summary: ClassVar[str] = "Write the sweep's table, figures and HTML page."
    reads: ClassVar[Mapping[str, Input]] = {
        "evaluations": Input("evaluation", many=True, help="evaluation artifacts of all models")
    }
    writes: ClassVar[str] = "report"
    output: ClassVar[str] = "report"
    libraries: ClassVar[tuple[str, ...]] = ("matplotlib", "pillow")
    example: ClassVar[str] = "--evaluations out/evaluation out/baseline-evaluation --output out/report"

    experiment: ExperimentName = "digits"
    title: str = Field("", description="Title of the page; empty: after the data.")
    configuration: str = Field("", description="Settings of the sweep, YAML, which the page has for who repeats it.")

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """None: the report is on the sweep as a whole."""
        return None
