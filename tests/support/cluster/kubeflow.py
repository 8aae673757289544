"""Stands in for Kubeflow Pipelines 2.17's API: what it says was recorded on a real one, only names and ids are put in.

It keeps experiments, pipelines, versions and runs as the real one does. What comes of a run that is started is said by
`story`: names of recorded answers that GET gives one after the other, the last one for ever.
"""

from __future__ import annotations

import copy
import json
import re
import uuid
from typing import Any

from support.cluster.recorded import FOLDER, answer, as_of_now, recorded
from support.cluster.server import Answer, Request, StandIn

API = "/apis/v2beta1"


class Kubeflow(StandIn):
    """One Kubeflow Pipelines for one user."""

    def __init__(self) -> None:
        super().__init__()
        self.experiments: dict[str, str] = {}  # ids by name
        self.pipelines: dict[str, str] = {}
        self.versions: dict[tuple[str, str], tuple[str, str]] = {}  # id and text by pipeline and name
        self.started: list[dict[str, Any]] = []  # runs, the last one last
        self.story = ["run-running"]
        self.logs: dict[str, str] = {}  # by node
        self.states: dict[int, str] = {}  # instead of the story's, by how often the run was looked at before
        self.still_running = 0  # looks at which the run still runs, though its list is that of one that has ended
        self._overlooked: list[str] = []
        self._faults: tuple[int, list[Answer]] = (0, [])
        self._refusals: dict[str, Answer] = {}

    def overlook_once(self, path: str) -> None:
        """The next search at this path finds nothing, as if what is there were made a moment later."""
        self._overlooked.append(path)

    def fail_runs_after(self, looks: int, faults: list[Answer]) -> None:
        """After so many looks at a run come these answers, then the story goes on."""
        self._faults = (looks, list(faults))

    def refuse(self, line: str, told: Answer) -> None:
        """Answers every METHOD PATH of this kind so."""
        self._refusals[line] = told

    def answer(self, request: Request) -> Answer:
        """What the recorded server says to such a request."""
        routes = (
            (r"GET /healthz", self._health),
            (r"GET /experiments", self._find_experiment),
            (r"POST /experiments", self._make_experiment),
            (r"GET /pipelines/names/(.+)", self._find_pipeline),
            (r"POST /pipelines", self._make_pipeline),
            (r"POST /pipelines/upload_version", self._upload),
            (r"GET /pipelines/([^/]+)/versions", self._find_version),
            (r"GET /pipelines/([^/]+)/versions/([^/]+)", self._version),
            (r"POST /runs", self._start),
            (r"GET /runs", self._list),
            (r"GET /runs/([^/:]+)", self._run),
            (r"POST /runs/([^/:]+):terminate", self._terminate),
            (r"GET /runs/([^/]+)/nodes/([^/]+)/log", self._log),
        )
        line = f"{request.method} {request.path.removeprefix(API).removeprefix('/apis/v1alpha1')}"
        if told := self._refusals.get(f"{request.method} {request.path}"):
            return told
        for path in self._overlooked:
            if re.fullmatch(f"GET /{path}", line):
                self._overlooked.remove(path)
                return _as_recorded("pipeline-unknown-name") if "names" in path else Answer(200, {})
        for route, call in routes:
            if match := re.fullmatch(route, line):
                return call(request, *match.groups())
        raise AssertionError(f"nothing was recorded for {line}")

    def begin(self, name: str = "digits") -> str:
        """A run of the recorded pipeline that somebody has started; its id."""
        run = copy.deepcopy(answer("run-create")) | {"run_id": str(uuid.uuid4()), "display_name": name}
        run["runtime_config"] = {}
        reference = run["pipeline_version_reference"]
        text = (FOLDER / "pipeline.json").read_text()
        self.versions[reference["pipeline_id"], "recorded"] = (reference["pipeline_version_id"], text)
        self.started.append({"run": run, "seen": 0, "stopped": False})
        return str(run["run_id"])

    def _health(self, request: Request) -> Answer:
        return _as_recorded("healthz")

    def _find_experiment(self, request: Request) -> Answer:
        told = copy.deepcopy(answer("experiments-by-name"))
        name = _wanted(request)
        if name not in self.experiments:
            return Answer(200, {})
        told["experiments"][0] |= {"experiment_id": self.experiments[name], "display_name": name}
        return Answer(200, told)

    def _make_experiment(self, request: Request) -> Answer:
        name = request.body["display_name"]
        if name in self.experiments:
            return _as_recorded("experiment-create-again")
        self.experiments[name] = str(uuid.uuid4())
        return Answer(
            200, answer("experiment-create") | {"experiment_id": self.experiments[name], "display_name": name}
        )

    def _find_pipeline(self, request: Request, name: str) -> Answer:
        if name not in self.pipelines:
            return _as_recorded("pipeline-unknown-name")
        told = {"pipeline_id": self.pipelines[name], "display_name": name, "name": name}
        return Answer(200, answer("pipeline-by-name") | told)

    def _make_pipeline(self, request: Request) -> Answer:
        name = request.body["display_name"]
        if name in self.pipelines:
            return _as_recorded("pipeline-create-again")
        self.pipelines[name] = str(uuid.uuid4())
        told = {"pipeline_id": self.pipelines[name], "display_name": name, "name": name}
        return Answer(200, answer("pipeline-create") | told)

    def _upload(self, request: Request) -> Answer:
        key = (request.query["pipelineid"], request.query["name"])
        if key in self.versions:
            return _as_recorded("pipeline-upload-version-again")
        text = request.content.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0].decode()
        self.versions[key] = (str(uuid.uuid4()), text)
        return Answer(200, self._told_version(key))

    def _find_version(self, request: Request, pipeline: str) -> Answer:
        key = (pipeline, _wanted(request))
        if key not in self.versions:
            return Answer(200, {})
        return Answer(200, {"pipeline_versions": [self._told_version(key)], "total_size": 1})

    def _version(self, request: Request, pipeline: str, version: str) -> Answer:
        import yaml

        for key, (known, text) in self.versions.items():
            if known == version:
                specification, *platform = yaml.safe_load_all(text)
                told = {"pipeline_spec": specification, "platform_spec": platform[0] if platform else {}}
                return Answer(200, self._told_version(key) | {"pipeline_spec": told})
        return _as_recorded("version-unknown")

    def _told_version(self, key: tuple[str, str]) -> dict[str, Any]:
        pipeline, name = key
        told = {"pipeline_id": pipeline, "pipeline_version_id": self.versions[key][0], "display_name": name}
        return answer("pipeline-upload-version") | told | {"name": name}

    def _start(self, request: Request) -> Answer:
        body = request.body
        run = copy.deepcopy(answer("run-create")) | {key: body[key] for key in body if key != "runtime_config"}
        run["run_id"] = str(uuid.uuid4())
        run["runtime_config"] = body.get("runtime_config", {})
        self.started.append({"run": run, "seen": 0, "stopped": False})
        return Answer(200, run)

    def _list(self, request: Request) -> Answer:
        told = [self._now(one, look=False) for one in reversed(self.started)]
        return Answer(200, {"runs": told, "total_size": len(told)})

    def _run(self, request: Request, run_id: str) -> Answer:
        for one in self.started:
            if one["run"]["run_id"] == run_id:
                looks, faults = self._faults
                return faults.pop(0) if faults and one["seen"] >= looks else Answer(200, self._now(one))
        return _as_recorded("run-unknown", {"00000000-0000-0000-0000-000000000000": run_id})

    def _now(self, one: dict[str, Any], *, look: bool = True) -> dict[str, Any]:
        """The next of the story's answers, as one of this run."""
        story = ["run-canceled"] if one["stopped"] else self.story
        told = as_of_now(answer(story[min(one["seen"], len(story) - 1)]))
        told["state"] = self.states.get(one["seen"], told["state"])
        if one["seen"] < self.still_running:
            told["state"] = "RUNNING"
        one["seen"] += look
        kept = (
            "run_id",
            "display_name",
            "experiment_id",
            "pipeline_version_reference",
            "runtime_config",
            "service_account",
        )
        return told | {key: one["run"][key] for key in kept if key in one["run"]}

    def _terminate(self, request: Request, run_id: str) -> Answer:
        one = next(one for one in self.started if one["run"]["run_id"] == run_id)
        if self._now(one, look=False)["state"] not in ("PENDING", "RUNNING", "PAUSED"):
            return _as_recorded("run-terminate-again")
        one["stopped"] = True
        return _as_recorded("run-terminate")

    def _log(self, request: Request, run_id: str, node: str) -> Answer:
        if node not in self.logs:
            return _as_recorded("log-unknown")
        return Answer(200, self.logs[node], recorded("log-of-failed-step")["content_type"])


def _as_recorded(name: str, changes: dict[str, str] | None = None) -> Answer:
    whole = recorded(name)
    text = json.dumps(whole["response"])
    for old, new in (changes or {}).items():
        text = text.replace(old, new)
    return Answer(whole["status"], json.loads(text))


def _wanted(request: Request) -> str:
    (predicate,) = json.loads(request.query["filter"])["predicates"]
    assert (predicate["operation"], predicate["key"]) == ("EQUALS", "display_name")
    return str(predicate["string_value"])
