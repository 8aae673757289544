"""Reading archives that nobody has vouched for: .zip, .tar, .tar.gz and .tar.xz.

Nothing is unpacked to a disk: the members that are wanted are read from the archive into memory one by one. So no path
can escape a folder, nothing is left behind, and 60,000 small files cost no inodes. What an archive of images has no
use for is refused all the same, because leaving it out would pass part of a dataset for the whole.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from defensive_distillation.errors import DatasetError, StorageError, first_line

MAX_MEMBERS = 2_000_000  # headers compress well: without a bound, empty members alone would fill the memory
MAX_FILE_BYTES = 2**28  # of one member, which is held in memory
_MAX_HEADER_BYTES = 2**20
_MAX_PADDING_BYTES = 2**20
_TAR_OPENERS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
}
SUFFIXES = (".zip", *_TAR_OPENERS)
_ZIP_TYPES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}
_TAR_TYPES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
}


@dataclass(frozen=True)
class Member:
    """A folder or plain file of an archive; `size` is in bytes."""

    name: str
    is_folder: bool
    size: int


_Entries = Iterator[tuple[Member, Callable[[], bytes]]]


def names(archive: Path, *, max_bytes: int, max_members: int = MAX_MEMBERS) -> list[str]:
    """Names of the members of `archive` in the archive's order, those of folders ending in '/', after checking all.

    Args:
        archive: a .zip, .tar, .tar.gz, .tgz or .tar.xz file.
        max_bytes: the most bytes that all files may have together, unpacked.
        max_members: the most files and folders.

    Raises:
        DatasetError: for an archive that is damaged, of another type, too large when unpacked, or that holds anything
            but plain files and folders at relative paths, each once.
        StorageError: if the disk refuses.
    """
    found: dict[str, bool] = {}
    total = 0
    with _one_line_errors(archive):
        for count, (member, _) in enumerate(_entries(archive), start=1):
            name = _checked_name(member.name)
            total += member.size
            if total > max_bytes:
                raise DatasetError(f"member {member.name!r}: unpacks to more than {max_bytes} bytes in all")
            if count > max_members:
                raise DatasetError(f"member {member.name!r}: expected at most {max_members} members")
            if name in found and not (member.is_folder and found[name]):
                raise DatasetError(f"member {member.name!r}: expected one member of that name, got another before it")
            found[name] = member.is_folder
    return [name + "/" * is_folder for name, is_folder in found.items() if name]


def contents(archive: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the wanted files in `archive`, in the archive's order.

    `names` must have accepted the archive before. No more than one file is in memory at a time.

    Raises:
        DatasetError: for a file that is damaged, larger than `MAX_FILE_BYTES`, or no longer there.
        StorageError: if the disk refuses.
    """
    left = len(wanted)
    with _one_line_errors(archive):
        for member, read in _entries(archive):
            name = _checked_name(member.name)
            if member.is_folder or name not in wanted:
                continue
            if member.size > MAX_FILE_BYTES:
                raise DatasetError(f"member {member.name!r}: expected at most {MAX_FILE_BYTES} bytes")
            yield name, read()
            left -= 1
            if left == 0:
                return
        if left:
            raise DatasetError(f"expected {len(wanted)} files, {left} of them are not there")


@contextmanager
def _one_line_errors(archive: Path) -> Iterator[None]:
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{archive.name}: {error}") from error
    except Exception as error:  # decoders answer damaged input with whatever they stumble over
        # the system sets errno, decoders do not; EINVAL is a place before the file's beginning that a header names
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise StorageError(f"{archive.name}: {error}") from error
        raise DatasetError(f"{archive.name}: damaged or truncated ({first_line(error)})") from error


def _checked_name(name: str) -> str:
    """`name` without empty parts and '.', a backslash of Windows read as '/'."""
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or re.match("[A-Za-z]:", name):
        raise DatasetError(f"member {name!r}: expected a relative path, got an absolute one")
    if ".." in parts:
        raise DatasetError(f"member {name!r}: expected a path inside the archive, got '..'")
    return "/".join(part for part in parts if part not in ("", "."))


def _entries(archive: Path) -> _Entries:
    """The members of an archive; each may be read only before the next one is taken."""
    if not archive.is_file():
        raise DatasetError("expected an archive, found no such file")
    if archive.name.lower().endswith(".zip"):
        return _zip_entries(archive)
    for suffix, opener in _TAR_OPENERS.items():
        if archive.name.lower().endswith(suffix):
            return _tar_entries(partial(opener, archive, "rb"))
    raise DatasetError(f"expected an archive of type {', '.join(SUFFIXES)}")


def _zip_entries(archive: Path) -> _Entries:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            _refuse_zip_member(info)
            yield Member(info.filename, info.is_dir(), info.file_size), partial(_zip_content, opened, info)


def _zip_content(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with opened.open(info) as source:
        # a size is given so that no more is ever decompressed than the header says; the checksum is compared at its end
        return _whole(source.read(info.file_size), info.file_size)


def _whole(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise DatasetError(f"truncated: expected {size} bytes, got {len(content)}")
    return content


def _refuse_zip_member(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind in _ZIP_TYPES:
        raise DatasetError(f"member {info.filename!r}: expected a plain file or folder, got {_ZIP_TYPES[kind]}")
    if info.flag_bits & 1:
        raise DatasetError(f"member {info.filename!r}: expected no encryption")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile decodes the other methods without a bound on memory
        raise DatasetError(f"member {info.filename!r}: expected to be stored or deflated, got another compression")


def _tar_entries(open_stream: Callable[[], IO[bytes]]) -> _Entries:
    count = 0
    with open_stream() as stream, tarfile.open(fileobj=(reader := _ForwardReader(stream)), mode="r:") as opened:
        while (info := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep every header
            _refuse_tar_member(info)
            count += 1
            yield Member(info.name, info.isdir(), info.size), partial(_tar_content, stream, info)
        # tarfile takes a damaged header for the end of the archive
        if reader.last != bytes(tarfile.BLOCKSIZE):
            raise DatasetError(f"damaged or truncated after {count} members")
        _finish(stream)


def _refuse_tar_member(info: tarfile.TarInfo) -> None:
    if info.issparse() or not (info.isreg() or info.isdir()):
        kind = "a sparse file" if info.issparse() else _TAR_TYPES.get(info.type, f"type {info.type!r}")
        raise DatasetError(f"member {info.name!r}: expected a plain file or folder, got {kind}")
    if info.size < 0:
        raise DatasetError(f"member {info.name!r}: expected a size of at least 0, got {info.size}")


def _tar_content(stream: IO[bytes], info: tarfile.TarInfo) -> bytes:
    stream.seek(info.offset_data)
    return _whole(stream.read(info.size), info.size)


def _finish(stream: IO[bytes]) -> None:
    """Reads the padding after the last member, and with it the checksum of the compression."""
    if len(stream.read(_MAX_PADDING_BYTES)) == _MAX_PADDING_BYTES:
        raise DatasetError(f"expected the end of the archive, got {_MAX_PADDING_BYTES} more bytes")


class _ForwardReader:
    """What tarfile needs of a file, for archives that may lie: no way back, no long header in memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.last = b""

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int) -> int:
        if position < self.stream.tell():
            raise DatasetError("damaged: a header points backwards")
        return self.stream.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DatasetError(f"damaged: a header of {size} bytes")
        self.last = self.stream.read(size)
        return self.last

    def write(self, data: bytes) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self.stream.close()
