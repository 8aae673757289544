"""defdistill doctor: whether a cluster has what a run needs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection
from defensive_distillation_pipelines.commands.parser import add_cluster, cluster_of, command, work_of

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.doctor.finding import Finding

_SUBJECT = 22  # columns


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
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_connection(parser)
    add_cluster(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.doctor.examination import Examination

    examination = Examination(access_of(arguments), cluster_of(arguments), work_of(arguments))
    findings = []
    for finding in examination.findings():
        findings.append(finding)
        if not arguments.json:
            print(_lines(finding), flush=True)
    counts = {state: sum(one.state == state for one in findings) for state in ("ok", "missing", "unknown")}
    if arguments.json:
        print(json.dumps({**counts, "findings": [finding.as_dict() for finding in findings]}, indent=2))
    else:
        print(f"{counts['ok']} ok, {counts['missing']} missing, {counts['unknown']} unknown")
    if counts["missing"]:
        raise SystemExit(1)


def _lines(finding: Finding) -> str:
    """The finding, and below it what to do."""
    head = f"{finding.state:<8} {finding.subject:<{_SUBJECT}} {finding.found}"
    return f"{head}\n{'':<{_SUBJECT + 10}}{finding.todo}" if finding.todo else head
