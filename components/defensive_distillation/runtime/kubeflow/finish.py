"""The last step of a run on a cluster, which is started however the others ended.

It ends what the run has opened in MLflow, which nothing of ours could do after a failure or a stop, names the sweep's
run as the pipeline run is named, and removes the unfinished work that nobody needs any more.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

from defensive_distillation.artifacts import storage
from defensive_distillation.errors import DefensiveDistillationError, first_line
from defensive_distillation.runtime import unfinished
from defensive_distillation.runtime.progress import RUN_ID
from defensive_distillation.tracking.connection import tree
from defensive_distillation.tracking.status import FAILED, FINISHED, KILLED, STOPPED

NAME = "finish"
_SUCCEEDED = {"COMPLETE", "CACHED", "SUCCEEDED"}  # the backend's words, and the local runner's
_STOPPED = {"CANCELING", "CANCELED"}
_PATIENCE = 10  # seconds for Kubeflow's API
_UNEXPLAINED = "a step ended without a word, killed or out of memory: `defdistill watch` says which"


def finish(status: Mapping[str, Any], name: str, step: Mapping[str, Any], output: Any) -> None:
    """Ends what a run has left open, and says so.

    Args:
        status: Kubeflow's, of all other steps together.
        name: of the run.
        step: a `Step` as plain values.
        output: Kubeflow's artifact of this step.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    run = os.environ.get(RUN_ID, "")
    state = FINISHED if status.get("state") in _SUCCEEDED else KILLED if _was_stopped(run) else FAILED
    why = STOPPED if state == KILLED else _UNEXPLAINED
    sweep = tree()
    if sweep is not None:
        from defensive_distillation.tracking.ending import close

        why = close(sweep, name=name, state=state, unexplained=why)
    print(f"{name}: {state}{f', {why}' if state != FINISHED else ''}", flush=True)
    if state == FINISHED:
        _tidy(str(step.get("work", "")), output.uri, run)
    ending = {"state": state, "reason": "" if state == FINISHED else why}
    storage.write_bytes(storage.join(output.path, "ending.json"), json.dumps(ending).encode())


def _tidy(work: str, uri: str, run: str) -> None:
    """Removes the run's unfinished work; that it could not be removed fails no run."""
    place = unfinished.place(work, uri)
    if place is None or not run or not storage.is_remote(place):
        return
    try:
        print(f"removed the unfinished work of {unfinished.remove(place, run)} steps below {place}", flush=True)
    except DefensiveDistillationError as error:
        print(f"could not remove the unfinished work below {place}: {first_line(error)}", flush=True)


def _was_stopped(run: str) -> bool:
    """Whether somebody has stopped the run: its state says FAILED then, too, and only its history says why."""
    host, port = (os.environ.get(f"ML_PIPELINE_SERVICE_{name}") for name in ("HOST", "PORT"))
    address = os.environ.get("KFP_ENDPOINT") or (f"http://{host}:{port}" if host and port else "")
    if not address or not run:
        return False
    try:
        with urllib.request.urlopen(f"{address}/apis/v2beta1/runs/{run}", timeout=_PATIENCE) as answer:
            history = json.load(answer).get("state_history", [])
    except (OSError, ValueError):
        return False  # then it is called failed, for a reason that nobody gave
    return any(entry.get("state") in _STOPPED for entry in history)
