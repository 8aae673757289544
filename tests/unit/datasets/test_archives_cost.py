"""Small archives that would cost much: one line within seconds, in little memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

MOST_MEGABYTES = 300  # more than before; of what is refused no more than a few images are decoded
MOST_SECONDS = 15  # of the processor; less than half of it is needed
COST = """
import json, resource, sys
from pathlib import Path
import torch
from defensive_distillation.datasets.image_folder import source

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime

before = used()
try:
    found = source(Path(sys.argv[1]), image_size=32, max_unpacked_bytes=8 * 2**30)
    found.images(torch.arange(len(found.train.names)), torch.arange(len(found.test.names)))
    said = "accepted"
except Exception as error:
    said = f"{type(error).__name__} {error}"
print(json.dumps([said, *(now - then for now, then in zip(used(), before))]))
"""


def tar(path: Path, *names: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))


def emptiness(path: Path, mode: str, count: int = 40) -> None:
    """Images of 9400 × 9400 pixels without anything on them, in a zip."""
    content = io.BytesIO()
    Image.new(mode, (9400, 9400)).save(content, "PNG")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            side, name = ("train", "test")[number % 2], "ab"[number // 2 % 2]
            archive.writestr(f"{side}/{name}/{number}.png", content.getvalue())


@pytest.mark.parametrize(
    ("suffix", "make", "said"),
    [
        (".tar.gz", lambda path: tar(path, "a/" * 60_000 + "x.png"), "expected at most 32 folders, got 60001"),
        (".tar.gz", lambda path: tar(path, *(f"{n:06}" + "n" * 900_000 for n in range(160))), "bytes of names in all"),
        (".zip", lambda path: emptiness(path, "1"), "expected images that are scaled already, got "),
        (
            ".zip",
            lambda path: emptiness(path, "RGB"),
            "expected at most 268435456 bytes of pixels in one image, got ",
        ),
        (".zip", lambda path: emptiness(path, "P"), "expected at most 268435456 bytes of pixels in one image, got "),
    ],
    ids=["folders", "names", "grey", "colour", "palette"],
)
def test_a_small_archive_costs_little(tmp_path: Path, suffix: str, make: Callable[[Path], None], said: str) -> None:
    path = tmp_path / f"small{suffix}"
    make(path)
    assert path.stat().st_size < 2 * 10**6
    ended = subprocess.run([sys.executable, "-c", COST, str(path)], check=True, capture_output=True, text=True)
    line, megabytes, seconds = json.loads(ended.stdout)
    assert said in line
    assert line.startswith("DatasetError ")
    assert len(line) < 500
    assert "\n" not in line
    assert megabytes < MOST_MEGABYTES
    assert seconds < MOST_SECONDS
