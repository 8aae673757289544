"""What the tests' own fixture takes out of the environment is what these need: it is kept beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.cluster.live import NEEDED

_OURS = ("KF_", "KFP_", "DEFDISTILL_", "MLFLOW_", "AWS_")
_KEPT = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that lead to the cluster, as this process was given them."""
    _put_back(monkeypatch)


@pytest.fixture(scope="module")
def environment_of_module() -> Iterator[None]:
    """The same for fixtures that last longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        _put_back(patch)
        yield


def _put_back(patch: pytest.MonkeyPatch) -> None:
    missing = [name for name in NEEDED if not _KEPT.get(name)]
    assert not missing, f"expected the variables {', '.join(NEEDED)}, missing: {', '.join(missing)}"
    for name, value in _KEPT.items():
        patch.setenv(name, value)


@pytest.fixture(scope="session")
def run_id() -> dict[str, str]:
    """The run that succeeded, under 'run', for the tests after it."""
    return {}
