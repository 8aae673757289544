"""Following a run to its end, and telling why a step waits or has failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from defensive_distillation.errors import ClusterError, first_line
from defensive_distillation_pipelines.cluster.progress.sources import Sources
from defensive_distillation_pipelines.cluster.progress.view import Titles, Trouble, View
from defensive_distillation_pipelines.cluster.reasons import TIME_OUT, own_words
from defensive_distillation_pipelines.cluster.runs import Run, Runs
from defensive_distillation_pipelines.cluster.server import held_up
from defensive_distillation_pipelines.definitions.plan import PlannedStep
from defensive_distillation_pipelines.display.board import Board

POLL = 5.0  # seconds; Argo looks at a workflow every ten
LONGEST_PAUSE = 30.0  # seconds between two attempts at a server that does not answer
_KINDS = {"waits": "waits", "failed": "failed", "again": "failed, the cluster may try again"}
_STATES = {
    "PENDING": "waiting to begin",
    "PAUSED": "paused",
    "CANCELING": "being cancelled",
    "RUNTIME_STATE_UNSPECIFIED": "waiting to begin",
}
_ENDS = {"SKIPPED": "was skipped"}
_NO_REASON = "no reason is told here; with a kubeconfig that may read Workflows, the same command finds it"
_TOLD = 3  # failed steps that are told at the end
T = TypeVar("T")


class RunFailedError(ClusterError):
    """A run that failed or was cancelled; the message says why, as far as that is known."""


class Watch:
    """One run, followed by a person.

    Args:
        runs: Kubeflow's API.
        sources: where progress is read from.
        steps: those that the pipeline will take, none where they are not known.
        poll: seconds between two looks.
        quiet: no word of the progress.
    """

    def __init__(
        self, runs: Runs, sources: Sources, steps: Sequence[PlannedStep], *, poll: float, quiet: bool = False
    ) -> None:
        self._runs, self._sources, self._poll, self._quiet = runs, sources, poll, quiet
        self._titles = Titles(steps)
        self._steps = steps
        self._said: dict[str, str] = {}  # what about, and the line
        self._logs: dict[str, str] = {}  # the words of failed nodes

    def until_ended(self, run_id: str) -> Run:
        """Shows the run's progress until it ends.

        Raises:
            RunFailedError: if it did not succeed.
            ClusterError: if Kubeflow Pipelines refuses; one that does not answer is waited for.
        """
        run = self._runs.get(run_id)
        board = Board(run.age, quiet=self._quiet)
        board.steps = self._steps
        try:
            while True:
                view = self._sources.look(run)
                self._tell(board, run, view)
                if run.outcome is not None:
                    return self._ended(run, view)
                time.sleep(self._poll)
                run = self._patiently(board, lambda: self._runs.get(run_id))
        finally:
            board.close()

    def _tell(self, board: Board, run: Run, view: View) -> None:
        if run.outcome is None:
            self._say(board, "source", f"stages: from {view.source}")
            if run.state != "RUNNING":
                self._say(board, "state", f"the run is {_STATES.get(run.state, run.state.lower())}")
        for trouble in self._troubles(run, view):
            title, reason = self._titles.of(trouble), self._reason(run, trouble)
            if self._said.get(title) != f"{title} {_KINDS['again']}: {reason}":  # it was then not tried again
                self._say(board, title, f"{title} {_KINDS[trouble.kind]}: {reason}")
        last = run.outcome == "succeeded"
        view = self._titles.succeeded(view) if last else view
        board.show(self._titles.statuses(view), waiting=self._titles.waiting(view), last=last)

    def _say(self, board: Board, about: str, line: str) -> None:
        if self._said.get(about) != line:
            self._said[about] = line
            board.say(line)

    def _troubles(self, run: Run, view: View) -> Sequence[Trouble]:
        """Those that are news: of a run that is stopped none that came of it."""
        return [one for one in view.troubles if not (run.stopped and one.reason in (TIME_OUT, ""))]

    def _reason(self, run: Run, trouble: Trouble) -> str:
        if trouble.reason or not trouble.node:
            return self._titles.words(trouble, trouble.reason) or "no reason is told"
        if trouble.node not in self._logs:
            try:
                words = own_words(self._runs.log(run.id, trouble.node))
                self._logs[trouble.node] = self._titles.words(trouble, words)
            except ClusterError as error:
                return f"its log could not be read: {first_line(error)}"
        return self._logs[trouble.node] or "its log tells no reason"

    def _patiently(self, board: Board, ask: Callable[[], T]) -> T:
        """The answer, also of a server that is away for a while: that does not end the run."""
        pause = self._poll
        while True:
            try:
                answer = ask()
            except ClusterError as error:
                if not held_up(error):
                    raise
                self._say(board, "server", f"{first_line(error)}; the run goes on, asking again")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self._said.pop("server", None):
                    board.say("Kubeflow Pipelines answers again")
                return answer

    def _ended(self, run: Run, view: View) -> Run:
        if run.outcome == "succeeded":
            return run
        failed = [one for one in self._troubles(run, view) if one.kind == "failed"]
        reasons = [f"{self._titles.of(one)}: {self._reason(run, one)}" for one in failed[:_TOLD]]
        if len(failed) > _TOLD:
            reasons.append(f"and {len(failed) - _TOLD} more")
        reasons = reasons or list(filter(None, [view.message, run.error, _NO_REASON]))[:1]
        if run.outcome == "cancelled":
            raise RunFailedError(f"run {run.title} was cancelled")
        raise RunFailedError(f"run {run.title} {_ENDS.get(run.state, 'failed')}: {'; '.join(reasons)}")
