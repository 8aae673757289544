from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import mlflow_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server."""
    with mlflow_server.running(tmp_path_factory.mktemp("server")) as address:
        yield address
