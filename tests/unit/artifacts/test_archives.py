from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defensive_distillation.datasets.image_folder import archives
from defensive_distillation.errors import DatasetError

SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"]
FILES = {"top/cat/1.png": b"one", "top/cat/2.png": b"two" * 1000, "top/dog/1.png": b""}
MEBIBYTE = 2**20


def _tar_member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def _zip(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def _archive(folder: Path, suffix: str, files: dict[str, bytes]) -> Path:
    path = folder / f"images{suffix}"
    if suffix == ".zip":
        return _zip(path, *files.items())
    return _tar(path, *(_tar_member(name, content) for name, content in files.items()))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Undamaged archives of `FILES` of every type."""
    folder = tmp_path_factory.mktemp("undamaged")
    return {suffix: _archive(folder, suffix, FILES).read_bytes() for suffix in SUFFIXES}


def _names(path: Path, max_bytes: int = MEBIBYTE) -> list[str]:
    return archives.names(path, max_bytes=max_bytes)


def _error_of_reading(path: Path) -> DatasetError | None:
    try:
        files = {name for name in _names(path) if not name.endswith("/")}
        list(archives.contents(path, files))
    except DatasetError as error:
        return error
    return None


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".TAR.GZ", ".ZIP"])
def test_every_type_of_archive_is_read(tmp_path: Path, suffix: str) -> None:
    path = _archive(tmp_path, suffix.lower(), FILES)
    path = path.rename(tmp_path / f"images{suffix}")
    assert _names(path) == list(FILES)
    assert dict(archives.contents(path, set(FILES))) == FILES


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_wanted_files_are_read(tmp_path: Path, suffix: str) -> None:
    path = _archive(tmp_path, suffix, FILES)
    assert list(archives.contents(path, {"top/cat/2.png"})) == [("top/cat/2.png", FILES["top/cat/2.png"])]
    with pytest.raises(DatasetError, match="expected 2 files, 1 of them are not there"):
        list(archives.contents(path, {"top/cat/2.png", "top/cow/1.png"}))


def test_folders_end_in_a_slash_and_needless_parts_are_left_out(tmp_path: Path) -> None:
    folder = _tar_member("./cat/", type=tarfile.DIRTYPE)
    root = _tar_member("./", type=tarfile.DIRTYPE)
    path = _tar(tmp_path / "a.tar", root, folder, folder, _tar_member("./cat//1.png", b"1"))
    assert _names(path) == ["cat/", "cat/1.png"]
    assert list(archives.contents(path, {"cat/1.png"})) == [("cat/1.png", b"1")]
    assert _names(_zip(tmp_path / "a.zip", ("cat/", b""), ("cat\\1.png", b"1"))) == ["cat/", "cat/1.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/passwd", "member '/etc/passwd': expected a relative path, got an absolute one"),
        ("\\\\server\\share", "expected a relative path, got an absolute one"),
        ("C:\\evil.png", "expected a relative path, got an absolute one"),
        ("../evil.png", r"member '\.\./evil\.png': expected a path inside the archive, got '\.\.'"),
        ("cat/../../evil.png", r"got '\.\.'"),
        ("cat\\..\\..\\evil.png", r"got '\.\.'"),
    ],
)
def test_paths_that_lead_outside_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _names(_tar(tmp_path / "a.tar", _tar_member("cat/1.png"), _tar_member(name)))
    with pytest.raises(DatasetError, match=message):
        _names(_zip(tmp_path / "a.zip", ("cat/1.png", b""), (name, b"")))


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device or fifo"),
        (tarfile.BLKTYPE, "a device or fifo"),
        (tarfile.FIFOTYPE, "a device or fifo"),
        (b"Z", "type b'Z'"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused_in_a_tar(tmp_path: Path, kind: bytes, title: str) -> None:
    member = _tar_member("cat/odd", type=kind, linkname="1.png")
    with pytest.raises(DatasetError, match=f"member 'cat/odd': expected a plain file or folder, got {title}"):
        _names(_tar(tmp_path / "a.tar", _tar_member("cat/1.png", b"1"), member))


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    sparse = _tar_member("cat/odd", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**40)})
    with pytest.raises(DatasetError, match="member 'cat/odd': expected a plain file or folder, got a sparse file"):
        _names(_tar(tmp_path / "a.tar", sparse))


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        (stat.S_IFLNK, "a link"),
        (stat.S_IFCHR, "a device, fifo or socket"),
        (stat.S_IFBLK, "a device, fifo or socket"),
        (stat.S_IFIFO, "a device, fifo or socket"),
        (stat.S_IFSOCK, "a device, fifo or socket"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused_in_a_zip(tmp_path: Path, kind: int, title: str) -> None:
    info = zipfile.ZipInfo("cat/odd")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(DatasetError, match=f"member 'cat/odd': expected a plain file or folder, got {title}"):
        _names(_zip(tmp_path / "a.zip", (info, b"/etc/passwd")))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_limit_counts_the_bytes_of_all_files_together(tmp_path: Path, suffix: str) -> None:
    path = _archive(tmp_path, suffix, {"a": bytes(1000), "b": bytes(1000)})
    assert _names(path, max_bytes=2000) == ["a", "b"]
    with pytest.raises(DatasetError, match="member 'b': unpacks to more than 1999 bytes in all"):
        _names(path, max_bytes=1999)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_a_bomb_is_refused_before_it_is_in_memory(tmp_path: Path, suffix: str) -> None:
    path = _archive(tmp_path, suffix, {"bomb": bytes(24 * MEBIBYTE)})
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(DatasetError, match="member 'bomb': unpacks to more than 1048576 bytes"):
        _names(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MEBIBYTE  # the dictionary of xz alone has 8


def test_a_zip_that_lies_about_a_size_is_refused_without_unpacking_the_rest(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("bomb", bytes(24 * MEBIBYTE)))
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 24 * MEBIBYTE), struct.pack("<L", 10)))
    assert _names(path) == ["bomb"]
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"a.zip: damaged or truncated .*CRC"):
        list(archives.contents(path, {"bomb"}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


def test_a_file_too_large_for_the_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(_tar_member("large", size=archives.MAX_FILE_BYTES + 1)[0].tobuf())
    with pytest.raises(DatasetError, match="member 'large': expected at most 268435456 bytes"):
        list(archives.contents(path, {"large"}))


def test_a_header_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    member = _tar_member("cat/1.png", pax_headers={"comment": "x" * 3 * MEBIBYTE})
    with pytest.raises(DatasetError, match="damaged: a header of 3146240 bytes"):
        _names(_tar(tmp_path / "a.tar.xz", member))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = _tar(tmp_path / "a.tar", *(_tar_member(str(number)) for number in range(4)))
    assert archives.names(path, max_bytes=0, max_members=4) == ["0", "1", "2", "3"]
    with pytest.raises(DatasetError, match="member '3': expected at most 3 members"):
        archives.names(path, max_bytes=0, max_members=3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_too_deep_are_refused_at_once(tmp_path: Path, suffix: str) -> None:
    path = _archive(tmp_path, suffix, {"a/" * 30_000 + "1.png": b"1"})
    started = time.monotonic()
    with pytest.raises(DatasetError, match=r"member 'a/a/.*…: expected at most 32 folders, got 30001"):
        _names(path)
    assert time.monotonic() - started < 5


def test_names_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_NAME_BYTES", 4000)
    assert len(_names(_tar(tmp_path / "a.tar", *(_tar_member(f"{number}" * 1000) for number in range(4))))) == 4
    with pytest.raises(DatasetError, match=r"member '4444.*…: expected at most 4000 bytes of names in all"):
        _names(_tar(tmp_path / "b.tar", *(_tar_member(f"{number}" * 1000) for number in range(5))))


@pytest.mark.parametrize(
    ("written", "read"), [("käse".encode(), "käse"), ("käse".encode("cp437"), "käse"), (b"kase", "kase")]
)
def test_names_in_a_zip_are_utf_8_where_they_can_be(tmp_path: Path, written: bytes, read: str) -> None:
    path = _zip(tmp_path / "a.zip", (f"{'x' * len(written)}.png", b"1"))
    path.write_bytes(path.read_bytes().replace(b"x" * len(written), written))
    assert _names(path) == [f"{read}.png"]
    assert list(archives.contents(path, {f"{read}.png"})) == [(f"{read}.png", b"1")]


def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    members = [_tar_member("cat/1.png", b"1"), _tar_member("./cat/1.png", b"2")]
    with pytest.raises(DatasetError, match=r"member '\./cat/1\.png': expected one member of that name, got another"):
        _names(_tar(tmp_path / "a.tar", *members))
    with pytest.raises(DatasetError, match="expected one member of that name"):
        _names(_tar(tmp_path / "b.tar", _tar_member("cat"), _tar_member("cat/", type=tarfile.DIRTYPE)))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("cat/1.png", b"1"))
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"member 'cat/1.png': expected no encryption"):
        _names(path)


def test_a_compression_without_a_bound_on_memory_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("cat/1.png", b"1"), compression=zipfile.ZIP_LZMA)
    with pytest.raises(DatasetError, match=r"member 'cat/1.png': expected to be stored or deflated"):
        _names(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(SUFFIXES), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_archive_never_passes_for_a_smaller_one(
    tmp_path: Path, packed: dict[str, bytes], suffix: str, share: float
) -> None:
    path, content = tmp_path / f"images{suffix}", packed[suffix]
    # a tar ends with padding, of which one block marks the end and the rest says nothing
    length = 512 * (3 + 6 + 1) if suffix == ".tar" else len(content)
    path.write_bytes(content[: int(share * length)])
    with pytest.raises(DatasetError, match=f"images{suffix}: .*(damaged|truncated)"):
        _names(path)


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    path = _archive(tmp_path, ".tar", FILES)
    content = bytearray(path.read_bytes())
    content[content.index(b"top/cat/2.png")] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"images.tar: damaged or truncated after 1 members"):
        _names(path)


def test_a_damaged_file_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", ("cat/1.png", b"some bytes"), compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"some bytes", b"same bytes"))
    assert _names(path) == ["cat/1.png"]
    with pytest.raises(DatasetError, match=r"a.zip: damaged or truncated .*CRC"):
        list(archives.contents(path, {"cat/1.png"}))
    path = _archive(tmp_path, ".tar.gz", FILES)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the checksum at the end of gzip
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"images.tar.gz: damaged or truncated .*CRC"):
        _names(path)


def test_a_zip_that_leads_before_its_beginning_is_damaged(tmp_path: Path) -> None:
    """Its end says that the directory begins a thousand bytes further on, so all members begin that much earlier."""
    path = _archive(tmp_path, ".zip", FILES)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\5\6") + 16
    content[place : place + 4] = (int.from_bytes(content[place : place + 4], "little") + 1000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"images\.zip: damaged or truncated"):
        list(archives.contents(path, set(FILES)))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(SUFFIXES), data=st.data())
def test_whatever_the_damage_the_error_is_one_line(
    tmp_path: Path, packed: dict[str, bytes], suffix: str, data: st.DataObject
) -> None:
    path, content = tmp_path / f"images{suffix}", bytearray(packed[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 4096) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    error = _error_of_reading(path)
    assert error is None or (str(error).startswith(f"images{suffix}: ") and "\n" not in str(error))


def test_what_follows_the_end_of_a_tar_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path, ".tar.gz", FILES)
    with gzip.open(path, "ab") as file:
        file.write(bytes(2 * MEBIBYTE))
    with pytest.raises(DatasetError, match="expected the end of the archive, got 1048576 more bytes"):
        _names(path)


def test_headers_cannot_lead_backwards_or_round_in_circles(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(_tar_member("odd", size=-1024)[0].tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DatasetError, match=r"a.tar: .*(backwards|at least 0|damaged)"):
        _names(path)


def test_other_types_and_missing_files_are_refused(tmp_path: Path) -> None:
    rar = tmp_path / "images.rar"
    rar.write_bytes(b"Rar!")
    with pytest.raises(
        DatasetError, match=r"images.rar: expected an archive of type .zip, .tar, .tar.gz, .tgz, .tar.xz"
    ):
        _names(rar)
    with pytest.raises(DatasetError, match=r"images.zip: expected an archive, found no such file"):
        _names(tmp_path / "images.zip")
    for suffix in SUFFIXES:
        path = tmp_path / f"images{suffix}"
        path.write_bytes(b"no archive at all")
        with pytest.raises(DatasetError, match=f"images{suffix}: damaged or truncated"):
            _names(path)
