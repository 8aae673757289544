"""The account of the steps, its rights, and the namespace that they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from defensive_distillation_pipelines.cluster.doctor.answer import Answer
from defensive_distillation_pipelines.cluster.doctor.finding import Finding, missing, ok, unknown

DEFAULT = "pipeline-runner"  # Kubeflow's own account of runs
RIGHTS = (  # what Kubeflow's launcher and Argo's executor do in a step's name
    ("get", "", "configmaps"),
    ("get", "", "secrets"),
    ("create", "argoproj.io", "workflowtaskresults"),
    ("patch", "argoproj.io", "workflowtaskresults"),
)
_ACCOUNT = "service account"
_RIGHTS = "its rights"
_LEVEL = "pod security"
_ENFORCED = "pod-security.kubernetes.io/enforce"


def exists(account: Answer, name: str, namespace: str) -> Finding:
    """Whether there is an account of this name."""
    if account.why:
        return unknown(_ACCOUNT, account.why)
    if account.absent:
        return missing(
            _ACCOUNT, f"no {name} in {namespace}: no pod would start", "install the chart, or set service_account"
        )
    return ok(_ACCOUNT, f"{name} in {namespace}")


def question(right: tuple[str, str, str], name: str, namespace: str) -> dict[str, object]:
    """What Kubernetes is asked of one right, as a LocalSubjectAccessReview."""
    verb, group, resource = right
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": {
            "user": f"system:serviceaccount:{namespace}:{name}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            "resourceAttributes": {"namespace": namespace, "verb": verb, "group": group, "resource": resource},
        },
    }


def rights(reviews: Mapping[tuple[str, str, str], Answer], name: str) -> Finding:
    """Whether the account may what a step does in its name."""
    not_asked = next((review.why or "nobody could be asked" for review in reviews.values() if not review.known), None)
    if not_asked is not None:
        return unknown(_RIGHTS, not_asked, "kubectl auth can-i get secrets --as=system:serviceaccount:… says it")
    lost = [
        f"{verb} {resource}"
        for (verb, _, resource), review in reviews.items()
        if not (review.value.get("status") or {}).get("allowed")
    ]
    if lost:
        return missing(
            _RIGHTS, f"{name} may not {', '.join(lost)}", "bind the chart's role to it (serviceAccount.name)"
        )
    return ok(_RIGHTS, f"{name} may read its configuration and say what became of a step")


def pull_secrets(names: Mapping[str, Answer], namespace: str) -> Iterator[Finding]:
    """Whether the Secrets for the registry are there."""
    for name, secret in names.items():
        subject = "image pull secret"
        if secret.why:
            yield unknown(subject, f"{name}: {secret.why}")
        elif secret.absent:
            yield missing(subject, f"no Secret {name} in {namespace}", "make it, or leave it out of image_pull_secrets")
        else:
            yield ok(subject, f"{name} in {namespace}")


def security(namespace: Answer, name: str, user: int | None) -> Finding:
    """Which level of pod security the namespace holds pods to, and whether our steps pass.

    Every step is compiled with runAsNonRoot and keeps to the restricted level. Kubernetes then refuses an image whose
    user is root, or a name without `run_as_user`, when the pod starts.
    """
    if namespace.why:
        return unknown(_LEVEL, namespace.why, "steps keep to the strictest level, 'restricted'")
    if namespace.absent:
        return missing(_LEVEL, f"there is no namespace {name}", "make it, or give --namespace (KFP_NAMESPACE)")
    level = (namespace.value.get("metadata", {}).get("labels") or {}).get(_ENFORCED, "privileged")
    runs_as = f"user {user}" if user else "the image's user, which must be a number"
    if level not in ("privileged", "baseline", "restricted"):
        return missing(_LEVEL, f"{_ENFORCED}={level}", "expected privileged, baseline or restricted")
    return ok(_LEVEL, f"{level}; steps pass as restricted, with {runs_as}")
