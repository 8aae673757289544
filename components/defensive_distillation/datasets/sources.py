"""Where datasets come from: scikit-learn, torchvision, and images in folders named after their classes."""

from __future__ import annotations

import importlib.util
import io
import os
import socket
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets import archives
from defensive_distillation.datasets.dataset import Dataset, overlap, stratified_split, stratified_subset
from defensive_distillation.errors import ConfigurationError, DatasetError, OutsideError, StorageError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

NAMED = ("digits", "mnist", "cifar10")
_TITLES = {"mnist": "MNIST", "cifar10": "CIFAR10"}  # as torchvision names them
_DOWNLOAD_TIMEOUT = 60.0  # seconds without an answer
_MAX_DEPTH = 5  # of folders: an outer one, train or test, the class; deeper ones are refused anyway
_NO_IMAGES = (".txt", ".md", ".rst", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".ini", ".db")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not those that start other programs, such as EPS
_GREY_MODES = ("1", "L", "LA", "La")
_GREY_16_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True, eq=False)
class _Side:
    """The training or the test side of a dataset; `names` say in an error which image is meant."""

    images: Tensor
    labels: Tensor
    names: Sequence[str]


_Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_Numbers = np.ndarray[Any, np.dtype[np.int64]]
_Loaded = tuple[str, tuple[str, ...], _Side, _Side]  # name, classes, training side, test side


def load(config: PrepareDataConfig, source_path: Path | None, generator: torch.Generator) -> Dataset:
    """The dataset that `config` describes, checked, split and limited; the same for the same seed of `generator`.

    Images in folders lie in train/<class>/ and test/<class>/, where other folders beside train and test are not read,
    or in <class>/, of which `config.test_fraction` is held out. Either may be inside one outer folder. If all images
    are grey they keep one channel, otherwise all get three. Transparency is dropped, 16 bits are scaled to 8. Hidden
    files and text files are not taken for images.

    Args:
        config: the settings of the stage.
        source_path: the folder or archive, for a source that is none of `NAMED`.
        generator: decides the split and the limits.

    Raises:
        DatasetError: for images or labels that cannot be used, naming the first of them, and for test images that are
            also training images.
        ConfigurationError: for a setting that does not apply to the source.
        OutsideError: if a download or the disk fails.
    """
    _refuse_unused_settings(config)
    if config.source == "digits":
        name, classes, train, test = _digits(config, generator)
    elif config.source in NAMED:
        name, classes, train, test = _torchvision(config, generator)
    else:
        name, classes, train, test = _image_folders(config, _existing(config, source_path), generator)
    dataset = Dataset(name, classes, train.images, train.labels, test.images, test.labels)
    _refuse_overlap(train, test)
    return dataset


def _refuse_unused_settings(config: PrepareDataConfig) -> None:
    if config.data_root is not None and config.source not in _TITLES:
        raise ConfigurationError(f"data_root: expected the source mnist or cifar10 with it, got {config.source!r}")
    if config.image_size is not None and config.source in NAMED:
        raise ConfigurationError(f"image_size: expected a folder or archive of images, got {config.source!r}")


def _existing(config: PrepareDataConfig, source_path: Path | None) -> Path:
    if source_path is None or not source_path.exists():
        raise DatasetError(
            f"source: expected {', '.join(NAMED)}, or a folder or archive of images, "
            f"got {config.source!r}, which does not exist"
        )
    return source_path


def _refuse_overlap(train: _Side, test: _Side) -> None:
    pairs = overlap(train.images, test.images)
    if pairs:
        first_test, first_train = pairs[0]
        raise DatasetError(
            f"{len(pairs)} test images are also training images "
            f"(first: {test.names[first_test]} = {train.names[first_train]}); remove them from one side"
        )


def _kept(setting: str, labels: Tensor, limit: int | None, generator: torch.Generator) -> Tensor:
    """Indices of the samples that the limit, named by `setting`, leaves."""
    try:
        return stratified_subset(labels, len(labels) if limit is None else limit, generator)
    except DatasetError as error:
        raise DatasetError(f"{setting}: {error}") from error


def _digits(config: PrepareDataConfig, generator: torch.Generator) -> _Loaded:
    small, classes = _handwritten()
    images = torch.from_numpy(enlarged_digits(small)).unsqueeze(1)
    labels = torch.from_numpy(classes)
    train, test = stratified_split(labels, config.test_fraction, generator)
    train = train[_kept("train_limit", labels[train], config.train_limit, generator)]
    test = test[_kept("test_limit", labels[test], config.test_limit, generator)]
    train_side, test_side = (
        _Side(images[part], labels[part], [f"image {index}" for index in part.tolist()]) for part in (train, test)
    )
    return "digits", tuple(map(str, range(10))), train_side, test_side


def _handwritten() -> tuple[_Numbers, _Numbers]:
    """Scikit-learn's digits, images (1797, 8, 8) from 0 to 16 and classes (1797,).

    From its file, where that is in its place: importing scikit-learn takes two seconds.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",", dtype=np.int64)
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].copy()
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def enlarged_digits(images: np.ndarray[Any, np.dtype[np.int64]]) -> _Pixels:
    """Images (N, 8, 8) of values 0 to 16 as (N, 28, 28) of values 0 to 255, bilinear between the pixels' centres.

    In integers, because 8 of 16 is 127.5: in floating point the processor would decide how that is rounded.
    """
    weights = _bilinear_weights(8, 28)  # its rows sum to 2 · 28
    scaled = weights @ images @ weights.T * 255
    unit = 16 * 56 * 56
    enlarged: _Pixels = ((scaled + unit // 2) // unit).astype(np.uint8)
    return enlarged


def _bilinear_weights(size: int, new_size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Weights (new_size, size) of the old pixels in each new one, in parts of 2 · new_size."""
    centres = np.clip((2 * np.arange(new_size) + 1) * size - new_size, 0, (size - 1) * 2 * new_size)
    lower, part = np.divmod(centres, 2 * new_size)
    weights = np.zeros((new_size, size), dtype=np.int64)
    weights[np.arange(new_size), lower] = 2 * new_size - part
    weights[np.arange(new_size), np.minimum(lower + 1, size - 1)] += part
    return weights


def _torchvision(config: PrepareDataConfig, generator: torch.Generator) -> _Loaded:
    import torchvision.datasets

    kind = getattr(torchvision.datasets, _TITLES[config.source])
    root = Path(config.data_root) if config.data_root is not None else _downloaded(kind, config.source)
    _refuse_missing_files(kind, config.source, root)
    try:
        both = [kind(root, train=train, download=False) for train in (True, False)]
    except Exception as error:  # torchvision answers damaged files with whatever it stumbles over
        raise DatasetError(f"{config.source}: the files in {root} are damaged ({first_line(error)})") from error
    classes = tuple(map(str, range(10))) if config.source == "mnist" else tuple(both[0].classes)
    train = _array_side("train_limit", "training image", both[0], config.train_limit, generator)
    test = _array_side("test_limit", "test image", both[1], config.test_limit, generator)
    return config.source, classes, train, test


def _array_side(setting: str, title: str, source: Any, limit: int | None, generator: torch.Generator) -> _Side:
    images = torch.as_tensor(source.data)  # (N, H, W) or (N, H, W, C)
    labels = torch.as_tensor(source.targets, dtype=torch.int64)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    if len(images) != len(labels):
        raise DatasetError(f"{title}s: expected as many labels as images, got {len(labels)} and {len(images)}")
    kept = _kept(setting, labels, limit, generator)
    return _Side(images[kept].contiguous(), labels[kept], [f"{title} {i}" for i in kept.tolist()])


def _refuse_missing_files(kind: Any, source: str, root: Path) -> None:
    if source == "mnist":
        expected = [f"MNIST/raw/{archive.removesuffix('.gz')}" for archive, _ in kind.resources]
    else:
        files = [*(file for file, _ in kind.train_list + kind.test_list), kind.meta["filename"]]
        expected = [f"{kind.base_folder}/{file}" for file in files]
    for file in expected:
        if not (root / file).is_file():
            raise DatasetError(f"{source}: expected the file {file} in {root}, found none")


def _downloaded(kind: Any, source: str) -> Path:
    """The folder in the user's cache that holds the dataset, downloaded if it is not there yet, whole or not at all."""
    root = Path.home() / ".cache" / "defensive-distillation" / source
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{source}-", dir=root.parent) as temporary:
            with _socket_timeout(_DOWNLOAD_TIMEOUT):
                kind(Path(temporary, source), train=True, download=True)
            if not root.is_dir():  # another process may have been faster
                Path(temporary, source).rename(root)
    except (OSError, RuntimeError, HTTPException) as error:
        raise OutsideError(
            f"could not download {kind.__name__} ({first_line(error)}); give a folder that holds it with --data-root"
        ) from error
    return root


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Torchvision's downloads take no timeout and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


_Read = Callable[[Collection[str]], Iterator[tuple[str, bytes]]]  # names and bytes of the wanted files, in any order
_Tree = dict[str, list[str]]  # what each folder holds, sorted; the names of folders end in '/', the outermost is ''
_Files = tuple[list[str], Tensor]  # paths and labels


def _image_folders(config: PrepareDataConfig, source: Path, generator: torch.Generator) -> _Loaded:
    read: _Read
    if source.is_dir():
        listing, read = _listing(source), partial(_contents, source)
    else:
        listing = archives.names(source, max_bytes=config.max_unpacked_bytes)
        read = partial(archives.contents, source)
    classes, (train_paths, train_labels), (test_paths, test_labels) = _chosen(config, _tree(listing), generator)
    train_images, test_images = _decoded(read, train_paths, test_paths, config.image_size)
    train = _Side(train_images, train_labels, train_paths)
    return _title(source), classes, train, _Side(test_images, test_labels, test_paths)


def _title(source: Path) -> str:
    name = source.resolve().name
    suffix = next((suffix for suffix in archives.SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def _listing(folder: Path) -> list[str]:
    try:
        return list(_walk(folder, "", _MAX_DEPTH))
    except OSError as error:
        raise StorageError(f"{folder}: {error}") from error


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir():
                yield prefix + entry.name
            elif depth > 0:  # links between folders may go in circles
                yield f"{prefix}{entry.name}/"
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)


def _contents(folder: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for name in wanted:
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise DatasetError(f"{name}: cannot be read ({error.strerror})") from error
        yield name, content


def _tree(listing: Sequence[str]) -> _Tree:
    children: dict[str, set[str]] = {"": set()}
    for path in listing:
        parts = path.removesuffix("/").split("/")
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        if path.endswith("/"):
            children.setdefault(path, set())
        for depth in range(len(parts), 0, -1):
            parent = "".join(f"{part}/" for part in parts[: depth - 1])
            known = parent in children  # and so are the folders above it
            is_folder = depth < len(parts) or path.endswith("/")
            children.setdefault(parent, set()).add(parts[depth - 1] + "/" * is_folder)
            if known:
                break
    # 'cat' comes before 'cat-2', although 'cat/' does not come before 'cat-2/'
    return {folder: sorted(names, key=lambda name: name.removesuffix("/")) for folder, names in children.items()}


def _folders(tree: _Tree, folder: str) -> list[str]:
    return [name for name in tree[folder] if name.endswith("/")]


def _chosen(
    config: PrepareDataConfig, tree: _Tree, generator: torch.Generator
) -> tuple[tuple[str, ...], _Files, _Files]:
    """The classes and the files of both sides, split and limited before anything is decoded."""
    top = _top(tree)
    if _has_sides(tree, top):
        classes, train, test = _two_sides(tree, top)
    else:
        classes = _classes(tree, top)
        train, test = _divided(_labelled(tree, top, classes), classes, config.test_fraction, generator)
    train = _part(train, _kept("train_limit", train[1], config.train_limit, generator))
    test = _part(test, _kept("test_limit", test[1], config.test_limit, generator))
    return classes, train, test


def _top(tree: _Tree) -> str:
    """The folder that holds train/ and test/ or the classes: the outermost, or the only one in it."""
    top = ""
    while True:
        folders = _folders(tree, top)
        if len(folders) != 1 or folders[0] in ("train/", "test/") or not _folders(tree, top + folders[0]):
            return top
        top += folders[0]


def _has_sides(tree: _Tree, top: str) -> bool:
    """Whether train/ and test/ hold classes, and are not classes of these names."""
    sides = [side for side in ("train/", "test/") if side in tree[top] and _folders(tree, top + side)]
    if len(sides) == 1:
        raise DatasetError(
            f"expected a folder for each class in both train/ and test/, got them in {top}{sides[0]} only"
        )
    return len(sides) == 2


def _two_sides(tree: _Tree, top: str) -> tuple[tuple[str, ...], _Files, _Files]:
    classes, test_classes = (_classes(tree, top + side) for side in ("train/", "test/"))
    differing = sorted(set(classes) ^ set(test_classes))
    if differing:
        side = "train" if differing[0] in classes else "test"
        raise DatasetError(f"expected the same classes in train/ and test/, got {differing[0]!r} in {side}/ only")
    return classes, _labelled(tree, f"{top}train/", classes), _labelled(tree, f"{top}test/", classes)


def _classes(tree: _Tree, folder: str) -> tuple[str, ...]:
    classes = tuple(name.removesuffix("/") for name in _folders(tree, folder))
    if len(classes) < 2:
        where = folder or "the source"
        raise DatasetError(f"expected at least 2 classes, got {len(classes)}, as folders of images in {where}")
    return classes


def _labelled(tree: _Tree, folder: str, classes: Sequence[str]) -> _Files:
    by_class = [_images(tree, f"{folder}{name}/") for name in classes]
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(paths) for paths in by_class]))
    return [path for paths in by_class for path in paths], labels


def _images(tree: _Tree, folder: str) -> list[str]:
    for inner in _folders(tree, folder):
        raise DatasetError(f"{folder}: expected the images of a class, got the folder {inner}")
    images = [
        folder + name for name in tree[folder] if name.lower() != "thumbs.db" and not name.lower().endswith(_NO_IMAGES)
    ]
    if not images:
        raise DatasetError(f"{folder}: expected the images of a class, got none")
    return images


def _divided(
    files: _Files, classes: Sequence[str], test_fraction: float, generator: torch.Generator
) -> tuple[_Files, _Files]:
    train, test = stratified_split(files[1], test_fraction, generator, classes)
    return _part(files, train), _part(files, test)


def _part(files: _Files, indices: Tensor) -> _Files:
    paths, labels = files
    return [paths[index] for index in indices.tolist()], labels[indices]


def _decoded(
    read: _Read, train_paths: Sequence[str], test_paths: Sequence[str], image_size: int | None
) -> tuple[Tensor, Tensor]:
    """The images of both sides, uint8 (N, C, H, W)."""
    train, test = _Canvas(train_paths), _Canvas(test_paths)
    first: tuple[str, tuple[int, ...]] | None = None
    for name, content in read({*train_paths, *test_paths}):
        pixels = _pixels(name, content, image_size)
        first = first or (name, pixels.shape[1:])
        if pixels.shape[1:] != first[1]:
            raise DatasetError(
                f"expected images of one size, got {_size(first[1])} in {first[0]} and {_size(pixels.shape[1:])} "
                f"in {name}; --image-size scales them"
            )
        (train if name in train.places else test).paint(name, pixels)
    channels = max(train.images.shape[1], test.images.shape[1])
    return torch.from_numpy(train.with_channels(channels)), torch.from_numpy(test.with_channels(channels))


def _size(shape: Sequence[int]) -> str:
    height, width = shape
    return f"{width}×{height}"


class _Canvas:
    """The images of one side, painted in any order; grey until the first one in colour."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.places = {path: index for index, path in enumerate(paths)}
        self.images: _Pixels = np.empty((0, 1, 0, 0), dtype=np.uint8)

    def paint(self, name: str, pixels: _Pixels) -> None:
        if len(self.images) == 0:
            self.images = np.empty((len(self.places), *pixels.shape), dtype=np.uint8)
        self.images = self.with_channels(max(len(pixels), self.images.shape[1]))
        self.images[self.places[name]] = pixels  # grey is repeated over three channels

    def with_channels(self, channels: int) -> _Pixels:
        return self.images if self.images.shape[1] == channels else self.images.repeat(channels, axis=1)


def _pixels(name: str, content: bytes, image_size: int | None) -> _Pixels:
    """One image as uint8 (C, H, W), C = 1 for grey."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                opened.load()
                image = _eight_bit(opened)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    except Exception as error:  # decoders answer damaged input with whatever they stumble over
        reason = "something else" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise DatasetError(f"{name}: expected an image ({', '.join(_FORMATS)}), got: {reason}") from error
    if image_size is not None:
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)  # averages when it shrinks
    array = np.asarray(image, dtype=np.uint8)
    return array[np.newaxis] if array.ndim == 2 else array.transpose(2, 0, 1)


def _eight_bit(image: Image) -> Image:
    """The image in mode L if it is grey, otherwise RGB, without transparency."""
    if image.mode in _GREY_MODES:
        return image.convert("L")
    if image.mode in _GREY_16_BIT_MODES:
        return _from_16_bit(image)
    if image.mode not in _COLOUR_MODES:
        raise DatasetError(f"expected 8 or 16 bits a channel, got mode {image.mode}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns of a palette with transparency that goes to RGB directly
    return image.convert("RGB")


def _from_16_bit(image: Image) -> Image:
    from PIL import Image as PillowImage

    values = np.asarray(image).astype(np.uint32)
    return PillowImage.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
