"""Where stages are recorded."""

from __future__ import annotations

from defensive_distillation.tracking import Recorder


def recorder(pipeline_run: str | None = None, *, rerun: str = "") -> Recorder | None:
    """The recorder that the environment asks for, or None."""
    return None
