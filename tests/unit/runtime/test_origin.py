from __future__ import annotations

import os
from pathlib import Path

import pytest

from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.runtime.origin import of_images


def content(source: Path, kind: str | None = None) -> str | None:
    return of_images(PrepareDataConfig(source=str(source), content=kind)).content


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, told in (("cat/1.png", b"one"), ("cat/2.png", b"two"), ("dog/1.png", b"three")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(told)
    return folder


@pytest.mark.parametrize("change", ["another time", "another size", "one more", "one less", "another name"])
def test_photos_that_were_exchanged_at_the_same_place_are_others(photos: Path, change: str) -> None:
    before = content(photos)
    assert before is not None
    assert content(photos) == before
    one = photos / "cat" / "1.png"
    match change:
        case "another time":
            os.utime(one, ns=(0, 1))
        case "another size":
            stat = one.stat()
            one.write_bytes(b"longer")
            os.utime(one, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        case "one more":
            (photos / "cat" / "3.png").write_bytes(b"")
        case "one less":
            one.unlink()
        case _:
            one.rename(photos / "dog" / "2.png")
    assert content(photos) != before


def test_the_content_alone_counts_where_that_is_asked_for(photos: Path) -> None:
    before = content(photos, "bytes")
    os.utime(photos / "cat" / "1.png", ns=(0, 1))
    assert content(photos, "bytes") == before
    assert content(photos, before) == before
    (photos / "cat" / "1.png").write_bytes(b"eno")
    assert content(photos, before) != before


def test_what_is_no_place_here_is_as_it_is_called(tmp_path: Path) -> None:
    for source in ("digits", "s3://bucket/photos.zip", str(tmp_path / "gone")):
        assert of_images(PrepareDataConfig(source=source)).content is None
