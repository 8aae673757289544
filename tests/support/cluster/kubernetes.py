"""Stands in for the Kubernetes API where it tells of Workflows and pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.cluster.server import Answer, Request, StandIn

FORBIDDEN = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": 'workflows.argoproj.io is forbidden: User "someone" cannot list resource "workflows" in API group '
    '"argoproj.io" in the namespace "kubeflow"',
    "reason": "Forbidden",
    "details": {"group": "argoproj.io", "kind": "workflows"},
    "code": 403,
}


class Kubernetes(StandIn):
    """The Workflow and the pods of one run."""

    def __init__(self) -> None:
        super().__init__()
        self.workflow: dict[str, Any] | None = None
        self.pods: list[dict[str, Any]] = []
        self.forbidden = False

    def answer(self, request: Request) -> Answer:
        """Lists, whose labels are not looked at: there is only one run."""
        assert request.query["labelSelector"].startswith("pipeline/runid=")
        if self.forbidden:
            return Answer(403, FORBIDDEN)
        if request.path == "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows":
            return Answer(200, {"kind": "WorkflowList", "items": [self.workflow] if self.workflow else []})
        assert request.path == "/api/v1/namespaces/kubeflow/pods"
        return Answer(200, {"kind": "PodList", "items": self.pods})

    def kubeconfig(self, path: Path, namespace: str = "") -> Path:
        """Writes a kubeconfig that leads here."""
        where = f"\n    namespace: {namespace}" if namespace else ""
        path.write_text(
            f"""apiVersion: v1
kind: Config
current-context: here
clusters:
- name: here
  cluster: {{server: "{self.address}"}}
users:
- name: me
  user: {{token: kubernetes-token}}
contexts:
- name: here
  context:
    cluster: here
    user: me{where}
"""
        )
        return path
