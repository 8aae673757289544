"""defdistill schedule against a server that answers as a real Kubeflow Pipelines did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from defensive_distillation_pipelines.commands import cli
from support.cluster.kubeflow import API
from support.cluster.scheduling import Scheduling

Schedule = Callable[..., tuple[int, str]]
NIGHTLY = ("--cron", "0 3 * * *", "--name", "nightly", "--profile", "cpu")


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduling]:
    stand_in = Scheduling()
    with stand_in.running():
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", stand_in.address)
        monkeypatch.setenv("KFP_NAMESPACE", "kubeflow")
        yield stand_in


@pytest.fixture
def schedule(kubeflow: Scheduling, capsys: pytest.CaptureFixture[str]) -> Schedule:
    def call(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            cli.main(["schedule", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return code, (told.out + told.err).strip()

    return call


def test_a_schedule_is_declared_with_a_pipeline_of_its_own(kubeflow: Scheduling, schedule: Schedule) -> None:
    code, told = schedule(*NIGHTLY, "--resources", "service_account=steps", "--pipeline-root", "s3://b/r")
    assert code == 0
    assert list(kubeflow.pipelines) == ["scheduled-nightly"]
    ((_, version),) = kubeflow.versions
    assert told == f"nightly: scheduled; version {version} from its next run on"
    sent = next(one.body for one in kubeflow.asked if (one.method, one.path) == ("POST", f"{API}/recurringruns"))
    assert sent["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert sent["experiment_id"] == kubeflow.experiments["defensive-distillation"]
    assert sent["service_account"] == "steps"
    assert schedule(*NIGHTLY, "--resources", "service_account=steps", "--pipeline-root", "s3://b/r") == (
        0,
        "nightly: as wished already; the pipeline has not changed",
    )


def test_other_settings_are_another_version_and_the_schedule_stays(kubeflow: Scheduling, schedule: Schedule) -> None:
    schedule(*NIGHTLY)
    code, told = schedule(*NIGHTLY, "--temperatures", "5")
    assert code == 0
    assert told.startswith("nightly: as wished already; version ")
    assert len(kubeflow.versions) == 2
    assert len(kubeflow.recurring) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cron", "every day"), "--cron: expected five fields"),
        ((*NIGHTLY, "--parameter", "nothing=1"), "--parameter: expected NAME=JSON with one of"),
        ((*NIGHTLY, "--parameter", "report=[1"), "--parameter report: expected JSON"),
        ((*NIGHTLY, "--preset", "none"), "preset"),
        ((*NIGHTLY, "--resources", "atack.cpu=1"), "resources: expected one of"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_changed(
    kubeflow: Scheduling, schedule: Schedule, arguments: tuple[str, ...], told: str
) -> None:
    code, said = schedule(*arguments)
    assert code == 2
    assert told in said
    assert "\n" not in said
    assert not [line for line in kubeflow.lines() if not line.startswith("GET")]


def test_a_scheduled_sweep_ends_with_a_gate_unless_told_not_to(kubeflow: Scheduling, schedule: Schedule) -> None:
    schedule(*NIGHTLY)
    schedule(*NIGHTLY, "--no-gate")
    with_gate, without = (text for _, text in kubeflow.versions.values())
    assert "comp-gate:" in with_gate
    assert "comp-gate:" not in without


def test_parameters_are_part_of_the_wish(kubeflow: Scheduling, schedule: Schedule) -> None:
    schedule(*NIGHTLY)
    code, told = schedule(*NIGHTLY, "--parameter", 'report={"title": "by night"}')
    assert (code, told) == (0, "nightly: replaced; the pipeline has not changed")


def test_schedules_are_listed_paused_resumed_and_deleted(kubeflow: Scheduling, schedule: Schedule) -> None:
    assert schedule("--list") == (0, "no schedules were declared here")
    schedule(*NIGHTLY)
    assert schedule("--list") == (0, "nightly  on      0 3 * * *         no run yet")
    assert schedule("--pause", "nightly") == (0, "nightly: paused; a run that is going goes on")
    assert schedule("--list")[1].startswith("nightly  paused")
    assert schedule("--resume", "nightly") == (0, "nightly: resumed")
    kubeflow.tick("nightly")
    assert schedule("--list")[1].endswith(": running")
    code, told = schedule("--delete", "nightly", "--patience", "0")
    assert code == 1
    assert "still going" in told
    assert schedule("--delete", "nightly", "--now") == (0, "nightly: deleted")
    assert schedule("--delete", "nightly") == (0, "nightly: there is no such schedule")
    code, told = schedule("--pause", "nightly")
    assert code == 2
    assert "expected the name of a schedule" in told


def test_for_programs_each_call_is_one_document(
    kubeflow: Scheduling, schedule: Schedule, capsys: pytest.CaptureFixture[str]
) -> None:
    def document(*arguments: str) -> Any:
        code, told = schedule(*arguments, "--json")
        assert code == 0
        return json.loads(told)

    assert document("--list") == {"schedules": []}
    assert document(*NIGHTLY)["schedule"] == "nightly"
    row = {"name": "nightly", "on": True, "cron": "0 3 * * *", "last": None}
    assert document("--list") == {"schedules": [row]}
    assert document("--pause", "nightly") == {"schedule": "nightly", "done": "paused; a run that is going goes on"}
    assert document("--list") == {"schedules": [{**row, "on": False}]}
    assert document("--resume", "nightly") == {"schedule": "nightly", "done": "resumed"}
    kubeflow.tick("nightly")
    last = document("--list")["schedules"][0]["last"]
    assert last["state"] == "running"
    assert last["id"]
    assert document("--delete", "nightly", "--now") == {"schedule": "nightly", "done": "deleted"}
