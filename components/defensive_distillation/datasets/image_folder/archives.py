"""Reading archives that nobody has vouched for: .zip, .tar, .tar.gz and .tar.xz.

Nothing is unpacked to a disk: the members that are wanted are read from the archive into memory one by one. So no path
can escape a folder, nothing is left behind, and 60,000 small files cost no inodes. What an archive of images has no
use for is refused all the same, because leaving it out would pass part of a dataset for the whole.
"""

from __future__ import annotations

import errno
import gzip
import io
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
MAX_NAME_BYTES = 2**27  # of all names together: they compress as well
MAX_DEPTH = 32  # of folders in one another
_MAX_HEADER_BYTES = 2**20
_MAX_PADDING_BYTES = 2**20
_ZIP_SAYS_UTF_8 = 1 << 11
_TAR_OPENERS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
}
SUFFIXES = (".zip", *_TAR_OPENERS)


@dataclass(frozen=True)
class _Member:
    """A folder or plain file: its name as it stands in the archive, its bytes, and how to read them before the next."""

    name: str
    is_folder: bool
    size: int
    read: Callable[[], bytes]

    def path(self) -> str:
        """The name without empty parts and '.', a backslash of Windows read as '/'."""
        parts = self.name.replace("\\", "/").split("/")
        if parts[0] == "" or re.match("[A-Za-z]:", self.name):
            raise DatasetError(f"member {self.name!r}: expected a relative path, got an absolute one")
        if ".." in parts:
            raise DatasetError(f"member {self.name!r}: expected a path inside the archive, got '..'")
        kept = [part for part in parts if part not in ("", ".")]
        if len(kept) > MAX_DEPTH:
            raise DatasetError(f"member {self.name[:80]!r}…: expected at most {MAX_DEPTH} folders, got {len(kept)}")
        return "/".join(kept)


def names(archive: Path, *, max_bytes: int, max_members: int = MAX_MEMBERS) -> list[str]:
    """Paths of the members of `archive` in the archive's order, those of folders ending in '/', after checking all.

    Args:
        archive: a .zip, .tar, .tar.gz, .tgz or .tar.xz file.
        max_bytes: the most bytes that all files may have together, unpacked.
        max_members: the most files and folders.

    Raises:
        DatasetError: for an archive that is damaged, of another type, too large when unpacked, or that holds anything
            but plain files and folders at relative paths, each once.
        StorageError: if the disk refuses.
    """
    folders: dict[str, bool] = {}  # whether each path is one
    total = name_bytes = 0
    with _one_line_errors(archive):
        for count, member in enumerate(_members(archive), start=1):
            path = member.path()
            total += member.size
            if total > max_bytes:
                raise DatasetError(f"member {member.name!r}: unpacks to more than {max_bytes} bytes in all")
            name_bytes += len(path.encode(errors="surrogateescape"))
            if name_bytes > MAX_NAME_BYTES:
                raise DatasetError(f"member {path[:80]!r}…: expected at most {MAX_NAME_BYTES} bytes of names in all")
            if count > max_members:
                raise DatasetError(f"member {member.name!r}: expected at most {max_members} members")
            if path in folders and not (member.is_folder and folders[path]):
                raise DatasetError(f"member {member.name!r}: expected one member of that name, got another before it")
            folders[path] = member.is_folder
    return [path + "/" * is_folder for path, is_folder in folders.items() if path]


def contents(archive: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Paths and bytes of the wanted files in `archive`, in the archive's order.

    `names` must have accepted the archive before. No more than one file is in memory at a time.

    Raises:
        DatasetError: for a file that is damaged, larger than `MAX_FILE_BYTES`, or no longer there.
        StorageError: if the disk refuses.
    """
    missing = len(wanted)
    with _one_line_errors(archive):
        for member in _members(archive):
            path = member.path()
            if member.is_folder or path not in wanted:
                continue
            if member.size > MAX_FILE_BYTES:
                raise DatasetError(f"member {member.name!r}: expected at most {MAX_FILE_BYTES} bytes")
            content = member.read()
            if len(content) != member.size:
                raise DatasetError(f"truncated: expected {member.size} bytes, got {len(content)}")
            yield path, content
            missing -= 1
            if missing == 0:
                return
        if missing:
            raise DatasetError(f"expected {len(wanted)} files, {missing} of them are not there")


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


def _members(archive: Path) -> Iterator[_Member]:
    if not archive.is_file():
        raise DatasetError("expected an archive, found no such file")
    if archive.name.lower().endswith(".zip"):
        return _in_zip(archive)
    for suffix, opener in _TAR_OPENERS.items():
        if archive.name.lower().endswith(suffix):
            return _in_tar(partial(opener, archive, "rb"))
    raise DatasetError(f"expected an archive of type {', '.join(SUFFIXES)}")


def _in_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            if stat.filemode(mode)[0] in "lbcps":
                kind = "a link" if stat.S_ISLNK(mode) else "a device, fifo or socket"
                raise DatasetError(f"member {info.filename!r}: expected a plain file or folder, got {kind}")
            if info.flag_bits & 1:
                raise DatasetError(f"member {info.filename!r}: expected no encryption")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # zipfile decodes the other methods without a bound on memory
                raise DatasetError(f"member {info.filename!r}: expected to be stored or deflated")
            yield _Member(_name_in_zip(info), info.is_dir(), info.file_size, partial(_read_zipped, opened, info))


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """The name in UTF-8, which most programs write without saying so; what is none stays the CP437 of the format."""
    if info.flag_bits & _ZIP_SAYS_UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _read_zipped(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with opened.open(info) as source:
        # a size is given so that no more is ever decompressed than the header says; the checksum is compared at its end
        return source.read(info.file_size)


def _in_tar(open_stream: Callable[[], IO[bytes]]) -> Iterator[_Member]:
    count = 0
    with open_stream() as stream, tarfile.open(fileobj=(headers := _Headers(stream)), mode="r:") as opened:
        while (info := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep every header
            if info.issparse() or not (info.isreg() or info.isdir()):
                raise DatasetError(f"member {info.name!r}: expected a plain file or folder, got {_tar_kind(info)}")
            if info.size < 0:
                raise DatasetError(f"member {info.name!r}: expected a size of at least 0, got {info.size}")
            count += 1
            yield _Member(info.name, info.isdir(), info.size, partial(_read_tarred, stream, info))
        # tarfile takes a damaged header for the end of the archive
        if headers.last != bytes(tarfile.BLOCKSIZE):
            raise DatasetError(f"damaged or truncated after {count} members")
        # the checksum of the compression comes after the padding
        if len(stream.read(_MAX_PADDING_BYTES)) == _MAX_PADDING_BYTES:
            raise DatasetError(f"expected the end of the archive, got {_MAX_PADDING_BYTES} more bytes")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "a sparse file"
    return "a link" if info.issym() or info.islnk() else "a device or fifo" if info.isdev() else f"type {info.type!r}"


def _read_tarred(stream: IO[bytes], info: tarfile.TarInfo) -> bytes:
    stream.seek(info.offset_data)
    return stream.read(info.size)


class _Headers(io.RawIOBase):
    """What tarfile reads, of archives that may lie: no way back, no long header in memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.last = b""

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self.stream.tell():
            raise DatasetError("damaged: a header points backwards")
        return self.stream.seek(position)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DatasetError(f"damaged: a header of {size} bytes")
        self.last = self.stream.read(size)
        return self.last
