"""The beginning and the end of an attempt at a sweep: no run says RUNNING for ever, or FAILED while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation.tracking.client import reported
from defensive_distillation.tracking.mlflow_runs import REASON, Run
from defensive_distillation.tracking.status import FINISHED

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun

    from defensive_distillation.tracking.run_tree import RunTree

_OPEN = "RUNNING"


def reopen(tree: RunTree) -> None:
    """Marks as RUNNING what an attempt that failed or was stopped has left, for another one begins.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    for run in tree.children():
        if run.info.status not in (_OPEN, FINISHED):
            _run(tree, run).begun()
    if not tree.rerun:
        tree.parent.begun()


def is_open(tree: RunTree) -> bool:
    """Whether the sweep's run, or of a rerun one of its own, is still RUNNING.

    Raises:
        TrackingError: if MLflow does not answer.
    """
    with reported(tree.uri):
        runs = tree.children() if tree.rerun else [tree.client.get_run(tree.parent_id)]
    return any(run.info.status == _OPEN for run in runs)


def close(tree: RunTree, state: str, unexplained: str, *, name: str = "") -> str:
    """Ends what is still open of a sweep, or of a rerun; why it failed, or ''.

    Args:
        tree: the runs of the sweep.
        state: FINISHED, FAILED or KILLED.
        unexplained: the reason of a failure where no step has given one.
        name: of the pipeline run, as people know it; '' leaves the sweep's run the one that it has.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    with reported(tree.uri):
        sweep, below = tree.client.get_run(tree.parent_id), tree.children()
    # the report finishes the sweep's own run, which a later step may fail; a network's is finished by its evaluation
    failed = [run for run in (sweep, *below) if run is sweep or run.info.status != FINISHED]
    given = [run.data.tags[REASON] for run in failed if REASON in run.data.tags]
    why = "" if state == FINISHED else "; ".join(given) or unexplained
    for run in below:
        if run.info.status == _OPEN:
            _end(_run(tree, run), state, why)
    if name:
        tree.parent.tags({"mlflow.runName": name})
    if not tree.rerun:
        _end(tree.parent, state, why)
    return why


def _end(run: Run, state: str, why: str) -> None:
    if why:
        run.tags({REASON: why})
    run.ended(state)


def _run(tree: RunTree, run: StoredRun) -> Run:
    return Run(tree.client, run.info.run_id, tree.uri)
