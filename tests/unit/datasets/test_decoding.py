from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import DatasetError
from support.datasets import loaded, noise, save, two_sides, zipped


def _first(dataset: Dataset) -> np.ndarray[Any, Any]:
    return dataset.train_images[0].numpy()


def test_an_unreadable_image_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/3.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"^train/cat/3.png: expected an image \(.*PNG.*\), got: something else"):
        loaded(folder)


def test_any_other_file_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = two_sides(tmp_path / "pets")
    (folder / "test/dog/model.bin").write_bytes(b"no image")
    for path in (folder, zipped(folder, tmp_path / "pets.zip")):
        with pytest.raises(DatasetError, match=r"test/dog/model.bin: expected an image"):
            loaded(path)


@pytest.mark.parametrize(
    ("name", "options"), [("3.jpg", {}), ("3.png", {}), ("3.tif", {}), ("3.webp", {"lossless": 1})]
)
def test_a_truncated_image_is_refused(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    folder = two_sides(tmp_path)
    path = save(folder / "train/cat" / f"more-{name}", noise(100, "RGB", (9, 8)), **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DatasetError, match=f"^train/cat/more-{name}: expected an image"):
        loaded(folder)


def test_an_image_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/bomb.png", Image.new("1", (10_000, 10_000)), compress_level=1)
    with pytest.raises(DatasetError, match=r"train/cat/bomb.png: .*decompression bomb"):
        loaded(folder, image_size=8)


def test_formats_that_start_other_programs_are_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    content = io.BytesIO()
    noise(100).save(content, "EPS")
    (folder / "train/cat/3.png").write_bytes(content.getvalue())
    with pytest.raises(DatasetError, match=r"train/cat/3.png: expected an image"):
        loaded(folder)


def test_images_of_different_sizes_are_refused_with_both_names(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "test/dog/1.png", noise(100, size=(8, 9)))
    message = r"expected images of one size, got (9×8|8×9) in \S+ and (9×8|8×9) in \S+; --image-size scales them"
    with pytest.raises(DatasetError, match=message) as caught:
        loaded(folder)
    assert "8×9 in test/dog/1.png" in str(caught.value)


def test_images_of_different_sizes_are_scaled_if_asked(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    half = Image.new("L", (64, 32), 0)
    half.paste(255, (32, 0, 64, 32))
    save(folder / "train/cat/0.png", half)
    dataset = loaded(folder, image_size=8)
    assert dataset.image_shape == (1, 8, 8)
    # squeezed to half its width: black stays on the left, white on the right
    assert (_first(dataset)[0, :, :3] == 0).all()
    assert (_first(dataset)[0, :, 5:] == 255).all()


def test_shrinking_averages_the_pixels(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    save(folder / "train/cat/0.png", Image.fromarray(board.astype(np.uint8)))
    # picking every eighth pixel of a chessboard would give black or white; each average is one of 0 and 255 in equal
    # parts, but for the rounding
    assert np.abs(_first(loaded(folder, image_size=8)).astype(int) - 127.5).max() <= 2


def test_grey_images_keep_one_channel_and_one_in_colour_makes_all_three(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    grey = loaded(folder)
    assert grey.image_shape == (1, 8, 9)
    save(folder / "test/dog/1.png", noise(100, "RGB"))
    mixed = loaded(folder)
    assert mixed.image_shape == (3, 8, 9)
    assert torch.equal(mixed.train_images, grey.train_images.expand(-1, 3, -1, -1))
    assert np.array_equal(mixed.test_images[3].numpy(), np.asarray(noise(100, "RGB")).transpose(2, 0, 1))


def _sixteen_bit(order: str) -> Image.Image:
    values = np.array([[0, 128, 129, 65535] * 2 + [257]] * 8, dtype=f"{order}u2")
    return Image.frombytes("I;16B" if order == ">" else "I;16", (9, 8), values.tobytes())


@pytest.mark.parametrize(("name", "order"), [("0.png", "<"), ("0.tif", "<"), ("0.tif", ">")])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, name: str, order: str) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/0.png").unlink()
    save(folder / "train/cat" / name, _sixteen_bit(order))
    dataset = loaded(folder)
    assert dataset.image_shape == (1, 8, 9)
    # 65535 is 255 · 257, so that 257 is 1, and 128 and 129 are on either side of a half
    assert _first(dataset)[0, 0].tolist() == [0, 0, 1, 255, 0, 0, 1, 255, 1]


def test_black_and_white_is_grey(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/0.png", noise(0).point(lambda value: value > 99, "1"))
    assert set(np.unique(_first(loaded(folder)))) == {0, 255}
    assert loaded(folder).image_shape == (1, 8, 9)


def test_grey_with_transparency_stays_grey(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    image = noise(100, "LA")
    save(folder / "train/cat/0.png", image)
    dataset = loaded(folder)
    assert dataset.image_shape == (1, 8, 9)
    assert np.array_equal(_first(dataset)[0], np.asarray(image)[..., 0])


def test_transparency_is_dropped(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    image = noise(100, "RGBA")
    save(folder / "train/cat/0.png", image)
    assert np.array_equal(_first(loaded(folder)), np.asarray(image)[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(256))}])
def test_a_palette_is_resolved_to_its_colours(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = two_sides(tmp_path)
    image = noise(100, "RGB").quantize(colors=256)
    save(folder / "train/cat/0.png", image, **options)
    assert np.array_equal(_first(loaded(folder)), np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_the_colours_of_print_become_those_of_a_screen(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/0.tif", Image.new("CMYK", (9, 8), (255, 0, 0, 0)))
    (folder / "train/cat/0.png").unlink()
    assert _first(loaded(folder))[:, 0, 0].tolist() == [0, 255, 255]


def test_values_without_a_known_range_are_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/0.tif", Image.new("F", (9, 8), 0.5))
    with pytest.raises(DatasetError, match=r"train/cat/0.tif: expected 8 or 16 bits a channel, got mode F"):
        loaded(folder)
