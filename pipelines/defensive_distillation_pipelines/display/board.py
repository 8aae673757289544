"""How far a run is, for people: bars on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from defensive_distillation.tracking.status import Status
from defensive_distillation_pipelines.definitions.plan import PlannedStep, ancestors
from defensive_distillation_pipelines.display.estimate import Estimate, Key

if TYPE_CHECKING:
    from rich.live import Live

LINE_INTERVAL = 15.0  # seconds between two lines where there is no terminal


class Board:
    """Shows the state of all steps of a run.

    Args:
        age: seconds since the run began.
        quiet: show nothing.
        planned: the steps will be known.
    """

    def __init__(self, age: float = 0.0, *, quiet: bool = False, planned: bool = True) -> None:
        self.planned = planned
        self.steps: Sequence[PlannedStep] = ()  # none where the plan is not known
        self._started = time.monotonic() - age
        self._last = ("", 0.0)
        self._quiet = quiet
        self._live: Live | None = _live() if sys.stderr.isatty() and not quiet else None
        self._estimate = Estimate()

    def show(
        self,
        statuses: Mapping[Key, Status],
        *,
        waiting: Collection[Key] = (),
        last: bool = False,
    ) -> None:
        """Draws the state of all steps.

        Args:
            statuses: what each step that has begun said last.
            waiting: steps that wait for a place to run.
            last: the run has ended well.
        """
        if self._quiet:
            return
        running = [status for status in statuses.values() if status.state == "running"]
        done, kept = self._done(statuses, finished=last)
        again = f" ({len(kept)} kept from before)" if kept else ""
        failed = sum(status.state == "failed" for status in statuses.values())
        counts = f"{len(done | kept)} done{again}, {len(running)} running"
        counts += f", {len(waiting)} waiting" if waiting else ""
        counts += f", {failed} failed" if failed else ""
        left = {step.key for step in self.steps} - kept - set(statuses) - set(waiting)
        if self.steps:
            counts += f", {len(left)} left"
        seconds = int(time.monotonic() - self._started)
        head = f"[{seconds // 60}:{seconds % 60:02d}] stages: {counts}"
        if self._live:
            self._estimate.look(statuses, time.monotonic())
            time_left = "" if last or not self.steps else self._estimate.left(left | set(waiting))
            self._draw(self._live, " · ".join(filter(None, (head, time_left))), running, last=last)
        else:
            self._print(head, running, counts, last=last)

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        if self._quiet:
            return
        if self._live:
            self._live.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the terminal as it is."""
        if self._live:
            self._live.stop()

    def _done(self, statuses: Mapping[Key, Status], *, finished: bool) -> tuple[set[Key], set[Key]]:
        """Steps that are done, and those that were not repeated: whatever a step that runs needs."""
        keys = [step.key for step in self.steps]
        known = set(keys) or set(statuses)
        done = {key for key, status in statuses.items() if status.state == "done" and key in known}
        seen = (place for place, key in enumerate(keys) if finished or key in statuses)
        kept = {keys[place] for place in ancestors(self.steps, seen)} - set(statuses)
        return done, kept

    def _print(self, head: str, running: Sequence[Status], state: str, *, last: bool) -> None:
        due = time.monotonic() - self._last[1] >= LINE_INTERVAL or state != self._last[0]
        if due or last:
            print(" · ".join([head, *map(_line, running)]), file=sys.stderr, flush=True)
            self._last = (state, time.monotonic())

    def _draw(self, live: Live, head: str, running: Sequence[Status], *, last: bool) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        for status in running:
            bar = ProgressBar(total=status.total or None, completed=status.done, width=20, pulse=not status.total)
            grid.add_row(
                f"  {status.title}", bar, f"{status.done}/{status.total} {status.unit}" if status.total else ""
            )
        live.update(Group(head, grid), refresh=True)
        if last:
            live.stop()


def _live() -> Live:
    from rich.console import Console
    from rich.live import Live

    live = Live(console=Console(stderr=True), auto_refresh=False)
    live.start()
    return live


def _line(status: Status) -> str:
    return f"{status.title} {status.done}/{status.total} {status.unit}" if status.total else status.title
