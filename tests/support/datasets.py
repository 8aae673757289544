from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """The folder with the original MNIST files and CIFAR-10 as images, which the project does not contain."""
    beside = Path(__file__).parents[3] / "shared" / "datasets"
    folder = Path(os.environ.get("DEFDISTILL_DATASETS", beside))
    if not (folder / "MNIST" / "raw").is_dir() or not (folder / "cifar10.tar.xz").is_file():
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail(f"expected MNIST/raw and cifar10.tar.xz in {folder}; DEFDISTILL_DATASETS names another folder")
        pytest.skip(f"needs MNIST/raw and cifar10.tar.xz in {folder}, or in the folder that DEFDISTILL_DATASETS names")
    return folder
