"""One line of an examination."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["ok", "missing", "unknown"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do where that is not what a run needs."""

    subject: str
    state: State
    found: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def ok(subject: str, found: str) -> Finding:
    """What a run needs is there."""
    return Finding(subject, "ok", found)


def missing(subject: str, found: str, todo: str) -> Finding:
    """A run would fail, or not survive what it should."""
    return Finding(subject, "missing", found, todo)


def unknown(subject: str, found: str, todo: str = "") -> Finding:
    """It could not be looked at from here."""
    return Finding(subject, "unknown", found, todo)
