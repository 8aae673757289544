"""Images in folders that are named after their classes, on a disk or in an archive."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from defensive_distillation.datasets.image_folder import archives, files
from defensive_distillation.datasets.image_folder.decoding import decoded
from defensive_distillation.datasets.image_folder.layout import samples_by_class
from defensive_distillation.datasets.source import Source


def source(path: Path, *, image_size: int | None, max_unpacked_bytes: int) -> Source:
    """The images in the folder or archive at `path`, by class; none is decoded before it is chosen.

    They lie in train/<class>/ and test/<class>/, where other folders beside train and test are not read, or in
    <class>/, of which a share is to be held out. Either may be inside one outer folder. Hidden files and text files are
    not taken for images. If all chosen images are grey they keep one channel, otherwise all get three. Images are
    turned as their EXIF says, transparency is dropped, 16 bits are scaled to 8.

    Args:
        path: a folder, or a .zip, .tar, .tar.gz, .tgz or .tar.xz file.
        image_size: pixels square to which the images are scaled; None for images of one size.
        max_unpacked_bytes: the most bytes of an archive when unpacked, and of all images when decoded.

    Raises:
        DatasetError: for folders without classes, and when read, for the first image that cannot be used.
        StorageError: if the disk refuses.
    """
    if path.is_dir():
        names, read = files.names(path), partial(files.contents, path)
    else:
        names, read = archives.names(path, max_bytes=max_unpacked_bytes), partial(archives.contents, path)
    classes, train, test = samples_by_class(names)
    test_names = train.names if test is None else test.names

    def images(train_indices: Tensor, test_indices: Tensor) -> tuple[Tensor, Tensor]:
        chosen = [train.names[i] for i in train_indices.tolist()], [test_names[i] for i in test_indices.tolist()]
        return decoded(read, *chosen, image_size, max_unpacked_bytes)

    return Source(_title(path), classes, train, test, images)


def _title(path: Path) -> str:
    name = path.resolve().name
    suffix = next((suffix for suffix in archives.SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name
