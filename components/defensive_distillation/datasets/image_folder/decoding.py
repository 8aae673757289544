"""From the bytes of image files to pixels of one form."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from defensive_distillation.errors import DatasetError, first_line

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not those that start other programs, such as EPS
MAX_SIDE = 2048  # pixels of an image as it is used
_MOST_BYTES = 2**28  # of one decoded image: 67 million pixels in colour, in Pillow's four bytes
_FREE_BYTES = 2**29  # that are decoded whatever the files hold: some seconds
_RATIO = 1000  # of decoded bytes to those of the files, beyond; photographs have 4 to 200
_GREY_MODES = ("1", "L", "LA", "La")
_GREY_16_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
_Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_Read = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]  # names and bytes of the wanted files, in any order


def decoded(
    read: _Read, train_paths: Sequence[str], test_paths: Sequence[str], image_size: int | None, max_bytes: int
) -> tuple[Tensor, Tensor]:
    """The images of both sides, uint8 (N, C, H, W) and (M, C, H, W); C is 1 where all are grey, otherwise 3.

    Args:
        read: names and bytes of the wanted files.
        train_paths: the wanted files of the training side.
        test_paths: of the test side.
        image_size: pixels square to which the images are scaled.
        max_bytes: the most bytes of all images together.

    Raises:
        DatasetError: for the first file that is no image of `_FORMATS`, is too large, or of another size than the one
            before it.
    """
    train, test, effort = _Canvas(train_paths), _Canvas(test_paths), _Effort()
    first: tuple[str, tuple[int, ...]] | None = None
    for name, content in read({*train_paths, *test_paths}):
        pixels = _pixels(name, content, image_size, effort)
        first = first or (name, pixels.shape[1:])
        if (needed := pixels.size * (len(train.places) + len(test.places))) > max_bytes:
            raise DatasetError(
                f"expected at most {max_bytes} bytes of images, got {needed}: choose fewer by --train-limit, smaller "
                "ones by --image-size, or allow more by --max-unpacked-bytes"
            )
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


class _Effort:
    """How much was decoded from how little: small files may hold so much emptiness that it takes hours."""

    def __init__(self) -> None:
        self._decoded = self._bytes = 0

    def spend(self, image: Image.Image, content: bytes) -> None:
        """Raises DatasetError where an image, not yet decoded, is too much alone or for what the files so far are."""
        needed = image.width * image.height * (1 if image.mode in _GREY_MODES else 4)
        if needed > _MOST_BYTES:
            raise DatasetError(f"expected at most {_MOST_BYTES} bytes of pixels in one image, got {needed}")
        self._decoded += needed
        self._bytes += len(content)
        if self._decoded > _FREE_BYTES + _RATIO * self._bytes:
            raise DatasetError(
                f"expected images that are scaled already, got {self._decoded} bytes of pixels in {self._bytes}"
            )


def _pixels(name: str, content: bytes, image_size: int | None, effort: _Effort) -> _Pixels:
    """One image as uint8 (C, H, W), C = 1 for grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                if image_size is None and max(opened.size) > MAX_SIDE:
                    size = _size(opened.size[::-1])
                    raise DatasetError(
                        f"expected at most {MAX_SIDE}×{MAX_SIDE} pixels, got {size}; --image-size scales images"
                    )
                effort.spend(opened, content)
                opened.load()
                ImageOps.exif_transpose(opened, in_place=True)
                image = _eight_bit(opened, opened.format)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    except Exception as error:  # decoders answer damaged input with whatever they stumble over
        reason = "something else" if isinstance(error, UnidentifiedImageError) else first_line(error)
        reason = reason if content else "an empty file"
        raise DatasetError(f"{name}: expected an image ({', '.join(_FORMATS)}), got: {reason}") from error
    if image_size is not None:
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)  # averages when it shrinks
    array = np.asarray(image, dtype=np.uint8)
    return array[np.newaxis] if array.ndim == 2 else array.transpose(2, 0, 1)


def _eight_bit(image: Image.Image, kind: str | None) -> Image.Image:
    """The image, of a file of that kind, in mode L if it is grey, otherwise RGB, without transparency."""
    _refuse_a_picture_in_transparency(image)
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image  # convert would copy it
    if image.mode in _GREY_MODES:
        return image.convert("L")
    if image.mode in _GREY_16_BIT_MODES or (image.mode == "I" and kind == "PPM"):  # Pillow scales PPM to 16 bits
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode not in _COLOUR_MODES:
        raise DatasetError(f"expected 8 or 16 bits a channel, got mode {image.mode}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns of a palette with transparency that goes to RGB directly
    return image.convert("RGB")


def _refuse_a_picture_in_transparency(image: Image.Image) -> None:
    """Without its transparency such an image would be an empty sheet."""
    if image.mode not in ("LA", "La", "RGBA", "RGBa", "PA") and "transparency" not in image.info:
        return
    whole = image if image.mode == "RGBA" else image.convert("RGBA")
    extrema: Any = whole.getextrema()
    *colours, alpha = (low != high for low, high in extrema)
    if alpha and not any(colours):
        raise DatasetError("expected a picture in its colours, got one in its transparency alone; put it on a ground")
