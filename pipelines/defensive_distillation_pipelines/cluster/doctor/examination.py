"""The examination: what is asked of which server, in the order in which a run needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from defensive_distillation.errors import ConfigurationError, first_line
from defensive_distillation_pipelines.cluster import connection
from defensive_distillation_pipelines.cluster.connection import Access
from defensive_distillation_pipelines.cluster.doctor import (
    account,
    backend,
    capacity,
    controller,
    kueue,
    launcher,
    servers,
    variables,
)
from defensive_distillation_pipelines.cluster.doctor.answer import Answer, Asking
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing
from defensive_distillation_pipelines.cluster.runs import API
from defensive_distillation_pipelines.definitions.resources import CONFIG_MAP, Cluster

_LATEST = 5  # workflows whose images are looked at


class Examination:
    """Looks at a cluster for runs in one namespace.

    Args:
        access: the way to it.
        cluster: what runs ask of it.
        work: where unfinished work goes, '' or 'auto' for beside the artifacts.
    """

    def __init__(self, access: Access, cluster: Cluster, work: str = "") -> None:
        self._access, self._cluster = access, cluster
        self._work = work if "://" in work else ""
        self._namespace = access.namespace
        self._inside = connection.in_pod()
        self._kubernetes = Asking(*connection.kubernetes(access))

    def findings(self) -> Iterator[Finding]:
        """Each as soon as it is known."""
        yield from self._backend()
        config = self._of("configmaps", launcher.CONFIG_MAP)
        yield launcher.launcher(config, self._namespace)
        yield from launcher.credentials(config, lambda name: self._of("secrets", name), self._namespace)
        yield from self._servers(config)
        yield controller.retries(self._controller(), self._namespace)
        yield controller.interval(self._controllers())
        yield from self._account()
        yield from self._nodes()
        yield from self._queue()

    def _backend(self) -> Iterator[Finding]:
        try:
            server = connection.kubeflow(self._access)
        except ConfigurationError as error:
            yield missing("Kubeflow Pipelines", first_line(error), "give --host, or a kubeconfig")
            return
        asking = Asking(server)
        healthz = asking.get(f"{API}/healthz")
        yield backend.answers(healthz, server.url)
        if healthz.known:
            recurring = asking.get(f"{API}/recurringruns", page_size=1)
            yield from backend.namespace(healthz, server.url, recurring, self._namespace)
            yield backend.version(healthz, self._images())

    def _images(self) -> Iterator[str]:
        """Of Kubeflow's API server where it runs as a pod, and of the latest workflows, which name its driver."""
        for namespace in dict.fromkeys((self._namespace, connection.KUBEFLOW)):
            pods = self._kubernetes.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector="app=ml-pipeline")
            yield from backend.images_of_pods(pods.items)
            workflows = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
            yield from backend.images_of_workflows(self._kubernetes.get(workflows, limit=_LATEST).items)

    def _servers(self, config: Answer) -> Iterator[Finding]:
        told = self._of("configmaps", CONFIG_MAP)
        yield variables.variables(told, self._namespace)
        secret = self._cluster.secret
        yield variables.credentials(self._of("secrets", secret), secret, self._namespace)
        yield servers.store(self._work or launcher.root(config), inside=self._inside)
        yield servers.tracking(self._variables(told), inside=self._inside)

    def _variables(self, told: Answer) -> Mapping[str, str]:
        """A pod has the steps' variables itself."""
        return os.environ if self._inside else variables.values(told)

    def _controller(self) -> Answer:
        """The settings of Argo's controller, which is beside the runs or beside Kubeflow."""
        own = self._of("configmaps", controller.CONFIG_MAP)
        if own.known or self._namespace == connection.KUBEFLOW:
            return own
        path = f"/api/v1/namespaces/{connection.KUBEFLOW}/configmaps/{controller.CONFIG_MAP}"
        return self._kubernetes.get(path)

    def _controllers(self) -> Answer:
        """Argo's pods, which are beside the runs or beside Kubeflow."""
        path = "/api/v1/namespaces/{}/pods"
        own = self._kubernetes.get(path.format(self._namespace), labelSelector=controller.LABEL)
        if own.items or self._namespace == connection.KUBEFLOW:
            return own
        return self._kubernetes.get(path.format(connection.KUBEFLOW), labelSelector=controller.LABEL)

    def _account(self) -> Iterator[Finding]:
        name = self._cluster.service_account or account.DEFAULT
        known = self._of("serviceaccounts", name)
        yield account.exists(known, name, self._namespace)
        if known.known:
            reviews = f"/apis/authorization.k8s.io/v1/namespaces/{self._namespace}/localsubjectaccessreviews"
            asked = {
                right: self._kubernetes.post(reviews, account.question(right, name, self._namespace))
                for right in account.RIGHTS
            }
            yield account.rights(asked, name)
        secrets = {name: self._of("secrets", name) for name in self._cluster.image_pull_secrets}
        yield from account.pull_secrets(secrets, self._namespace)
        namespace = self._kubernetes.get(f"/api/v1/namespaces/{self._namespace}")
        yield account.security(namespace, self._namespace, self._cluster.run_as_user)

    def _nodes(self) -> Iterator[Finding]:
        listed, pods = self._kubernetes.get("/api/v1/nodes"), self._kubernetes.get("/api/v1/pods")
        for answer in (listed, pods):
            if not answer.known:
                yield capacity.not_known(answer)
                return
        nodes, asked = capacity.nodes(listed, pods), self._cluster.stages
        yield from capacity.gpus(nodes, (one.gpu_type for one in asked.values() if one.gpu_count))
        yield from capacity.stages(nodes, asked)

    def _queue(self) -> Iterator[Finding]:
        name = self._cluster.queue
        if not name:
            return
        group = self._kubernetes.get(f"/apis/{kueue.GROUP}")
        path = f"/apis/{kueue.GROUP}/{kueue.version(group)}/namespaces/{self._namespace}/localqueues/{name}"
        found = self._kubernetes.get(path) if group.known else Answer()
        yield kueue.queue(group, found, name, self._namespace)

    def _of(self, kind: str, name: str) -> Answer:
        return self._kubernetes.get(f"/api/v1/namespaces/{self._namespace}/{kind}/{name}")
