from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.datasets.image_folder.decoding import MAX_SIDE
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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path, orientation: int) -> None:
    folder = two_sides(tmp_path)
    turned = {
        1: lambda pixels: pixels,
        2: np.fliplr,
        3: lambda pixels: np.rot90(pixels, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda pixels: np.rot90(pixels, -1),
        7: lambda pixels: np.rot90(pixels, 2).T,
        8: np.rot90,
    }[orientation]
    for path in folder.rglob("*.png"):
        save(path, Image.open(path).resize((9, 9)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = noise(100, size=(9, 9))
    save(folder / "train/cat/0.png", image, exif=exif)
    assert np.array_equal(_first(loaded(folder))[0], turned(np.asarray(image)))


def test_a_picture_in_its_transparency_alone_is_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    black = Image.new("RGBA", (9, 8))
    black.putalpha(noise(100))
    save(folder / "train/cat/0.png", black)
    with pytest.raises(DatasetError, match=r"train/cat/0.png: expected a picture in its colours, got one in its"):
        loaded(folder)
    save(folder / "train/cat/0.png", Image.new("RGBA", (9, 8), (1, 2, 3, 4)))
    assert _first(loaded(folder))[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_pgm_of_any_depth_is_scaled_to_eight_bits(tmp_path: Path, bits: int) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/0.png").unlink()
    most = 2**bits - 1
    values = np.array([[0, most // 2, most] * 3] * 8, dtype=">u2" if bits > 8 else "u1")
    (folder / "train/cat/0.pgm").write_bytes(f"P5 9 8 {most}\n".encode() + values.tobytes())
    dataset = loaded(folder)
    assert dataset.image_shape == (1, 8, 9)
    assert _first(dataset)[0, 0, :3].tolist() == [0, 127, 255]


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    (folder / "train/cat/3.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"train/cat/3.png: expected an image \(.*\), got: an empty file"):
        loaded(folder)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_images_too_large_for_a_classifier_are_refused_before_they_are_decoded(tmp_path: Path, suffix: str) -> None:
    folder = two_sides(tmp_path / "pets")
    for path in folder.rglob("*.png"):
        save(path, Image.new("1", (9000, 9000)))
    place = zipped(folder, tmp_path / "pets.zip") if suffix else folder
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"png: expected at most 2048×2048 pixels, got 9000×9000; --image-size"):
        loaded(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_more_pixels_than_are_allowed_are_refused_at_the_first_image(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    assert len(loaded(folder, max_unpacked_bytes=14 * 72).train_images) == 10
    with pytest.raises(DatasetError, match="expected at most 1007 bytes of images, got 1008: choose fewer by --train"):
        loaded(folder, max_unpacked_bytes=14 * 72 - 1)


def test_images_are_scaled_to_no_more_than_is_accepted_unscaled() -> None:
    assert PrepareDataConfig(image_size=MAX_SIDE).image_size == MAX_SIDE
    with pytest.raises(ValueError, match="less than or equal to 2048"):
        PrepareDataConfig(image_size=MAX_SIDE + 1)


def test_values_without_a_known_range_are_refused(tmp_path: Path) -> None:
    folder = two_sides(tmp_path)
    save(folder / "train/cat/0.tif", Image.new("F", (9, 8), 0.5))
    with pytest.raises(DatasetError, match=r"train/cat/0.tif: expected 8 or 16 bits a channel, got mode F"):
        loaded(folder)
