"""defdistill doctor: whether a cluster has what a run needs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection
from defensive_distillation_pipelines.commands.parser import add_cluster, add_output, cluster_of, command, tell, work_of

if TYPE_CHECKING:
    from rich.text import Text

    from defensive_distillation_pipelines.cluster.doctor.finding import Finding

_SUBJECT = 22  # columns
_STYLES = {"ok": "green", "missing": "red", "unknown": "yellow"}


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "doctor",
        _call,
        "Ask whether a cluster has what a run needs: a line for each thing, and what to do where it has not. Exits "
        "with 1 where something is missing. What only a pod can see, 'helm test' of the chart looks at.",
        "  defdistill doctor --namespace kubeflow\n"
        "  defdistill doctor --resources resources.yaml --json\n"
        "  defdistill doctor --profile cpu",
    )
    add_connection(parser)
    add_cluster(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.doctor.examination import Examination
    from defensive_distillation_pipelines.display.told import Told, show

    examination = Examination(access_of(arguments), cluster_of(arguments), work_of(arguments))
    findings = []
    for finding in examination.findings():
        findings.append(finding)
        if not arguments.json and not (arguments.quiet and finding.state == "ok"):
            show(_line(finding), *([f"{'':<{_SUBJECT + 10}}{finding.todo}"] if finding.todo else []))
    counts = {state: sum(one.state == state for one in findings) for state in ("ok", "missing", "unknown")}
    document = {**counts, "findings": [finding.as_dict() for finding in findings]}
    tell(arguments, Told([f"{counts['ok']} ok, {counts['missing']} missing, {counts['unknown']} unknown"], document))
    if counts["missing"]:
        raise SystemExit(1)


def _line(finding: Finding) -> Text:
    from rich.text import Text

    state = Text(f"{finding.state:<8}", _STYLES[finding.state])
    return state.append(f" {finding.subject:<{_SUBJECT}} {finding.found}", "default")
