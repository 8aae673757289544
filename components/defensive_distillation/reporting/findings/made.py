"""How a page was made: what somebody needs to make it again, or to find what it was made from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from defensive_distillation.provenance import Made

Line = tuple[str, str, str]  # what it is, what it was, and an address that leads there, '' for none


def how_made(made: Made, seed: int) -> dict[str, Any]:
    """A line for everything that is known, and the settings of the run."""
    libraries = ", ".join(f"{name} {version}" for name, version in made.libraries.items())
    lines: list[Line] = [
        ("Written", f"{_moment(made.written)}{_after(made)}", ""),
        ("Run", made.run, ""),
        ("MLflow", made.tracked or (made.run and f"defdistill ui, run {made.run}"), made.tracked),
        ("Command", made.command, ""),
        ("Seed", str(seed), ""),
        ("Code", made.code, ""),
        ("Libraries", libraries, ""),
        ("Machine", made.machine, ""),
    ]
    return {"lines": [line for line in lines if line[1]], "configuration": made.configuration}


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _after(made: Made) -> str:
    if made.begun is None:
        return ""
    return f", {_duration(made.written - made.begun)} after the run began; what was there already is not in it"


def _duration(time: timedelta) -> str:
    """'47 s', '3 min 12 s' or '5 h 2 min'."""
    minutes, seconds = divmod(max(0, round(time.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
