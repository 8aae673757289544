from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import pickle
import shutil
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets import sources
from defensive_distillation.datasets.dataset import Dataset, content_digest
from defensive_distillation.errors import ConfigurationError, DatasetError, OutsideError
from support.datasets import shared_datasets as shared_datasets

CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody answers


def _load(path: Path | None = None, seed: int = 0, **settings: Any) -> Dataset:
    settings.setdefault("source", str(path))
    return sources.load(PrepareDataConfig(**settings), path, torch.Generator().manual_seed(seed))


def _noise(seed: int, mode: str = "L", size: tuple[int, int] = (9, 8)) -> Image.Image:
    shape = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *shape), dtype=np.uint8)
    return Image.frombytes(mode, size, values.tobytes())


def _save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def _two_sides(folder: Path, mode: str = "L", top: str = "") -> Path:
    """Five training and two test images of a cat and of a dog, none like another."""
    for seed, (side, name, number) in enumerate(
        (side, name, number)
        for side, count in (("train", 5), ("test", 2))
        for name in ("cat", "dog")
        for number in range(count)
    ):
        _save(folder / top / side / name / f"{number}.png", _noise(seed, mode))
    return folder


def _one_side(folder: Path, count: int = 10) -> Path:
    for seed in range(2 * count):
        _save(folder / ("cat", "dog")[seed % 2] / f"{seed:03}.png", _noise(seed))
    return folder


def _first(dataset: Dataset) -> np.ndarray[Any, Any]:
    return dataset.train_images[0].numpy()


def _zipped(folder: Path, path: Path, reverse: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=reverse):
            archive.write(file, file.relative_to(folder))
    return path


def _tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        archive.add(folder, ".")
    return path


def test_digits_are_split_by_class_and_have_the_form_of_mnist() -> None:
    dataset = _load(source="digits", test_fraction=0.25)
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
    from_file = sources._handwritten()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for images, classes in (from_file, sources._handwritten()):
        assert (images.dtype, classes.dtype) == (np.int64, np.int64)
        assert (images == expected.images).all()
        assert (classes == expected.target).all()


def test_digits_are_enlarged_bilinearly() -> None:
    small = torch.randint(0, 17, (50, 8, 8), generator=torch.Generator().manual_seed(0))
    enlarged = sources.enlarged_digits(small.numpy())
    expected = torch.nn.functional.interpolate(
        small.double().unsqueeze(1) * 255 / 16, size=(28, 28), mode="bilinear", align_corners=False
    )
    # half a step of rounding, and the error of the reference in floating point
    assert (torch.from_numpy(enlarged).double() - expected.squeeze(1)).abs().max() <= 0.5 + 1e-9


def test_a_tie_is_rounded_up_whatever_the_processor() -> None:
    assert (sources.enlarged_digits(np.full((1, 8, 8), 8)) == 128).all()  # 8 of 16 is 127.5
    assert (sources.enlarged_digits(np.full((1, 8, 8), 16)) == 255).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    settings = {"source": "digits", "train_limit": 100, "test_limit": 30}
    assert content_digest(_load(**settings, seed=1)) == content_digest(_load(**settings, seed=1))
    assert content_digest(_load(**settings, seed=1)) != content_digest(_load(**settings, seed=2))


def test_limits_keep_the_classes_balanced() -> None:
    dataset = _load(source="digits", train_limit=100, test_limit=30)
    assert torch.bincount(dataset.train_labels).tolist() == [10] * 10
    assert torch.bincount(dataset.test_labels).tolist() == [3] * 10


def test_a_limit_below_the_number_of_classes_is_refused_by_its_name() -> None:
    with pytest.raises(DatasetError, match="train_limit: expected at least 10, one image for each class, got 9"):
        _load(source="digits", train_limit=9)
    with pytest.raises(DatasetError, match="test_limit: expected at least 10, one image for each class, got 1"):
        _load(source="digits", test_limit=1)


def test_settings_that_do_not_apply_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="data_root: expected the source mnist or cifar10 with it, got 'digits'"
    ):
        _load(source="digits", data_root="/data")
    with pytest.raises(ConfigurationError, match="image_size: expected a folder or archive of images, got 'mnist'"):
        _load(source="mnist", image_size=32)


def test_a_source_that_does_not_exist_is_refused_with_what_there_is(tmp_path: Path) -> None:
    message = "source: expected digits, mnist, cifar10, or a folder or archive of images, got 'minst', which does not"
    with pytest.raises(DatasetError, match=message):
        _load(tmp_path / "minst", source="minst")
    with pytest.raises(DatasetError, match=message):
        _load(None, source="minst")


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
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_real_mnist_is_read_from_a_folder(shared_datasets: Path) -> None:
    dataset = _load(source="mnist", data_root=str(shared_datasets))
    assert dataset.name == "mnist"
    assert dataset.classes == tuple("0123456789")
    assert dataset.train_images.shape == (60_000, 1, 28, 28)
    assert dataset.test_images.shape == (10_000, 1, 28, 28)
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert dataset.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    # the mean of MNIST's training pixels, 0.1307, is in every tutorial
    assert dataset.train_images.double().mean().item() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_limits_of_mnist_keep_its_proportions(shared_datasets: Path) -> None:
    dataset = _load(source="mnist", data_root=str(shared_datasets), train_limit=600, test_limit=100)
    assert len(dataset.train_images) == 600
    assert len(dataset.test_images) == 100
    counts = torch.bincount(dataset.train_labels)
    assert counts.argmax() == 1  # 6,742 of 60,000, the most
    assert counts.argmin() == 5  # 5,421, the fewest


def test_a_folder_without_the_files_is_refused_with_the_file_that_is_missing(tmp_path: Path) -> None:
    message = f"mnist: expected the file MNIST/raw/train-images-idx3-ubyte in {tmp_path}, found none"
    with pytest.raises(DatasetError, match=message):
        _load(source="mnist", data_root=str(tmp_path))
    (_write_mnist(tmp_path) / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match="expected the file MNIST/raw/t10k-labels-idx1-ubyte"):
        _load(source="mnist", data_root=str(tmp_path))
    with pytest.raises(DatasetError, match="cifar10: expected the file cifar-10-batches-py/data_batch_1"):
        _load(source="cifar10", data_root=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no images", _mnist_files()["train-images-idx3-ubyte"][:-1]])
def test_damaged_files_of_mnist_are_refused(tmp_path: Path, content: bytes) -> None:
    root = _write_mnist(tmp_path, **{"train-images-idx3-ubyte": content})
    with pytest.raises(DatasetError, match=f"mnist: the files in {tmp_path} are damaged"):
        _load(source="mnist", data_root=str(root))


def test_fewer_labels_than_images_are_refused(tmp_path: Path) -> None:
    root = _write_mnist(tmp_path, **{"t10k-labels-idx1-ubyte": _idx(np.zeros(9, dtype=np.uint8))})
    with pytest.raises(DatasetError, match="test images: expected as many labels as images, got 9 and 10"):
        _load(source="mnist", data_root=str(root))


def test_a_test_image_of_mnist_that_is_a_training_image_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)  # the first ten for training
    images[:8] = np.random.default_rng(1).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    root = _write_mnist(tmp_path, **{"t10k-images-idx3-ubyte": _idx(images)})
    message = r"2 test images are also training images \(first: test image 8 = training image 8\); remove them from one"
    with pytest.raises(DatasetError, match=message):
        _load(source="mnist", data_root=str(root))


def test_mnist_is_downloaded_once(cache: Path, mirror: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _load(source="mnist")
    assert dataset.train_images.shape == (20, 1, 28, 28)
    assert [path.name for path in cache.iterdir()] == ["mnist"]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [CLOSED])
    assert content_digest(_load(source="mnist")) == content_digest(dataset)


def test_a_download_of_other_bytes_is_refused(
    cache: Path, mirror: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = [(name, "0" * 32) for name, _ in torchvision.datasets.MNIST.resources]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    with pytest.raises(OutsideError, match=r"could not download MNIST \(.*corrupted"):
        _load(source="mnist")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("source", "title"), [("mnist", "MNIST"), ("cifar10", "CIFAR10")])
def test_without_a_network_the_way_round_it_is_named_and_nothing_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch, source: str, title: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [CLOSED])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", CLOSED + "cifar-10-python.tar.gz")
    message = rf"could not download {title} \(.*refused.*\); give a folder that holds it with --data-root"
    with pytest.raises(OutsideError, match=message):
        _load(source=source)
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
    dataset = _load(source="cifar10", data_root=str(tmp_path))
    assert dataset.classes == tuple(names)
    # the file holds all of red, then green, then blue
    assert np.array_equal(dataset.train_images.numpy(), batches["data_batch_1"].reshape(10, 3, 32, 32))
    assert dataset.test_labels.tolist() == list(range(10))
    with (folder / "test_batch").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DatasetError, match=rf"cifar10: the files in {tmp_path} are damaged \(.*corrupted"):
        _load(source="cifar10", data_root=str(tmp_path))


def test_cifar10_is_read_from_an_archive_of_images(shared_datasets: Path) -> None:
    dataset = _load(shared_datasets / "cifar10.tar.xz", train_limit=200, test_limit=50)
    assert dataset.name == "cifar10"
    assert dataset.classes[:3] == ("airplane", "automobile", "bird")
    assert dataset.train_images.shape == (200, 3, 32, 32)
    assert torch.bincount(dataset.train_labels).tolist() == [20] * 10
    assert torch.bincount(dataset.test_labels).tolist() == [5] * 10


@pytest.mark.parametrize("top", ["", "pets", "data/pets"])
def test_a_folder_and_its_archives_give_the_same_dataset(tmp_path: Path, top: str) -> None:
    folder = _two_sides(tmp_path / "pets", top=top)
    dataset = _load(folder)
    assert dataset.name == "pets"
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0] * 5 + [1] * 5
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(_first(dataset)[0], np.asarray(_noise(0)))
    digest = content_digest(dataset)
    for archive in (
        _zipped(folder, tmp_path / "pets.zip"),
        _zipped(folder, tmp_path / "reversed.zip", reverse=True),
        _tarred(folder, tmp_path / "pets.tar.xz"),
    ):
        assert content_digest(_load(archive)) == digest
    assert _load(tmp_path / "pets.tar.xz").name == "pets"


def test_one_folder_for_each_class_is_split(tmp_path: Path) -> None:
    folder = _one_side(tmp_path / "pets")
    dataset = _load(folder, test_fraction=0.3)
    assert torch.bincount(dataset.train_labels).tolist() == [7, 7]
    assert torch.bincount(dataset.test_labels).tolist() == [3, 3]
    assert content_digest(_load(folder, test_fraction=0.3)) == content_digest(dataset)
    assert content_digest(_load(folder, test_fraction=0.3, seed=1)) != content_digest(dataset)
    assert content_digest(_load(_zipped(folder, tmp_path / "a.zip", reverse=True), test_fraction=0.3)) == (
        content_digest(dataset)
    )


def test_limits_are_decided_before_anything_is_decoded(tmp_path: Path) -> None:
    folder = _one_side(tmp_path)
    whole = _load(folder)
    dataset = _load(folder, train_limit=4, test_limit=2)
    assert torch.bincount(dataset.train_labels).tolist() == [2, 2]
    assert torch.bincount(dataset.test_labels).tolist() == [1, 1]
    kept = {image.numpy().tobytes() for image in dataset.train_images}
    assert kept <= {image.numpy().tobytes() for image in whole.train_images}
    for path in sorted(folder.glob("*/*.png")):  # those that are not kept may be damaged
        if np.asarray(Image.open(path)).tobytes() not in kept | {i.numpy().tobytes() for i in dataset.test_images}:
            path.write_bytes(b"damaged")
    assert content_digest(_load(folder, train_limit=4, test_limit=2)) == content_digest(dataset)


def test_classes_are_sorted_by_name(tmp_path: Path) -> None:
    for seed, name in enumerate(["cat-2", "Cat", "cat", "ant"]):
        _save(tmp_path / name / f"{seed}a.png", _noise(2 * seed))
        _save(tmp_path / name / f"{seed}b.png", _noise(2 * seed + 1))
    assert _load(tmp_path).classes == ("Cat", "ant", "cat", "cat-2")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    folder = _one_side(tmp_path)
    (folder / "cat").rename(folder / "train")
    assert _load(folder).classes == ("dog", "train")


def test_hidden_files_and_texts_are_not_taken_for_images(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path / "pets")
    digest = content_digest(_load(folder))
    for name in (
        "README.md",
        ".DS_Store",
        "train/cat/.hidden.png",
        "train/cat/Thumbs.db",
        "train/dog/labels.CSV",
        "train/.ipynb_checkpoints/x.png",
        "__MACOSX/train/cat/._1.png",
        "val/cat/1.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no image")
    assert content_digest(_load(folder)) == digest
    assert content_digest(_load(_zipped(folder, tmp_path / "pets.zip"))) == digest


def test_no_class_and_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 0, as folders of images in the source"):
        _load(tmp_path)
    _save(tmp_path / "1.png", _noise(0))
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 0"):
        _load(tmp_path)
    _save(tmp_path / "cat" / "1.png", _noise(0))
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 1, as folders of images in the source"):
        _load(tmp_path)


def test_one_class_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    shutil.rmtree(folder / "train/dog")
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 1, as folders of images in train/"):
        _load(folder)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_class_without_images_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    folder = _two_sides(tmp_path / "pets")
    shutil.rmtree(folder / "test/dog")
    (folder / "test/dog").mkdir()
    path = _zipped(folder, tmp_path / "pets.zip") if suffix else folder
    with pytest.raises(DatasetError, match="test/dog/: expected the images of a class, got none"):
        _load(path)


def test_classes_of_one_side_only_are_refused_by_their_name(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "test/cow/1.png", _noise(100))
    with pytest.raises(DatasetError, match="expected the same classes in train/ and test/, got 'cow' in test/ only"):
        _load(folder)


def test_a_training_side_without_a_test_side_is_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    (folder / "test").rename(folder / "val")
    with pytest.raises(DatasetError, match="a folder for each class in both train/ and test/, got them in train/ only"):
        _load(folder)
    shutil.rmtree(folder / "val")
    with pytest.raises(DatasetError, match="got them in train/ only"):
        _load(folder)
    assert _load(folder / "train").classes == ("cat", "dog")


def test_a_folder_inside_a_class_is_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "train/cat/more/1.png", _noise(100))
    with pytest.raises(DatasetError, match="train/cat/: expected the images of a class, got the folder more/"):
        _load(folder)


def test_folders_that_lead_round_in_circles_are_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    (folder / "train/cat/again").symlink_to(folder)
    with pytest.raises(DatasetError, match="train/cat/: expected the images of a class, got the folder again/"):
        _load(folder)


def test_a_class_of_a_single_image_cannot_be_split(tmp_path: Path) -> None:
    folder = _one_side(tmp_path)
    _save(folder / "cow/1.png", _noise(100))
    with pytest.raises(DatasetError, match="class 'cow': expected at least 2 images"):
        _load(folder)


@pytest.mark.parametrize("top", ["", "pets"])
def test_a_test_image_that_is_a_training_image_is_refused_with_both_names(tmp_path: Path, top: str) -> None:
    folder = _two_sides(tmp_path, top=top)
    prefix = f"{top}/" if top else ""
    shutil.copy(folder / top / "train/dog/3.png", folder / top / "test/cat/1.png")
    message = (
        rf"1 test images are also training images \(first: {prefix}test/cat/1.png = {prefix}train/dog/3.png\); "
        "remove them from one side"
    )
    with pytest.raises(DatasetError, match=message):
        _load(folder)


def test_an_unreadable_image_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    (folder / "train/cat/3.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"^train/cat/3.png: expected an image \(.*PNG.*\), got: something else"):
        _load(folder)


def test_any_other_file_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path / "pets")
    (folder / "test/dog/model.bin").write_bytes(b"no image")
    for path in (folder, _zipped(folder, tmp_path / "pets.zip")):
        with pytest.raises(DatasetError, match=r"test/dog/model.bin: expected an image"):
            _load(path)


@pytest.mark.parametrize(
    ("name", "options"), [("3.jpg", {}), ("3.png", {}), ("3.tif", {}), ("3.webp", {"lossless": 1})]
)
def test_a_truncated_image_is_refused(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    folder = _two_sides(tmp_path)
    path = _save(folder / "train/cat" / f"more-{name}", _noise(100, "RGB", (9, 8)), **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DatasetError, match=f"^train/cat/more-{name}: expected an image"):
        _load(folder)


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    (folder / "train/cat/gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DatasetError, match=r"train/cat/gone.png: cannot be read \(No such file or directory\)"):
        _load(folder)


def test_an_image_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "train/cat/bomb.png", Image.new("1", (10_000, 10_000)))
    with pytest.raises(DatasetError, match=r"train/cat/bomb.png: .*decompression bomb"):
        _load(folder, image_size=8)


def test_formats_that_start_other_programs_are_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    content = io.BytesIO()
    _noise(100).save(content, "EPS")
    (folder / "train/cat/3.png").write_bytes(content.getvalue())
    with pytest.raises(DatasetError, match=r"train/cat/3.png: expected an image"):
        _load(folder)


def test_images_of_different_sizes_are_refused_with_both_names(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "test/dog/1.png", _noise(100, size=(8, 9)))
    message = r"expected images of one size, got (9×8|8×9) in \S+ and (9×8|8×9) in \S+; --image-size scales them"
    with pytest.raises(DatasetError, match=message) as caught:
        _load(folder)
    assert "8×9 in test/dog/1.png" in str(caught.value)


def test_images_of_different_sizes_are_scaled_if_asked(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    half = Image.new("L", (64, 32), 0)
    half.paste(255, (32, 0, 64, 32))
    _save(folder / "train/cat/0.png", half)
    dataset = _load(folder, image_size=8)
    assert dataset.image_shape == (1, 8, 8)
    # squeezed to half its width: black stays on the left, white on the right
    assert (_first(dataset)[0, :, :3] == 0).all()
    assert (_first(dataset)[0, :, 5:] == 255).all()


def test_shrinking_averages_the_pixels(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    _save(folder / "train/cat/0.png", Image.fromarray(board.astype(np.uint8)))
    # picking every eighth pixel of a chessboard would give black or white; each average is one of 0 and 255 in equal
    # parts, but for the rounding
    assert np.abs(_first(_load(folder, image_size=8)).astype(int) - 127.5).max() <= 2


def test_grey_images_keep_one_channel_and_one_in_colour_makes_all_three(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    grey = _load(folder)
    assert grey.image_shape == (1, 8, 9)
    _save(folder / "test/dog/1.png", _noise(100, "RGB"))
    mixed = _load(folder)
    assert mixed.image_shape == (3, 8, 9)
    assert torch.equal(mixed.train_images, grey.train_images.expand(-1, 3, -1, -1))
    assert np.array_equal(mixed.test_images[3].numpy(), np.asarray(_noise(100, "RGB")).transpose(2, 0, 1))


def _sixteen_bit(order: str) -> Image.Image:
    values = np.array([[0, 128, 129, 65535] * 2 + [257]] * 8, dtype=f"{order}u2")
    return Image.frombytes("I;16B" if order == ">" else "I;16", (9, 8), values.tobytes())


@pytest.mark.parametrize(("name", "order"), [("0.png", "<"), ("0.tif", "<"), ("0.tif", ">")])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, name: str, order: str) -> None:
    folder = _two_sides(tmp_path)
    (folder / "train/cat/0.png").unlink()
    _save(folder / "train/cat" / name, _sixteen_bit(order))
    dataset = _load(folder)
    assert dataset.image_shape == (1, 8, 9)
    # 65535 is 255 · 257, so that 257 is 1, and 128 and 129 are on either side of a half
    assert _first(dataset)[0, 0].tolist() == [0, 0, 1, 255, 0, 0, 1, 255, 1]


def test_black_and_white_is_grey(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "train/cat/0.png", _noise(0).point(lambda value: value > 99, "1"))
    assert set(np.unique(_first(_load(folder)))) == {0, 255}
    assert _load(folder).image_shape == (1, 8, 9)


def test_grey_with_transparency_stays_grey(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    image = _noise(100, "LA")
    _save(folder / "train/cat/0.png", image)
    dataset = _load(folder)
    assert dataset.image_shape == (1, 8, 9)
    assert np.array_equal(_first(dataset)[0], np.asarray(image)[..., 0])


def test_transparency_is_dropped(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    image = _noise(100, "RGBA")
    _save(folder / "train/cat/0.png", image)
    assert np.array_equal(_first(_load(folder)), np.asarray(image)[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(256))}])
def test_a_palette_is_resolved_to_its_colours(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = _two_sides(tmp_path)
    image = _noise(100, "RGB").quantize(colors=256)
    _save(folder / "train/cat/0.png", image, **options)
    assert np.array_equal(_first(_load(folder)), np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_the_colours_of_print_become_those_of_a_screen(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "train/cat/0.tif", Image.new("CMYK", (9, 8), (255, 0, 0, 0)))
    (folder / "train/cat/0.png").unlink()
    assert _first(_load(folder))[:, 0, 0].tolist() == [0, 255, 255]


def test_values_without_a_known_range_are_refused(tmp_path: Path) -> None:
    folder = _two_sides(tmp_path)
    _save(folder / "train/cat/0.tif", Image.new("F", (9, 8), 0.5))
    with pytest.raises(DatasetError, match=r"train/cat/0.tif: expected 8 or 16 bits a channel, got mode F"):
        _load(folder)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = _zipped(_two_sides(tmp_path / "pets"), tmp_path / "pets.zip")
    with pytest.raises(DatasetError, match=r"pets.zip: member .* unpacks to more than 1000 bytes in all"):
        _load(path, max_unpacked_bytes=1000)
