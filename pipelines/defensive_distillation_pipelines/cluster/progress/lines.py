"""How far a running step is, from the lines that its log gets now and then: 'train_student-T=20: 3 of 12 epochs'."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from defensive_distillation.errors import ClusterError
from defensive_distillation_pipelines.cluster.progress.nodes import Path, Workflow
from defensive_distillation_pipelines.cluster.progress.view import Amount
from defensive_distillation_pipelines.cluster.server import RefusedError, Server

INTERVAL = 15.0  # seconds between two looks at one log
_LINE = re.compile(r"\S.*: (\d+) of (\d+) (\w+)")
_LAST = 5  # lines that are asked for
_NO_RIGHTS = (401, 403)


class Lines:
    """The logs of the pods of one run."""

    def __init__(self, kubernetes: Server, namespace: str) -> None:
        self._kubernetes, self._place = kubernetes, f"/api/v1/namespaces/{namespace}/pods"
        self._allowed = True
        self._asked: dict[str, float] = {}  # when, by pod
        self._told: dict[Path, Amount] = {}

    def amounts(self, workflow: Workflow) -> dict[Path, Amount]:
        """How much of its work each running step has done, as far as it says."""
        for path, pod in _running(workflow):
            if self._allowed and time.monotonic() - self._asked.get(pod, -INTERVAL) >= INTERVAL:
                self._asked[pod] = time.monotonic()
                if amount := last_amount(self._log(pod)):
                    self._told[path] = amount
        return dict(self._told)

    def _log(self, pod: str) -> str:
        try:
            return self._kubernetes.text(f"{self._place}/{pod}/log", container="main", tailLines=_LAST)
        except ClusterError as error:
            self._allowed = not (isinstance(error, RefusedError) and error.status in _NO_RIGHTS)
            return ""  # the run goes on without


def last_amount(log: str) -> Amount | None:
    """The last that a log tells of how much is done."""
    matches = [match for line in log.splitlines() if (match := _LINE.match(line))]
    return (int(matches[-1][1]), int(matches[-1][2]), matches[-1][3]) if matches else None


def _running(workflow: Workflow) -> Iterator[tuple[Path, str]]:
    """The steps that run and the names of their pods: Argo's, of Workflow, template and the node's number."""
    for node in workflow.pods:
        if node.role == "executor" and node.phase == "Running":
            yield node.path, f"{workflow.name}-{node.template}-{node.id.rpartition('-')[2]}"
