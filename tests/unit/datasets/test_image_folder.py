from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from defensive_distillation.datasets import image_folder
from defensive_distillation.datasets.dataset import content_digest, overlap
from defensive_distillation.errors import DatasetError
from support.datasets import loaded, noise, one_side, save, tarred, two_sides, zipped
from support.datasets import shared_datasets as shared_datasets


def test_the_archive_of_cifar10_is_listed_whole_and_read(shared_datasets: Path) -> None:
    source = image_folder.source(shared_datasets / "cifar10.tar.xz", image_size=None, max_unpacked_bytes=2**30)
    assert source.name == "cifar10"
    assert source.classes[:3] == ("airplane", "automobile", "bird")
    assert source.test is not None
    assert torch.bincount(source.train.labels).tolist() == [5000] * 10
    assert torch.bincount(source.test.labels).tolist() == [1000] * 10
    train, test = source.images(torch.tensor([7, 0]), torch.tensor([0, 1, 9999]))
    assert train.shape == (2, 3, 32, 32)
    assert test.shape == (3, 3, 32, 32)


@pytest.mark.parametrize("top", ["", "pets", "data/pets"])
def test_a_folder_and_its_archives_give_the_same_dataset(tmp_path: Path, top: str) -> None:
    folder = two_sides(tmp_path / "pets", top=top)
    dataset = loaded(folder)
    assert dataset.name == "pets"
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0] * 5 + [1] * 5
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(dataset.train_images[0, 0].numpy(), np.asarray(noise(0)))
    digest = content_digest(dataset)
    for archive in (
        zipped(folder, tmp_path / "pets.zip"),
        zipped(folder, tmp_path / "reversed.zip", reverse=True),
        tarred(folder, tmp_path / "pets.tar.xz"),
    ):
        assert content_digest(loaded(archive)) == digest
    assert loaded(tmp_path / "pets.tar.xz").name == "pets"


def test_one_folder_for_each_class_is_split(tmp_path: Path) -> None:
    folder = one_side(tmp_path / "pets")
    dataset = loaded(folder, test_fraction=0.3)
    assert torch.bincount(dataset.train_labels).tolist() == [7, 7]
    assert torch.bincount(dataset.test_labels).tolist() == [3, 3]
    assert content_digest(loaded(folder, test_fraction=0.3)) == content_digest(dataset)
    assert content_digest(loaded(folder, test_fraction=0.3, seed=1)) != content_digest(dataset)
    assert content_digest(loaded(zipped(folder, tmp_path / "a.zip", reverse=True), test_fraction=0.3)) == (
        content_digest(dataset)
    )


def test_limits_are_decided_before_anything_is_decoded(tmp_path: Path) -> None:
    folder = one_side(tmp_path)
    whole = loaded(folder)
    dataset = loaded(folder, train_limit=4, test_limit=2)
    assert torch.bincount(dataset.train_labels).tolist() == [2, 2]
    assert torch.bincount(dataset.test_labels).tolist() == [1, 1]
    kept = {image.numpy().tobytes() for image in dataset.train_images}
    assert kept <= {image.numpy().tobytes() for image in whole.train_images}
    for path in sorted(folder.glob("*/*.png")):  # those that are not kept may be damaged
        if np.asarray(Image.open(path)).tobytes() not in kept | {i.numpy().tobytes() for i in dataset.test_images}:
            path.write_bytes(b"damaged")
    assert content_digest(loaded(folder, train_limit=4, test_limit=2)) == content_digest(dataset)


def test_classes_are_sorted_by_name(tmp_path: Path) -> None:
    for seed, name in enumerate(["cat-2", "Cat", "cat", "ant"]):
        save(tmp_path / name / f"{seed}a.png", noise(2 * seed))
        save(tmp_path / name / f"{seed}b.png", noise(2 * seed + 1))
    assert loaded(tmp_path).classes == ("Cat", "ant", "cat", "cat-2")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    folder = one_side(tmp_path)
    (folder / "cat").rename(folder / "train")
    assert loaded(folder).classes == ("dog", "train")


def test_hidden_files_and_texts_are_not_taken_for_images(tmp_path: Path) -> None:
    folder = two_sides(tmp_path / "pets")
    digest = content_digest(loaded(folder))
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
    assert content_digest(loaded(folder)) == digest
    assert content_digest(loaded(zipped(folder, tmp_path / "pets.zip"))) == digest


def test_a_hidden_folder_of_images_beside_the_classes_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path / "pets")
    save(folder / "train/.cow/1.png", noise(100))
    for place in (folder, zipped(folder, tmp_path / "pets.zip")):
        with pytest.raises(DatasetError, match=r"train/\.cow/: expected classes that are not hidden; rename"):
            loaded(place)


def test_one_name_spelled_in_two_ways_is_one_class(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    for side, form in (("train", "NFC"), ("test", "NFD")):
        (folder / side / "cat").rename(folder / side / unicodedata.normalize(form, "käse"))  # type: ignore[arg-type]
    assert loaded(folder).classes == ("dog", "käse")


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat").rename(os.fsdecode(os.fsencode(folder) + b"/train/caf\xe9"))
    with pytest.raises(DatasetError, match=r"expected names in UTF-8, got 'train/caf\\udce9/'; rename it"):
        loaded(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pipe", "expected a plain file, got a device, pipe or socket"),
        ("link to a device", "expected a plain file, got a device, pipe or socket"),
        ("large", "expected at most 268435456 bytes, got 12000000000"),
    ],
)
def test_what_would_wait_or_fill_the_memory_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    folder = two_sides(tmp_path)
    path = folder / "train/cat/7.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.touch()
        os.truncate(path, 12_000_000_000)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match=f"^train/cat/7.png: {message}"):
        loaded(folder)


@pytest.mark.parametrize("seed", range(5))
def test_copies_in_one_folder_are_kept_on_the_training_side(tmp_path: Path, seed: int) -> None:
    folder = one_side(tmp_path)
    for number in range(5):
        shutil.copy(folder / "cat/000.png", folder / f"cat/copy-{number}.png")
    dataset = loaded(folder, seed=seed, test_fraction=0.5)
    assert overlap(dataset.train_images, dataset.test_images) == []
    shutil.rmtree(folder / "dog")
    for number in range(4):
        save(folder / f"dog/{number}.png", noise(0))
    with pytest.raises(DatasetError, match="expected an image of one class, got its copy"):
        loaded(folder, seed=seed, test_fraction=0.5)


def test_no_class_and_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 0, as folders of images in the source"):
        loaded(tmp_path)
    save(tmp_path / "1.png", noise(0))
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 0"):
        loaded(tmp_path)
    save(tmp_path / "cat" / "1.png", noise(0))
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 1, as folders of images in the source"):
        loaded(tmp_path)


def test_one_class_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    shutil.rmtree(folder / "train/dog")
    with pytest.raises(DatasetError, match="expected at least 2 classes, got 1, as folders of images in train/"):
        loaded(folder)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_class_without_images_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    folder = two_sides(tmp_path / "pets")
    shutil.rmtree(folder / "test/dog")
    (folder / "test/dog").mkdir()
    path = zipped(folder, tmp_path / "pets.zip") if suffix else folder
    with pytest.raises(DatasetError, match="test/dog/: expected the images of a class, got none"):
        loaded(path)


def test_classes_of_one_side_only_are_refused_by_their_name(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "test/cow/1.png", noise(100))
    with pytest.raises(DatasetError, match="expected the same classes in train/ and test/, got 'cow' in test/ only"):
        loaded(folder)


def test_a_training_side_without_a_test_side_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "test").rename(folder / "val")
    with pytest.raises(DatasetError, match="a folder for each class in both train/ and test/, got them in train/ only"):
        loaded(folder)
    shutil.rmtree(folder / "val")
    with pytest.raises(DatasetError, match="got them in train/ only"):
        loaded(folder)
    assert loaded(folder / "train").classes == ("cat", "dog")


def test_a_folder_inside_a_class_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/more/1.png", noise(100))
    with pytest.raises(DatasetError, match="train/cat/: expected the images of a class, got the folder more/"):
        loaded(folder)


def test_folders_that_lead_round_in_circles_are_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/again").symlink_to(folder)
    with pytest.raises(DatasetError, match="train/cat/: expected the images of a class, got the folder again/"):
        loaded(folder)


def test_a_class_of_a_single_image_cannot_be_split(tmp_path: Path) -> None:
    folder = one_side(tmp_path)
    save(folder / "cow/1.png", noise(100))
    with pytest.raises(DatasetError, match="class 'cow': expected at least 2 images"):
        loaded(folder)


@pytest.mark.parametrize("top", ["", "pets"])
def test_a_test_image_that_is_a_training_image_is_refused_with_both_names(tmp_path: Path, top: str) -> None:
    folder = two_sides(tmp_path, top=top)
    prefix = f"{top}/" if top else ""
    shutil.copy(folder / top / "train/dog/3.png", folder / top / "test/cat/1.png")
    message = (
        rf"1 test images are also training images \(first: {prefix}test/cat/1.png = {prefix}train/dog/3.png\); "
        "remove them from one side"
    )
    with pytest.raises(DatasetError, match=message):
        loaded(folder)


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DatasetError, match=r"train/cat/gone.png: cannot be read \(No such file or directory\)"):
        loaded(folder)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = zipped(two_sides(tmp_path / "pets"), tmp_path / "pets.zip")
    with pytest.raises(DatasetError, match=r"pets.zip: member .* unpacks to more than 1000 bytes in all"):
        loaded(path, max_unpacked_bytes=1000)
