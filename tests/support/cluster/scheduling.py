"""Kubeflow's API where it tells of recurring runs and of versions by their age, as recorded on a real one."""

from __future__ import annotations

import copy
import re
import uuid
from typing import Any

from support.cluster.kubeflow import API, Kubeflow
from support.cluster.recorded import answer, recorded
from support.cluster.server import Answer, Request

_NAMELESS = "5e6f63e7-85d0-41e4-b169-031c042a9833"  # the recurring run that was recorded


class Scheduling(Kubeflow):
    """Recurring runs start nothing by themselves: `tick` does, as the controller would."""

    def __init__(self) -> None:
        super().__init__()
        self.recurring: dict[str, dict[str, Any]] = {}
        self.pages = 100

    def answer(self, request: Request) -> Answer:
        """What the recorded server says."""
        routes = (
            (r"POST /recurringruns", self._create),
            (r"GET /recurringruns", self._listed),
            (r"POST /recurringruns/([^/:]+):(enable|disable)", self._switch),
            (r"DELETE /recurringruns/([^/:]+)", self._delete),
            (r"GET /pipelines/([^/]+)/versions", self._newest),
        )
        line = f"{request.method} {request.path.removeprefix(API)}"
        for route, call in routes:
            if (match := re.fullmatch(route, line)) and not (
                route.startswith("GET /pipe") and "filter" in request.query
            ):
                return call(request, *match.groups())
        return super().answer(request)

    def tick(self, name: str) -> str | None:
        """The next moment of a schedule's cron line; the id of the run that starts, if one does."""
        (one,) = [one for one in self.recurring.values() if one["display_name"] == name and one["status"] == "ENABLED"]
        going = [run for run in self.started if run["run"].get("recurring_run_id") == one["recurring_run_id"]]
        if any(self._now(run, look=False)["state"] in ("PENDING", "RUNNING") for run in going):
            return None
        run = copy.deepcopy(answer("run-of-recurring")) | {
            "run_id": str(uuid.uuid4()),
            "recurring_run_id": one["recurring_run_id"],
            "experiment_id": one["experiment_id"],
        }
        self.started.append({"run": run, "seen": 0, "stopped": False})
        return str(run["run_id"])

    def end(self, run_id: str) -> None:
        """Its workflow ends."""
        next(one for one in self.started if one["run"]["run_id"] == run_id)["stopped"] = True

    def _now(self, one: dict[str, Any], *, look: bool = True) -> dict[str, Any]:
        told = super()._now(one, look=look)
        started_by = one["run"].get("recurring_run_id")
        return told | ({"recurring_run_id": started_by} if started_by else {})

    def _create(self, request: Request) -> Answer:
        body = request.body
        if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
            return Answer(400, answer("recurring-create-bad-cron"))
        known = ("display_name", "description", "experiment_id", "pipeline_version_reference", "trigger", "mode")
        told = copy.deepcopy(answer("recurring-create-latest")) | {key: body[key] for key in known}
        told |= {"recurring_run_id": str(uuid.uuid4()), "status": f"{body['mode']}D"}
        self.recurring[told["recurring_run_id"]] = told
        return Answer(200, told)

    def _listed(self, request: Request) -> Answer:
        begin = int(request.query.get("page_token", 0))
        told = list(self.recurring.values())
        part = told[begin : begin + self.pages]
        more = {"next_page_token": str(begin + self.pages)} if begin + self.pages < len(told) else {}
        return Answer(200, ({"recurringRuns": part, "total_size": len(told)} if part else {}) | more)

    def _switch(self, request: Request, known: str, how: str) -> Answer:
        if known not in self.recurring:
            return self._unknown(known)
        self.recurring[known] |= {"mode": how.upper(), "status": f"{how.upper()}D"}
        return Answer(200, answer(f"recurring-{how}"))

    def _delete(self, request: Request, known: str) -> Answer:
        """With it goes the workflow of a run that is going."""
        if known not in self.recurring:
            return self._unknown(known)
        del self.recurring[known]
        for one in self.started:
            if one["run"].get("recurring_run_id") == known:
                one["stopped"] = True
        return Answer(200, answer("recurring-delete"))

    def _unknown(self, known: str) -> Answer:
        whole = recorded("recurring-get-deleted")
        text = whole["response"]["message"].replace(_NAMELESS, known)
        return Answer(whole["status"], whole["response"] | {"message": text})

    def _newest(self, request: Request, pipeline: str) -> Answer:
        assert request.query["sort_by"] == "created_at desc"
        keys = [key for key in reversed(self.versions) if key[0] == pipeline][: int(request.query["page_size"])]
        return Answer(200, {"pipeline_versions": [self._told_version(key) for key in keys]} if keys else {})
