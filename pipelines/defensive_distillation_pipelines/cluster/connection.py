"""The way to a cluster: where Kubeflow Pipelines and Kubernetes are, and with which credentials.

How other rooms use it:

    access = Access.of(host=…, namespace=…, token=…, cookies=…)  # flags; variables give what is None
    kubeflow = connection.kubeflow(access)  # a Server: get, post, delete, upload, text
    kubeflow.get("/apis/v2beta1/healthz")
    kubernetes, why_not = connection.kubernetes(access)  # a Server or None, and the reason
    if kubernetes:
        kubernetes.get(f"/api/v1/namespaces/{access.namespace}/pods", labelSelector="pipeline/runid=…")

A request raises ClusterError with one line: UnreachableError, or RefusedError with the server's status and words
(server.py). Nothing is asked for before the first request.

The variables are those of Kubeflow's own programs:

KF_PIPELINES_ENDPOINT, KFP_ENDPOINT     where Kubeflow Pipelines' API is
KF_PIPELINES_UI_ENDPOINT                where people see it, if elsewhere
KFP_NAMESPACE                           the namespace that runs are in
KFP_EXISTING_TOKEN                      a bearer token
KFP_COOKIES                             cookies of a session behind a login page
KF_PIPELINES_SA_TOKEN_PATH              a file with a token that is renewed, as in a pod
KUBECONFIG                              Kubernetes; in a pod its service account

Without an endpoint it is the service ml-pipeline of the namespace kubeflow: by its name in a pod, else through the
proxy of the Kubernetes API.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr

from defensive_distillation.errors import ClusterError, ConfigurationError, first_line
from defensive_distillation_pipelines.cluster.server import Server

KUBEFLOW = "kubeflow"  # the namespace that the community's manifests install into
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
_NO_HOST = (
    "Kubeflow Pipelines: expected its address, got none: give --host or set KF_PIPELINES_ENDPOINT "
    "(kubectl port-forward -n kubeflow svc/ml-pipeline 8888 makes it http://localhost:8888)"
)


class Access(BaseModel):
    """Addresses and credentials, from flags and variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str | None = None
    ui: str | None = None
    given_namespace: str | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    cookies: SecretStr | None = None
    context: str | None = None

    @classmethod
    def of(
        cls,
        *,
        host: str | None = None,
        namespace: str | None = None,
        token: str | None = None,
        cookies: str | None = None,
        context: str | None = None,
    ) -> Self:
        """The access that flags give, and the variables where they give none.

        Raises:
            ConfigurationError: for an address that is none.
        """
        host = host or _variable("KF_PIPELINES_ENDPOINT", "KFP_ENDPOINT")
        bearer = token or _variable("KFP_EXISTING_TOKEN")
        session = cookies or _variable("KFP_COOKIES")
        file = Path(_variable("KF_PIPELINES_SA_TOKEN_PATH") or _TOKEN)
        return cls(
            host=_address("--host", host) if host else None,
            ui=_variable("KF_PIPELINES_UI_ENDPOINT"),
            given_namespace=namespace or _variable("KFP_NAMESPACE"),
            token=SecretStr(bearer) if bearer else None,
            token_file=file if file.is_file() else None,
            cookies=SecretStr(session) if session else None,
            context=context,
        )

    @cached_property
    def namespace(self) -> str:
        """Where runs are: as given, else the pod's own, else the kubeconfig's, else kubeflow."""
        if self.given_namespace:
            return self.given_namespace
        own = _SERVICE_ACCOUNT / "namespace"
        if own.is_file():
            return own.read_text().strip()
        return _context_namespace(self) or KUBEFLOW

    def headers(self) -> dict[str, str]:
        """What each request to Kubeflow's API carries; a token in a file is read anew."""
        headers = {"Cookie": self.cookies.get_secret_value()} if self.cookies else {}
        if self.token:
            return {**headers, "Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.token_file:
            return {**headers, "Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        return headers


def kubeflow(access: Access) -> Server:
    """Kubeflow Pipelines' API.

    Raises:
        ConfigurationError: without an address and without a Kubernetes that could lead to it.
    """
    hint = "check --host (KF_PIPELINES_ENDPOINT) and that it runs"
    if access.host:
        return Server("Kubeflow Pipelines", access.host, headers=access.headers, hint=hint)
    if in_pod():
        url = f"http://ml-pipeline.{KUBEFLOW}.svc.cluster.local:8888"
        return Server("Kubeflow Pipelines", url, headers=access.headers, hint=hint)
    server, why_not = kubernetes(
        access, name="Kubeflow Pipelines", path=f"/api/v1/namespaces/{KUBEFLOW}/services/ml-pipeline:http/proxy"
    )
    if server is None:
        raise ConfigurationError(f"{_NO_HOST}; nor does Kubernetes lead to it: {why_not}")
    return server


def kubernetes(access: Access, *, name: str = "Kubernetes", path: str = "") -> tuple[Server | None, str]:
    """Kubernetes' API from the pod's service account or the kubeconfig; or None and the reason."""
    try:
        settings = _kubernetes_settings(access)
    except (ClusterError, ConfigurationError) as error:
        return None, first_line(error)
    certificate = (settings.cert_file, settings.key_file) if settings.cert_file and settings.key_file else None
    server = Server(
        name,
        settings.host.rstrip("/") + path,
        headers=_bearer(settings),
        hint="check the kubeconfig (KUBECONFIG) and that the cluster runs",
        verify=(settings.ssl_ca_cert or True) if settings.verify_ssl else False,
        certificate=certificate,
    )
    return server, ""


def _kubernetes_settings(access: Access) -> Any:
    """Kubernetes' own reading of the pod's service account or of the kubeconfig, which may call other programs."""
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if in_pod() and not access.context:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(
                config_file=_variable("KUBECONFIG"), context=access.context, client_configuration=settings
            )
    except Exception as error:  # of whatever kind: files, YAML, programs for credentials
        raise ClusterError(f"no usable kubeconfig or service account: {first_line(error)}") from error
    return settings


def _bearer(settings: Any) -> Callable[[], dict[str, str]]:
    def headers() -> dict[str, str]:
        token = settings.get_api_key_with_prefix("authorization")  # renews it where it expires
        return {"Authorization": token} if token else {}

    return headers


def _context_namespace(access: Access) -> str:
    """The namespace of the kubeconfig's context, or ''."""
    from kubernetes import config

    try:
        contexts, active = config.list_kube_config_contexts(_variable("KUBECONFIG"))
    except Exception:  # of whatever kind: there is no usable kubeconfig
        return ""
    chosen = next((one for one in contexts if one["name"] == access.context), active)
    return str(chosen.get("context", {}).get("namespace") or "")


def in_pod() -> bool:
    """Whether this process is in a pod of the cluster."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_SERVICE_ACCOUNT / "token").is_file()


def _variable(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _address(what: str, text: str) -> str:
    """An address with its scheme; https where none is given, as Kubeflow's own client takes it."""
    url = text if "://" in text else f"https://{text}"
    if not url.startswith(("http://", "https://")) or not url.partition("://")[2].strip("/"):
        raise ConfigurationError(f"{what}: expected an address such as http://localhost:8888, got {text!r}")
    return url.rstrip("/")
