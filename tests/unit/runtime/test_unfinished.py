"""Where unfinished work of a run on a cluster goes."""

from __future__ import annotations

import pytest

from defensive_distillation.runtime.unfinished import AUTOMATIC, place

RUN = "9dcd9791-892e-4e45-8014-a39b348a0c28"
ROOTS = ["s3://bucket/root", "minio://mlpipeline/v2/artifacts"]


@pytest.fixture(autouse=True)
def _a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KFP_RUN_ID", RUN)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")


def artifact(root: str, run: str = RUN) -> str:
    """Where Kubeflow puts the artifact of a step."""
    return f"{root}/defensive-distillation-digits/{run}/train-teacher/57a0c1f2/model"


@pytest.mark.parametrize("root", ROOTS)
def test_by_itself_it_lies_beside_the_runs_of_the_pipeline(root: str) -> None:
    """All runs of the pipeline find it there, under the digest of what decides the result."""
    assert place(AUTOMATIC, artifact(root)) == f"{root}/defensive-distillation-digits/unfinished"


def test_a_place_that_is_named_is_taken_and_none_is_the_pods_own_disk() -> None:
    assert place("s3://elsewhere/work", artifact(ROOTS[0])) == "s3://elsewhere/work"
    assert place("", artifact(ROOTS[0])) is None


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_credentials_may_be_of_any_kind(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert place(AUTOMATIC, artifact(ROOTS[0])) is None
    monkeypatch.setenv(variable, "x")
    assert place(AUTOMATIC, artifact(ROOTS[0])) is not None


@pytest.mark.parametrize(
    ("uri", "run", "key"),
    [
        (artifact("gs://bucket/root"), RUN, "anyone"),
        (artifact("/store"), RUN, "anyone"),
        (artifact(ROOTS[0], run="another"), RUN, "anyone"),
        (artifact(ROOTS[0]), "", "anyone"),
        (artifact(ROOTS[0]), RUN, ""),
    ],
    ids=["in another store", "on a disk", "of another run", "of no run", "without credentials"],
)
def test_where_nothing_can_be_kept_it_is_said_that_a_lost_step_begins_again(
    uri: str, run: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KFP_RUN_ID", run)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    assert place(AUTOMATIC, uri) is None
    expected = "unfinished work stays in the pod: a step whose pod is lost begins again\n"
    assert capsys.readouterr().out == expected
