from __future__ import annotations

import gc
import importlib.util
import os
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from support import s3_server
from support.chain import Chain, run_chain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.S3Server]:
    """A real S3 server for the session; nothing points to it until a test asks for `s3_bucket`."""
    if importlib.util.find_spec("swift") is None:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail("expected the S3 server 'swift', found no such package: pip install swift")
        pytest.skip("the S3 server needs the package 'swift', of the extra 'dev'")
    with s3_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3: s3_server.S3Server) -> Iterator[S3Client]:
    """A client that shares nothing with `storage`, to see what really is on the server."""
    import boto3

    client = boto3.session.Session(s3.access_key, s3.secret_key, region_name=s3.region).client(
        "s3", endpoint_url=s3.endpoint
    )
    yield client
    client.close()


@pytest.fixture
def s3_bucket(s3: s3_server.S3Server, s3_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket, as `s3://name`, with the environment set so that `storage` finds it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{secrets.token_hex(6)}"
    s3_client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Every stage run once on real digits, by the first of the tests' processes that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "chain"
    with FileLock(f"{folder}.lock"):
        return run_chain(folder)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small networks are quickest on one thread, and the tests' processes share the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """A step takes what is imported for lasting, as its process does nothing else; the tests' process does."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the tracking server, the run or the image of whoever starts the tests."""
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "KFP_", "DEFDISTILL_RUN", "DEFDISTILL_IMAGE"))]:
        monkeypatch.delenv(name)
