"""Where the progress of a run is read from: the best of three sources that answers, and why not a better one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from defensive_distillation.errors import ClusterError, OutsideError, first_line
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation_pipelines.cluster.progress import recorded, tasks, workflow
from defensive_distillation_pipelines.cluster.progress.lines import Lines
from defensive_distillation_pipelines.cluster.progress.nodes import Workflow
from defensive_distillation_pipelines.cluster.progress.view import View
from defensive_distillation_pipelines.cluster.runs import Run
from defensive_distillation_pipelines.cluster.server import RefusedError, Server
from defensive_distillation_pipelines.definitions.plan import PlannedStep

_REFUSED = (401, 403, 404)  # answers that asking again does not change
_RUN_LABEL = "pipeline/runid"
_NODE_ID = "workflows.argoproj.io/node-id"
_STILL = "the list has not changed for long: a long step, or it stands still as it does for large workflows"


class Sources:
    """Looks at one run again and again.

    Args:
        kubernetes: its API, None where it can't be had.
        why_not: the reason for that.
        namespace: the run's.
        steps: those that the pipeline will take, none where they are not known.
    """

    def __init__(self, kubernetes: Server | None, why_not: str, namespace: str, steps: Sequence[PlannedStep]) -> None:
        self._kubernetes, self._why_not, self._namespace = kubernetes, why_not, namespace
        self._steps = steps
        self._lines = Lines(kubernetes, namespace) if kubernetes else None
        self._mlflow = bool(tracking_uri())

    def look(self, run: Run) -> View:
        """What is seen of the run now; says where from."""
        if self._kubernetes is not None:
            try:
                return self._from_workflow(self._kubernetes, run)
            except ClusterError as error:
                why = first_line(error)
                if isinstance(error, RefusedError) and error.status in _REFUSED:
                    self._kubernetes, self._why_not = None, why
        else:
            why = self._why_not
        return self._without_workflow(run, why)

    def _from_workflow(self, kubernetes: Server, run: Run) -> View:
        resource = self._workflow(kubernetes, run)
        seen = Workflow.of(resource)
        pods = self._pods(kubernetes, run) if workflow.waiting_pods(seen) else {}
        amounts = self._lines.amounts(seen) if self._lines else {}
        return replace(workflow.view(seen, pods), amounts=amounts)

    def _workflow(self, kubernetes: Server, run: Run) -> Mapping[str, Any]:
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{self._namespace}/workflows"
        several = kubernetes.get(path, labelSelector=f"{_RUN_LABEL}={run.id}").get("items")
        if not several:
            # an hour after its end it is deleted
            raise ClusterError(f"no Workflow of this run in the namespace {self._namespace}; --namespace names another")
        found: Mapping[str, Any] = several[0]
        return found

    def _pods(self, kubernetes: Server, run: Run) -> dict[str, Mapping[str, Any]]:
        try:
            several = kubernetes.get(
                f"/api/v1/namespaces/{self._namespace}/pods", labelSelector=f"{_RUN_LABEL}={run.id}"
            ).get("items", ())
        except ClusterError:
            return {}  # the nodes say most of it
        return {pod["metadata"].get("annotations", {}).get(_NODE_ID, ""): pod for pod in several}

    def _without_workflow(self, run: Run, why: str) -> View:
        listed = tasks.view(run.tasks, self._steps)
        if run.outcome is None and tasks.unchanged(run.tasks):
            why = f"{why}; {_STILL}"
            if self._mlflow:
                return self._from_mlflow(run, listed, why)
        return replace(listed, source=f"{listed.source} ({why})")

    def _from_mlflow(self, run: Run, listed: View, why: str) -> View:
        """What MLflow tells; the rest is as the list told last."""
        try:
            seen = recorded.view(run.id, self._steps)
        except OutsideError as error:
            return replace(listed, source=f"{listed.source} ({why}; {first_line(error)})")
        left = {path: state for path, state in listed.states.items() if state in ("done", "kept")}
        return View(f"{seen.source} ({why})", {**left, **seen.states}, listed.troubles)
