"""Which folders are classes, and which of their files are images."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch

from defensive_distillation.datasets.source import Samples
from defensive_distillation.errors import DatasetError

_NO_IMAGES = (".txt", ".md", ".rst", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".ini", ".db")
_OF_PROGRAMS = {".ipynb_checkpoints", ".git", ".cache", ".thumbnails", ".AppleDouble", ".dvc", ".Trash", ".trash"}
_Tree = dict[str, list[str]]  # what each folder holds, sorted; the names of folders end in '/', the outermost is ''


def samples_by_class(names: Sequence[str]) -> tuple[tuple[str, ...], Samples, Samples | None]:
    """Classes, training and test samples; no test samples where train/ and test/ do not hold the classes.

    Args:
        names: paths of all files and folders, in any order, those of folders ending in '/'.

    Raises:
        DatasetError: for fewer than two classes, classes of one side only, and a class without images.
    """
    _refuse_unreadable_names(names)
    tree = _tree(names)
    top = _top(tree)
    _refuse_hidden_classes(names, [top, f"{top}train/", f"{top}test/"] if _has_sides(tree, top) else [top])
    if not _has_sides(tree, top):
        classes = _classes(tree, top)
        return classes, _samples(tree, top, classes), None
    classes, test_classes = (_classes(tree, top + side) for side in ("train/", "test/"))
    if differing := sorted(set(classes) ^ set(test_classes)):
        side = "train" if differing[0] in classes else "test"
        raise DatasetError(f"expected the same classes in train/ and test/, got {differing[0]!r} in {side}/ only")
    return classes, _samples(tree, f"{top}train/", classes), _samples(tree, f"{top}test/", classes)


def _tree(names: Sequence[str]) -> _Tree:
    children: dict[str, set[str]] = {"": set()}
    for path in names:
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
    return {folder: sorted(inside, key=lambda name: name.removesuffix("/")) for folder, inside in children.items()}


def _refuse_unreadable_names(names: Sequence[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(f"expected names in UTF-8, got {name!a}; rename it") from error


def _refuse_hidden_classes(names: Sequence[str], parents: Sequence[str]) -> None:
    """A hidden folder of images beside the classes may be one of them, which would be missed without a word."""
    for path in names:
        folder, _, name = path.rpartition("/")
        above, slash, hidden = folder.rpartition("/")
        beside = above + slash in parents and hidden.startswith(".") and hidden not in _OF_PROGRAMS
        if beside and _may_be_image(name):
            raise DatasetError(f"{folder}/: expected classes that are not hidden; rename the folder, or take it away")


def _may_be_image(name: str) -> bool:
    return bool(name) and not name.startswith(".") and not name.lower().endswith(_NO_IMAGES)


def _spelled(folder: str) -> str:
    """The name of a class: some systems write an accented letter as two characters."""
    return unicodedata.normalize("NFC", folder.removesuffix("/"))


def _folders(tree: _Tree, folder: str) -> list[str]:
    return [name for name in tree[folder] if name.endswith("/")]


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


def _classes(tree: _Tree, folder: str) -> tuple[str, ...]:
    classes = tuple(sorted({_spelled(name) for name in _folders(tree, folder)}))
    if len(classes) < 2:
        where = folder or "the source"
        raise DatasetError(f"expected at least 2 classes, got {len(classes)}, as folders of images in {where}")
    return classes


def _samples(tree: _Tree, folder: str, classes: Sequence[str]) -> Samples:
    spellings: dict[str, list[str]] = {name: [] for name in classes}
    for name in _folders(tree, folder):
        spellings[_spelled(name)].append(folder + name)
    by_class = [[path for place in spellings[name] for path in _images(tree, place)] for name in classes]
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(paths) for paths in by_class]))
    return Samples(labels, [path for paths in by_class for path in paths])


def _images(tree: _Tree, folder: str) -> list[str]:
    for inner in _folders(tree, folder):
        raise DatasetError(f"{folder}: expected the images of a class, got the folder {inner}")
    images = [
        folder + name for name in tree[folder] if name.lower() != "thumbs.db" and not name.lower().endswith(_NO_IMAGES)
    ]
    if not images:
        raise DatasetError(f"{folder}: expected the images of a class, got none")
    return images
