"""Runs as Kubeflow Pipelines' API tells of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from defensive_distillation.errors import ClusterError, InputError
from defensive_distillation_pipelines.cluster.server import RefusedError, Server

API = "/apis/v2beta1"
Outcome = Literal["succeeded", "failed", "cancelled", "skipped"]
_PAGE = 20  # an answer has the whole list of tasks of each run
_SEARCHED = 400  # runs that a name is looked for among
_OUTCOMES: dict[str, Outcome] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "SKIPPED": "skipped",
}
_ENDED: dict[Outcome, str] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether a text is an id of Kubeflow's."""
    return _UUID.fullmatch(text) is not None


@dataclass(frozen=True)
class Run:
    """A run at one moment.

    Attributes:
        state: PENDING, RUNNING, PAUSED, CANCELING, or one of those that it ends with.
        stopped: whether somebody has asked it to stop.
        tasks: Kubeflow's own list of tasks.
        error: what Kubeflow says of the run as a whole.
        version: ids of the pipeline and of its version, '' for a run that brought its own pipeline.
        parameters: those that differ from the pipeline's defaults.
        pipeline_root: where its artifacts go, None where the namespace says.
        service_account: that its pods run as.
    """

    id: str
    name: str
    state: str
    stopped: bool
    created: datetime
    experiment: str = ""
    tasks: Sequence[Mapping[str, Any]] = ()
    error: str = ""
    version: tuple[str, str] = ("", "")
    parameters: Mapping[str, Any] = field(default_factory=dict)
    specification: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str | None = None
    service_account: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Run:
        """A run from the API's answer."""
        state = told.get("state", "PENDING")
        history = [state, *(one.get("state") for one in told.get("state_history", ()))]
        reference = told.get("pipeline_version_reference", {})
        return cls(
            id=told["run_id"],
            name=told.get("display_name", ""),
            state=state,
            stopped="CANCELING" in history,
            created=datetime.fromisoformat(told["created_at"]),
            experiment=told.get("experiment_id", ""),
            tasks=told.get("run_details", {}).get("task_details", ()),
            error=" ".join(told.get("error", {}).get("message", "").split()),
            version=(reference.get("pipeline_id", ""), reference.get("pipeline_version_id", "")),
            parameters=told.get("runtime_config", {}).get("parameters", {}),
            specification=told.get("pipeline_spec", {}),
            pipeline_root=told.get("runtime_config", {}).get("pipeline_root") or None,
            service_account=told.get("service_account") or None,
        )

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, None while it has not; one that was asked to stop ends as FAILED."""
        outcome = _OUTCOMES.get(self.state)
        return "cancelled" if outcome == "failed" and self.stopped else outcome

    @property
    def age(self) -> float:
        """Seconds since it was created."""
        return max(0.0, (datetime.now(UTC) - self.created).total_seconds())

    @property
    def title(self) -> str:
        """Its name and id, for a line."""
        return f"{self.name} ({self.id})"


class Runs:
    """The runs of one Kubeflow Pipelines; everything raises ClusterError.

    Args:
        server: its API.
        namespace: where runs are; only one that serves several users wants to be told.
    """

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self._namespace = namespace

    def get(self, run_id: str) -> Run:
        """The run at this moment."""
        return Run.of(self.server.get(f"{API}/runs/{run_id}"))

    def find(self, wanted: str) -> Run:
        """The run of this id, or of this beginning of one, or the last one of this name; 'latest' is the last of all.

        Raises:
            InputError: if there is none, or several ids begin so.
        """
        if is_id(wanted):
            return self._known(wanted)
        newest, beginning = "", set()
        for run in self._newest_first():
            if wanted in ("latest", run.name):
                newest = run.id
                break
            if run.id.startswith(wanted):
                beginning.add(run.id)
        if not newest and len(beginning) > 1:
            raise InputError(f"run: expected one run, {len(beginning)} ids begin with {wanted!r}; give more of it")
        found = newest or next(iter(beginning), "")
        if not found:
            raise InputError(f"run: expected the id of a run, its beginning, a name or 'latest', got {wanted!r}")
        return self.get(found)

    def stop(self, run: Run) -> str:
        """Asks a run to stop, and says what comes of it; one that has ended stays as it is."""
        if run.outcome is None:
            try:
                self.server.post(f"{API}/runs/{run.id}:terminate")
            except RefusedError:
                run = self.get(run.id)  # it may have ended at this moment
                if run.outcome is None:
                    raise
        if run.outcome is not None:
            return f"run {run.title} had ended before: it {_ENDED[run.outcome]}"
        return f"run {run.title} is being cancelled; its pods end within a minute"

    def log(self, run_id: str, node: str) -> str:
        """The log of a node's pod, also after the pod is gone."""
        text = self.server.text(f"/apis/v1alpha1/runs/{run_id}/nodes/{node}/log")
        if text.startswith('{"error_message":'):  # with the status 200
            raise ClusterError(" ".join(str(json.loads(text)["error_message"]).split()))
        return text

    def scope(self) -> dict[str, str]:
        """What lists are asked with: the namespace, where Kubeflow keeps users apart, and else nothing."""
        several = self.server.get(f"{API}/healthz").get("multi_user")
        return {"namespace": self._namespace} if several else {}

    def _known(self, run_id: str) -> Run:
        try:
            return self.get(run_id)
        except RefusedError as error:
            if error.status == 404:
                raise InputError(f"run: expected a run of {self.server.url}, which has none of id {run_id}") from error
            raise

    def _newest_first(self) -> Iterator[Run]:
        query: dict[str, Any] = {**self.scope(), "page_size": _PAGE, "sort_by": "created_at desc"}
        for _ in range(_SEARCHED // _PAGE):
            answer = self.server.get(f"{API}/runs", **query)
            yield from map(Run.of, answer.get("runs", ()))
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]
