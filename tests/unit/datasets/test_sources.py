from __future__ import annotations

import gzip
import hashlib
import importlib.util
import inspect
import pickle
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from sklearn.datasets import load_digits

from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets.dataset import content_digest
from defensive_distillation.datasets.extent import Extent, extent
from defensive_distillation.datasets.loading import load
from defensive_distillation.datasets.sources import digits
from defensive_distillation.errors import ConfigurationError, DatasetError, OutsideError
from support.datasets import loaded
from support.datasets import shared_datasets as shared_datasets

CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody answers


def test_digits_are_split_by_class_and_have_the_form_of_mnist() -> None:
    dataset = loaded("digits", test_fraction=0.25)
    assert dataset.name == "digits"
    assert dataset.classes == tuple("0123456789")
    assert dataset.image_shape == (1, 28, 28)
    assert len(dataset.train_images) + len(dataset.test_images) == 1797
    held_out = torch.bincount(dataset.test_labels)
    exact = (held_out + torch.bincount(dataset.train_labels)) * 0.25
    assert (held_out - exact).abs().max() <= 0.5  # whole images are held out
    assert dataset.train_images.min() == 0
    assert dataset.train_images.max() == 255


def test_digits_are_scikit_learns_whether_from_its_file_or_by_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_digits()
    from_file = digits.handwritten()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for images, classes in (from_file, digits.handwritten()):
        assert (images.dtype, classes.dtype) == (np.int64, np.int64)
        assert (images == expected.images).all()
        assert (classes == expected.target).all()


def test_digits_are_enlarged_bilinearly() -> None:
    small = torch.randint(0, 17, (50, 8, 8), generator=torch.Generator().manual_seed(0))
    enlarged = digits.enlarged(small.numpy())
    expected = torch.nn.functional.interpolate(
        small.double().unsqueeze(1) * 255 / 16, size=(28, 28), mode="bilinear", align_corners=False
    )
    # half a step of rounding, and the error of the reference in floating point
    assert (torch.from_numpy(enlarged).double() - expected.squeeze(1)).abs().max() <= 0.5 + 1e-9


def test_a_tie_is_rounded_up_whatever_the_processor() -> None:
    assert (digits.enlarged(np.full((1, 8, 8), 8)) == 128).all()  # 8 of 16 is 127.5
    assert (digits.enlarged(np.full((1, 8, 8), 16)) == 255).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    settings = {"source": "digits", "train_limit": 100, "test_limit": 30}
    assert content_digest(loaded(**settings, seed=1)) == content_digest(loaded(**settings, seed=1))
    assert content_digest(loaded(**settings, seed=1)) != content_digest(loaded(**settings, seed=2))


def test_limits_keep_the_classes_balanced() -> None:
    dataset = loaded("digits", train_limit=100, test_limit=30)
    assert torch.bincount(dataset.train_labels).tolist() == [10] * 10
    assert torch.bincount(dataset.test_labels).tolist() == [3] * 10


def test_a_limit_below_the_number_of_classes_is_refused_by_its_name() -> None:
    with pytest.raises(DatasetError, match="train_limit: expected at least 10, one image for each class, got 9"):
        loaded("digits", train_limit=9)
    with pytest.raises(DatasetError, match="test_limit: expected at least 10, one image for each class, got 1"):
        loaded("digits", test_limit=1)


def test_settings_that_do_not_apply_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="data_root: expected the source cifar10 or mnist with it, got 'digits'"
    ):
        loaded("digits", data_root="/data")
    with pytest.raises(ConfigurationError, match="image_size: expected a folder or archive of images, got 'mnist'"):
        loaded("mnist", image_size=32)


def test_the_defaults_of_loading_are_those_of_the_stage() -> None:
    parameters = inspect.signature(load).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert defaults == PrepareDataConfig().model_dump(exclude={"source", "seed", "content"})


def test_a_source_that_does_not_exist_is_refused_with_what_there_is(tmp_path: Path) -> None:
    message = "source: expected cifar10, digits, mnist, or a folder or archive of images, got 'minst', which does not"
    with pytest.raises(DatasetError, match=message):
        load("minst", tmp_path / "minst", torch.Generator())
    with pytest.raises(DatasetError, match=message):
        load("minst", None, torch.Generator())


def _idx(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _mnist_files(train: int = 20, test: int = 10) -> dict[str, bytes]:
    """Noise in the form of MNIST's four files."""
    images = np.random.default_rng(0).integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = (np.arange(train + test) % 10).astype(np.uint8)
    return {
        "train-images-idx3-ubyte": _idx(images[:train]),
        "train-labels-idx1-ubyte": _idx(labels[:train]),
        "t10k-images-idx3-ubyte": _idx(images[train:]),
        "t10k-labels-idx1-ubyte": _idx(labels[train:]),
    }


def _write_mnist(root: Path, **changes: bytes) -> Path:
    (root / "MNIST/raw").mkdir(parents=True)
    for name, content in (_mnist_files() | changes).items():
        (root / "MNIST/raw" / name).write_bytes(content)
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go, in a home of its own and without proxies."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / ".cache/defensive-distillation"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A mirror of a small MNIST on this machine, the only one that torchvision knows."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    resources = []
    for name, content in _mnist_files().items():
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_real_mnist_is_read_from_a_folder(shared_datasets: Path) -> None:
    dataset = loaded("mnist", data_root=str(shared_datasets))
    assert dataset.name == "mnist"
    assert dataset.classes == tuple("0123456789")
    assert dataset.train_images.shape == (60_000, 1, 28, 28)
    assert dataset.test_images.shape == (10_000, 1, 28, 28)
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert dataset.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    # the mean of MNIST's training pixels, 0.1307, is in every tutorial
    assert dataset.train_images.sum().item() / dataset.train_images.numel() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_limits_of_mnist_keep_its_proportions(shared_datasets: Path) -> None:
    dataset = loaded("mnist", data_root=str(shared_datasets), train_limit=600, test_limit=100)
    assert len(dataset.train_images) == 600
    assert len(dataset.test_images) == 100
    counts = torch.bincount(dataset.train_labels)
    assert counts.argmax() == 1  # 6,742 of 60,000, the most
    assert counts.argmin() == 5  # 5,421, the fewest


def test_a_folder_without_the_files_is_refused_with_the_file_that_is_missing(tmp_path: Path) -> None:
    message = f"mnist: expected the file MNIST/raw/train-images-idx3-ubyte in {tmp_path}, found none"
    with pytest.raises(DatasetError, match=message):
        loaded("mnist", data_root=str(tmp_path))
    (_write_mnist(tmp_path) / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match="expected the file MNIST/raw/t10k-labels-idx1-ubyte"):
        loaded("mnist", data_root=str(tmp_path))
    with pytest.raises(DatasetError, match="cifar10: expected the file cifar-10-batches-py/data_batch_1"):
        loaded("cifar10", data_root=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no images", _mnist_files()["train-images-idx3-ubyte"][:-1]])
def test_damaged_files_of_mnist_are_refused(tmp_path: Path, content: bytes) -> None:
    root = _write_mnist(tmp_path, **{"train-images-idx3-ubyte": content})
    with pytest.raises(DatasetError, match=f"mnist: the files in {tmp_path} are damaged"):
        loaded("mnist", data_root=str(root))


def test_fewer_labels_than_images_are_refused(tmp_path: Path) -> None:
    root = _write_mnist(tmp_path, **{"t10k-labels-idx1-ubyte": _idx(np.zeros(9, dtype=np.uint8))})
    with pytest.raises(DatasetError, match="test images: expected as many labels as images, got 9 and 10"):
        loaded("mnist", data_root=str(root))


def test_a_test_image_of_mnist_that_is_a_training_image_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)  # the first ten for training
    images[:8] = np.random.default_rng(1).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    root = _write_mnist(tmp_path, **{"t10k-images-idx3-ubyte": _idx(images)})
    message = r"2 test images are also training images \(first: test image 8 = training image 8\); remove them from one"
    with pytest.raises(DatasetError, match=message):
        loaded("mnist", data_root=str(root))


def test_mnist_is_downloaded_once(cache: Path, mirror: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = loaded("mnist")
    assert dataset.train_images.shape == (20, 1, 28, 28)
    assert [path.name for path in cache.iterdir()] == ["mnist"]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [CLOSED])
    assert content_digest(loaded("mnist")) == content_digest(dataset)


def test_a_download_of_other_bytes_is_refused(
    cache: Path, mirror: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = [(name, "0" * 32) for name, _ in torchvision.datasets.MNIST.resources]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    with pytest.raises(OutsideError, match=r"could not download MNIST \(.*corrupted"):
        loaded("mnist")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("source", "title"), [("mnist", "MNIST"), ("cifar10", "CIFAR10")])
def test_without_a_network_the_way_round_it_is_named_and_nothing_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch, source: str, title: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [CLOSED])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", CLOSED + "cifar-10-python.tar.gz")
    message = rf"could not download {title} \(.*refused.*\); give a folder that holds it with --data-root"
    with pytest.raises(OutsideError, match=message):
        loaded(source)
    assert list(cache.iterdir()) == []


def test_the_original_form_of_cifar10_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    batches = {name: rng.integers(0, 256, (10, 3 * 32 * 32), dtype=np.uint8) for name in ("data_batch_1", "test_batch")}
    contents = {name: {"data": data, "labels": list(range(10))} for name, data in batches.items()}
    names = [f"class {number}" for number in range(10)]
    sums = {}
    for name, content in {**contents, "batches.meta": {"label_names": names}}.items():
        packed = pickle.dumps(content)
        (folder / name).write_bytes(packed)
        sums[name] = hashlib.md5(packed).hexdigest()
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", meta)
    dataset = loaded("cifar10", data_root=str(tmp_path))
    assert dataset.classes == tuple(names)
    # the file holds all of red, then green, then blue
    assert np.array_equal(dataset.train_images.numpy(), batches["data_batch_1"].reshape(10, 3, 32, 32))
    assert dataset.test_labels.tolist() == list(range(10))
    with (folder / "test_batch").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DatasetError, match=rf"cifar10: the files in {tmp_path} are damaged \(.*corrupted"):
        loaded("cifar10", data_root=str(tmp_path))


def test_how_much_there_is_of_mnist_is_known_before_its_files_are_here(shared_datasets: Path) -> None:
    known = extent("mnist", test_limit=None, test_fraction=0.2, max_unpacked_bytes=1)
    dataset = loaded("mnist", data_root=str(shared_datasets))
    assert known == Extent(dataset.num_classes, len(dataset.test_images))
