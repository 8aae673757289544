"""How long a run will still take, from how long its steps have taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from defensive_distillation.tracking.status import Status

Key = tuple[str, str, str]  # stage, label of the model, and what tells apart several steps of one stage on it


@dataclass(frozen=True)
class Begun:
    """A step when it was first seen running."""

    at: float
    done: int


@dataclass
class Estimate:
    """What is seen of the steps, and what follows for those that are left.

    A step takes as long as one of its stage and attacks, or else of its stage, has taken; one that tells how far it is
    goes on as fast as it went. Steps that run side by side share the time.
    """

    _begun: dict[Key, Begun] = field(default_factory=dict)
    _took: dict[Key, float] = field(default_factory=dict)  # seconds of steps that were seen from begin to end
    _now: float = 0.0
    _running: list[tuple[Key, Status]] = field(default_factory=list)

    def look(self, statuses: Mapping[Key, Status], now: float) -> None:
        """Takes note of how far the steps are at a moment, in seconds of any clock."""
        self._now = now
        self._running = [(key, status) for key, status in statuses.items() if status.state == "running"]
        for key, status in self._running:
            self._begun.setdefault(key, Begun(now, status.done))
        for key, status in statuses.items():
            if status.state == "done" and key in self._begun:
                self._took.setdefault(key, now - self._begun[key].at)

    def left(self, waiting: Collection[Key]) -> str:
        """'about 3 min left', or '' as long as less than half of the steps are like one that was seen.

        Args:
            waiting: the steps that have not begun.
        """
        each = [self._remaining(key, status) for key, status in self._running] + [self._usual(key) for key in waiting]
        known = [seconds for seconds in each if seconds is not None]
        if not known or 2 * len(known) < len(each):
            return ""
        seconds = sum(known) * len(each) / len(known)  # the others like the mean of these
        return f"about {_said(seconds / max(1, len(self._running)))} left"

    def _remaining(self, key: Key, status: Status) -> float | None:
        begun = self._begun[key]
        elapsed, made = self._now - begun.at, status.done - begun.done
        if status.total and made > 0:
            return elapsed * (status.total - status.done) / made
        usual = self._usual(key)
        return None if usual is None else max(0.0, usual - elapsed)

    def _usual(self, key: Key) -> float | None:
        """What a step like this one has taken."""
        stage, _, part = key
        of_stage = {other: seconds for other, seconds in self._took.items() if other[0] == stage}
        alike = [seconds for other, seconds in of_stage.items() if other[2] == part] or list(of_stage.values())
        return sum(alike) / len(alike) if alike else None


def _said(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
