"""Recurring runs as Kubeflow Pipelines' API tells of them, and what can be done with them.

Ours carry a mark in their description: a digest of what was wished, since Kubeflow cannot change a recurring run and a
wish must be compared with what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from defensive_distillation_pipelines.cluster.runs import API, Run, Runs

_PATH = f"{API}/recurringruns"
_MARK = re.compile(r"\bwish ([0-9a-f]{12})\b")
_PAGE = 100
_LOOKED_AT = 200  # the newest runs of an experiment that may belong to a recurring run


@dataclass(frozen=True)
class Recurring:
    """A recurring run at one moment; `wish` is empty for one that is not ours."""

    id: str
    name: str
    cron: str
    enabled: bool
    wish: str
    experiment: str
    pipeline: str

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Recurring:
        """A recurring run from the API's answer."""
        mark = _MARK.search(told.get("description", ""))
        return cls(
            id=told["recurring_run_id"],
            name=told.get("display_name", ""),
            cron=told.get("trigger", {}).get("cron_schedule", {}).get("cron", ""),
            enabled=told.get("status", told.get("mode")) in ("ENABLED", "ENABLE"),
            wish=mark[1] if mark else "",
            experiment=told.get("experiment_id", ""),
            pipeline=told.get("pipeline_version_reference", {}).get("pipeline_id", ""),
        )


def mark(wish: str) -> str:
    """The description of a recurring run that is ours."""
    return f"Made by defdistill schedule, wish {wish}"


def listed(runs: Runs) -> Iterator[Recurring]:
    """All recurring runs of the namespace."""
    query: dict[str, Any] = {**runs.scope(), "page_size": _PAGE, "sort_by": "created_at"}
    while True:
        answer = runs.server.get(_PATH, **query)
        yield from map(Recurring.of, answer.get("recurringRuns", ()))
        if not answer.get("next_page_token"):
            return
        query["page_token"] = answer["next_page_token"]


def create(runs: Runs, body: Mapping[str, Any]) -> Recurring:
    """Makes one."""
    return Recurring.of(runs.server.post(_PATH, body))


def enable(runs: Runs, recurring: Recurring) -> None:
    """Lets it start runs."""
    runs.server.post(f"{_PATH}/{recurring.id}:enable")


def disable(runs: Runs, recurring: Recurring) -> None:
    """Lets it start no more runs; one that is going goes on."""
    runs.server.post(f"{_PATH}/{recurring.id}:disable")


def delete(runs: Runs, recurring: Recurring) -> None:
    """Removes it, and with it the workflow of a run that is going."""
    runs.server.delete(f"{_PATH}/{recurring.id}")


def going(runs: Runs, recurring: Recurring) -> list[Run]:
    """Its runs that have not ended."""
    return [run for run in started(runs, recurring) if run.outcome is None]


def started(runs: Runs, recurring: Recurring) -> list[Run]:
    """Its runs, the newest first, among the newest of its experiment: the API has no list of them."""
    query = {
        **runs.scope(),
        "experiment_id": recurring.experiment,
        "page_size": _LOOKED_AT,
        "sort_by": "created_at desc",
    }
    told = runs.server.get(f"{API}/runs", **query).get("runs", ())
    return [Run.of(run) for run in told if run.get("recurring_run_id") == recurring.id]
