"""What stands at a place: a whole artifact or none.

Its manifest is written last: a folder or an S3 prefix without it is no artifact. On reading, every byte is checked.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defensive_distillation import __version__
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.manifest import MANIFEST, SCHEMA_VERSION, FileEntry, Manifest, file_digest, parse
from defensive_distillation.artifacts.storage import disk, drafts
from defensive_distillation.artifacts.storage.locations import bucket_and_key
from defensive_distillation.errors import ArtifactError, InputError, StorageError
from defensive_distillation.model_id import ModelId

_CLAIM = ".claim"  # on S3, beside what is being written: whose it is
_SETTLED = 0.5  # seconds after which a claim is the last one; few servers look and write in one step


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read and found whole."""

    location: str
    folder: Path  # where its files lie here
    manifest: Manifest
    digest: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the kind says about itself."""
        return self.manifest.facts

    def file(self, name: str) -> Path:
        """The path of one of its files, which was checked.

        Raises:
            ArtifactError: if its manifest does not name it.
        """
        if name not in self.manifest.files:
            raise ArtifactError(f"{self.location}: expected {name} among the files of its manifest, found none")
        return self.folder / name


@dataclass(frozen=True)
class Stored:
    """An artifact of which only the manifest was read.

    Attributes:
        location: where it lies.
        manifest: what it says of itself.
        digest: by which those name it that are made from it.
    """

    location: str
    manifest: Manifest
    digest: str

    @property
    def label(self) -> str:
        """Of the network that it is, or belongs to; '' for one of the sweep as a whole."""
        model = ModelId.of(self.manifest.facts, self.location)
        return model.label if model else ""


def exists(location: str) -> bool:
    """Whether a complete artifact stands at `location`."""
    return storage.exists(storage.join(location, MANIFEST))


@contextmanager
def opened(location: str, kind: str) -> Iterator[Artifact]:
    """Reads the artifact at `location` and checks every byte; one on S3 lies in a temporary folder meanwhile.

    Raises:
        ArtifactError: if there is none, it is damaged, of another kind or of another schema.
        StorageError: if the storage failed.
    """
    if not storage.is_remote(location):
        yield _read(location, Path(location), kind)
        return
    _require_kind(read_manifest(location), kind, location)
    with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
        storage.download(location, Path(folder))
        yield _read(location, Path(folder), kind)


def read_manifest(location: str) -> Manifest:
    """The manifest at `location`, whose own digest is checked but not its files'.

    Raises:
        ArtifactError: if there is none, it is damaged or of another schema.
        StorageError: if the storage failed.
    """
    return stored(location).manifest


def stored(location: str) -> Stored:
    """The artifact at `location` by its manifest alone; raises as `read_manifest`."""
    try:
        content = storage.read_bytes(storage.join(location, MANIFEST))
    except ArtifactError as error:
        raise _no_manifest(location) from error
    return Stored(location, parse(content, location), hashlib.sha256(content).hexdigest())


def _no_manifest(location: str) -> ArtifactError:
    return ArtifactError(f"{location}: expected an artifact, found no {MANIFEST}")


def _read(location: str, folder: Path, kind: str) -> Artifact:
    with disk.refusals(location, "readable"):
        if not folder.exists():
            raise ArtifactError(f"{location}: expected an artifact of kind {kind}, found nothing")
        if not (folder / MANIFEST).is_file():
            raise _no_manifest(location)
        content = (folder / MANIFEST).read_bytes()
        manifest = parse(content, location)
        _require_kind(manifest, kind, location)
        for name, entry in manifest.files.items():
            _require_whole(folder / name, name, entry, location)
        return Artifact(location, folder, manifest, hashlib.sha256(content).hexdigest())


def _require_whole(file: Path, name: str, entry: FileEntry, location: str) -> None:
    if not file.is_file():
        raise ArtifactError(f"{location}: expected the file {name}, found none; the artifact is incomplete")
    size = file.stat().st_size
    if size != entry.bytes:
        raise ArtifactError(f"{location}: expected {entry.bytes} bytes in {name}, got {size}; it is truncated")
    if file_digest(file) != entry.sha256:
        raise ArtifactError(f"{location}: the content of {name} is not what its manifest says; it was changed")


def _require_kind(manifest: Manifest, kind: str, location: str) -> None:
    if manifest.kind != kind:
        raise ArtifactError(f"{location}: expected an artifact of kind {kind}, got one of kind {manifest.kind}")


def write(
    location: str,
    *,
    kind: str,
    stage: str,
    code: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, list[str]],
    facts: Mapping[str, Any],
    write_files: Callable[[Path], None],
    environment: Mapping[str, str] = {},
) -> Artifact:
    """Writes a complete artifact or none: into a folder beside its place, which is then renamed, or to S3.

    Args:
        location: path or s3:// URI; nothing may stand there.
        kind: of the artifact.
        stage: that made it.
        code: digest of that stage's code.
        config: of that stage.
        inputs: digests of what it was made from.
        facts: what the kind says about itself.
        write_files: called with an empty folder, which it fills.
        environment: what of the surroundings decides bytes, such as the version of PyTorch and the device.

    Raises:
        InputError: if the place cannot be written.
        StorageError: if the disk is full or the storage failed.
    """
    with _draft(location) as folder:
        write_files(folder)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            kind=kind,
            stage=stage,
            version=__version__,
            code=code,
            config=dict(config),
            inputs=dict(inputs),
            environment=dict(environment),
            facts=dict(facts),
            files={path.relative_to(folder).as_posix(): FileEntry.of(path) for path in paths},
        )
        content = manifest.to_bytes()
        (folder / MANIFEST).write_bytes(content)
        _commit(folder, location, manifest)
    return Artifact(location, Path(location), manifest, hashlib.sha256(content).hexdigest())


def _commit(folder: Path, location: str, manifest: Manifest) -> None:
    """Puts a draft in its place; another process may have put the same artifact there first, but no other one."""
    try:
        if not storage.is_remote(location):
            folder.rename(location)
            return
        with _claimed(location, manifest):
            if not exists(location) and storage.upload(folder, location, last=MANIFEST):
                return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    if not exists(location) or storage.read_bytes(storage.join(location, MANIFEST)) != manifest.to_bytes():
        raise _taken(location, "wrote")


@contextmanager
def _claimed(location: str, manifest: Manifest) -> Iterator[None]:
    """A place on S3 to which nobody else writes but who does the same work.

    What a killed process has claimed is taken over by its successor, which does the same. Where the storage fails the
    claim stays: it would not be removed either.
    """
    place, claim = storage.join(location, _CLAIM), manifest.fingerprint.encode()
    if storage.created(place, claim):
        time.sleep(_SETTLED)
    with suppress(ArtifactError):  # removed meanwhile by one who is ready
        if storage.read_bytes(place) != claim:
            raise _taken(location, "is writing, or began to,")
    try:
        yield
    except StorageError:
        raise
    except BaseException:
        storage.remove(place)
        raise
    storage.remove(place)


def _taken(location: str, done: str) -> InputError:
    return InputError(
        f"{location}: expected a place where nothing stands, found what another process {done} meanwhile; "
        "choose another place or remove it"
    )


def writable(location: str) -> None:
    """Fails early if nothing can be written to `location`.

    Raises:
        InputError: if its folder cannot be made or written, or if it is a whole bucket.
    """
    if not storage.is_remote(location):
        with _draft(location):
            pass
    elif not bucket_and_key(location)[1]:
        raise InputError(f"{location}: expected s3://bucket/prefix to write to, got a whole bucket")


@contextmanager
def _draft(location: str) -> Iterator[Path]:
    """An empty folder, on the file system of `location` if that is local; gone afterwards."""
    with disk.refusals(location, "writable"):
        if storage.is_remote(location):
            with tempfile.TemporaryDirectory(prefix="defdistill-") as name:
                yield Path(name)
        else:
            with drafts.draft(Path(location).absolute()) as folder:
                yield folder
