"""Schedules as wishes, against a server that answers as a real Kubeflow Pipelines did."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from defensive_distillation.errors import ClusterError, InputError
from defensive_distillation_pipelines.cluster import submission
from defensive_distillation_pipelines.cluster.runs import Runs
from defensive_distillation_pipelines.cluster.scheduling import declaration, pipeline, recurring
from defensive_distillation_pipelines.cluster.scheduling.declaration import Wish
from defensive_distillation_pipelines.cluster.server import Server
from defensive_distillation_pipelines.definitions.package import Package
from support.cluster.scheduling import Scheduling

WISH = Wish(name="nightly", cron="0 0 3 * * *", pipeline_id="p", experiment_id="e")


@pytest.fixture
def kubeflow() -> Iterator[Scheduling]:
    stand_in = Scheduling()
    with stand_in.running():
        yield stand_in


@pytest.fixture
def runs(kubeflow: Scheduling) -> Runs:
    return Runs(Server("Kubeflow Pipelines", kubeflow.address, hint="check it"), "kubeflow")


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaration, "_LOOK", 0.02)


def declare(runs: Runs, wish: Wish, patience: float = 5) -> str:
    return declaration.declare(runs, wish, patience=patience, say=lambda line: None)


def changes(kubeflow: Scheduling) -> list[str]:
    return [line for line in kubeflow.lines() if not line.startswith("GET")]


def test_a_wish_becomes_a_recurring_run_that_takes_the_newest_version_one_at_a_time(
    kubeflow: Scheduling, runs: Runs
) -> None:
    wish = replace(WISH, parameters={"seed": 3}, pipeline_root="s3://b/r", service_account="steps")
    assert declare(runs, wish) == "nightly: scheduled"
    sent = next(request.body for request in kubeflow.asked if request.method == "POST")
    assert sent["pipeline_version_reference"] == {"pipeline_id": "p"}
    assert (sent["max_concurrency"], sent["no_catchup"]) == ("1", True)
    assert sent["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert sent["runtime_config"] == {"parameters": {"seed": 3}, "pipeline_root": "s3://b/r"}
    assert sent["service_account"] == "steps"
    (made,) = recurring.listed(runs)
    assert made.enabled
    assert made.wish == wish.digest


def test_the_same_wish_changes_nothing(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    before = changes(kubeflow)
    assert declare(runs, replace(WISH)) == "nightly: as wished already"
    assert changes(kubeflow) == before


@pytest.mark.parametrize(
    "other",
    [{"cron": "0 0 4 * * *"}, {"parameters": {"seed": 1}}, {"experiment_id": "x"}, {"service_account": "s"}],
    ids=lambda other: next(iter(other)),
)
def test_another_wish_replaces_what_is_there(kubeflow: Scheduling, runs: Runs, other: dict[str, object]) -> None:
    declare(runs, WISH)
    wish = replace(WISH, **other)  # type: ignore[arg-type]
    assert declare(runs, wish) == "nightly: replaced"
    (now,) = recurring.listed(runs)
    assert (now.wish, now.enabled) == (wish.digest, True)


def test_a_schedule_stays_paused_when_the_same_is_wished_again(runs: Runs) -> None:
    declare(runs, WISH)
    declaration.pause(runs, "nightly")
    assert declare(runs, WISH) == "nightly: as wished already, but paused: --resume nightly lets it go on"
    declaration.resume(runs, "nightly")
    assert declare(runs, WISH) == "nightly: as wished already"


def test_a_run_that_is_going_is_waited_for_before_its_schedule_is_deleted(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    run_id = kubeflow.tick("nightly")
    assert run_id is not None
    told: list[str] = []

    def end() -> None:
        told.append("ended")
        kubeflow.end(run_id)

    timer = threading.Timer(0.2, end)
    timer.start()
    done = declaration.declare(runs, replace(WISH, cron="0 0 4 * * *"), patience=10, say=told.append)
    timer.join()
    assert done == "nightly: replaced"
    assert len(told) == 2
    assert told[0].startswith("nightly: waiting for its run")
    assert told[1] == "ended"
    assert [line.split()[0] for line in changes(kubeflow)][-2:] == ["DELETE", "POST"]
    assert changes(kubeflow)[-1].endswith(":enable")


def test_when_patience_ends_nothing_is_deleted_and_the_same_command_goes_on(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    run_id = kubeflow.tick("nightly")
    other = replace(WISH, cron="0 0 4 * * *")
    with pytest.raises(ClusterError, match=r"its run .* is still going after 0.05 s; the schedule is paused"):
        declare(runs, other, patience=0.05)
    assert not any(line.startswith("DELETE") for line in changes(kubeflow))
    assert {one.enabled for one in recurring.listed(runs)} == {False}
    assert run_id is not None
    kubeflow.end(run_id)
    assert declare(runs, other) == "nightly: replaced"
    (now,) = recurring.listed(runs)
    assert (now.wish, now.enabled) == (other.digest, True)


def test_a_wish_that_kubeflow_refuses_leaves_the_earlier_one_as_it_was(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    with pytest.raises(ClusterError, match="Expected 5 to 6 fields"):
        declare(runs, replace(WISH, cron="every day"))
    (now,) = recurring.listed(runs)
    assert (now.wish, now.enabled) == (WISH.digest, True)


def test_a_recurring_run_of_somebody_else_is_left_alone(kubeflow: Scheduling, runs: Runs) -> None:
    recurring.create(runs, {**WISH.body(), "description": "by hand"})
    before = changes(kubeflow)
    for call in (lambda: declare(runs, WISH), lambda: declaration.pause(runs, "nightly")):
        with pytest.raises(InputError, match="nightly: expected a name of our own"):
            call()
    assert declaration.ours(runs) == []
    assert changes(kubeflow) == before


def test_deleting_waits_for_the_run_and_may_be_told_not_to(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    kubeflow.tick("nightly")
    with pytest.raises(ClusterError, match="still going"):
        declaration.delete(runs, "nightly", patience=0.05, say=lambda line: None)
    assert declaration.delete(runs, "nightly", patience=None, say=lambda line: None) == "nightly: deleted"
    assert (
        declaration.delete(runs, "nightly", patience=1, say=lambda line: None) == "nightly: there is no such schedule"
    )


def test_a_name_that_is_not_there_is_told_with_those_that_are(runs: Runs) -> None:
    declare(runs, WISH)
    with pytest.raises(InputError, match="weekly: expected the name of a schedule, of which there are: nightly"):
        declaration.resume(runs, "weekly")


def test_schedules_are_found_on_every_page(kubeflow: Scheduling, runs: Runs) -> None:
    kubeflow.pages = 1
    for name in ("c", "a", "b"):
        declare(runs, replace(WISH, name=name))
    assert [one.name for one in declaration.ours(runs)] == ["a", "b", "c"]


def test_only_its_own_runs_are_a_schedules_runs(kubeflow: Scheduling, runs: Runs) -> None:
    declare(runs, WISH)
    declare(runs, replace(WISH, name="weekly"))
    run_id = kubeflow.tick("nightly")
    nightly, weekly = declaration.ours(runs)
    assert [run.id for run in recurring.going(runs, nightly)] == [run_id]
    assert recurring.started(runs, weekly) == []


def test_a_text_becomes_the_newest_version_once(kubeflow: Scheduling, runs: Runs) -> None:
    own = submission.pipeline_id(runs, pipeline.name_of("nightly"), {})
    first = pipeline.make_newest(runs, own, Package("one: 1"))
    assert first is not None
    assert pipeline.make_newest(runs, own, Package("one: 1")) is None
    second = pipeline.make_newest(runs, own, Package("two: 2"))
    assert second not in (first, None)
    assert [name for _, name in kubeflow.versions] == [first, second]


def test_a_text_that_was_the_newest_before_becomes_so_again(kubeflow: Scheduling, runs: Runs) -> None:
    own = submission.pipeline_id(runs, pipeline.name_of("nightly"), {})
    names = [pipeline.make_newest(runs, own, Package(text)) for text in ("a: 1", "b: 1", "a: 1", "b: 1", "a: 1")]
    assert names[2] == f"{names[0]}-2"
    assert names[4] == f"{names[0]}-3"
    assert pipeline.make_newest(runs, own, Package("a: 1")) is None
