"""What passes between stages: a folder of files with a manifest that says what they are and proves that they are whole.

`manifest.json` names the kind, the stage, its code and configuration, the digests of the artifacts it was made from,
and the size and SHA-256 of each file. It holds no time, path or host, so equal work gives equal bytes. It is written
last: a folder or an S3 prefix without it is no artifact.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from defensive_distillation import __version__
from defensive_distillation.artifacts import storage
from defensive_distillation.errors import ArtifactError, DefensiveDistillationError, InputError, StorageError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """Size and digest of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an artifact is and what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    kind: str
    stage: str
    version: str  # of this package
    code: str  # code_version.code_digest of the stage
    config: dict[str, Any]
    inputs: dict[str, list[str]]  # digests of the artifacts it was made from
    facts: dict[str, Any]  # what the kind says about itself
    files: dict[str, FileEntry]

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides the result."""
        return fingerprint(self.stage, self.code, self.config, self.inputs)

    def to_bytes(self) -> bytes:
        """The manifest file, with a digest of the rest as its last key."""
        body = self.model_dump(mode="json")
        return _canonical({**body, "digest": hashlib.sha256(_canonical(body)).hexdigest()})


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
        """The path of one of its files."""
        return self.folder / name


def _canonical(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def fingerprint(stage: str, code: str, config: Mapping[str, Any], inputs: Mapping[str, list[str]]) -> str:
    """Digest of all that decides the result of a stage: equal fingerprints mean equal artifacts."""
    identity = [SCHEMA_VERSION, stage, code, dict(config), dict(inputs)]
    return hashlib.sha256(_canonical(identity)).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        yield _verified(location, Path(location), kind)
        return
    _require_kind(read_manifest(location), kind, location)
    with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
        storage.download(location, Path(folder))
        yield _verified(location, Path(folder), kind)


def read_manifest(location: str) -> Manifest:
    """The manifest at `location`, whose own digest is checked but not its files'."""
    path = storage.join(location, MANIFEST)
    return _parse(storage.read_bytes(path) if storage.exists(path) else None, location)


def _verified(location: str, folder: Path, kind: str) -> Artifact:
    try:
        return _read(location, folder, kind)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{location}: expected an artifact that can be read, got: {reason}") from error


def _read(location: str, folder: Path, kind: str) -> Artifact:
    path = folder / MANIFEST
    if not folder.exists():
        raise ArtifactError(f"{location}: expected an artifact of kind {kind}, found nothing")
    content = path.read_bytes() if path.is_file() else None
    manifest = _parse(content, location)
    _require_kind(manifest, kind, location)
    for name, entry in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{location}: expected the file {name}, found none; the artifact is incomplete")
        if file.stat().st_size != entry.bytes:
            size = file.stat().st_size
            raise ArtifactError(f"{location}: expected {entry.bytes} bytes in {name}, got {size}; it is truncated")
        if file_digest(file) != entry.sha256:
            raise ArtifactError(f"{location}: the content of {name} is not what its manifest says; it was changed")
    assert content is not None
    return Artifact(location, folder, manifest, hashlib.sha256(content).hexdigest())


def _parse(content: bytes | None, location: str) -> Manifest:
    if content is None:
        raise ArtifactError(f"{location}: expected an artifact, found no {MANIFEST}")
    try:
        values = json.loads(content)
        claimed = values.pop("digest")
        version = values["schema_version"]
        digest = hashlib.sha256(_canonical(values)).hexdigest()
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{location}: {MANIFEST} is not readable, expected JSON of an artifact: {error}") from error
    if version != SCHEMA_VERSION:
        raise ArtifactError(f"{location}: expected schema version {SCHEMA_VERSION}, got {version}")
    if digest != claimed or content != _canonical({**values, "digest": claimed}):
        raise ArtifactError(f"{location}: {MANIFEST} does not match its own digest; it was changed")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise ArtifactError(f"{location}: {MANIFEST} is not that of an artifact: {error.errors()[0]['msg']}") from error


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

    Raises:
        InputError: if the place cannot be written.
        StorageError: if the disk is full or the storage failed.
    """
    with _draft(location) as folder:
        write_files(folder)
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        files = {
            name: FileEntry(bytes=(folder / name).stat().st_size, sha256=file_digest(folder / name)) for name in names
        }
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            kind=kind,
            stage=stage,
            version=__version__,
            code=code,
            config=dict(config),
            inputs=dict(inputs),
            facts=dict(facts),
            files=files,
        )
        content = manifest.to_bytes()
        (folder / MANIFEST).write_bytes(content)
        if storage.is_remote(location):
            storage.upload(folder, location, last=MANIFEST)
        else:
            folder.rename(location)
    return Artifact(location, Path(location), manifest, hashlib.sha256(content).hexdigest())


def writable(location: str) -> None:
    """Fails early if nothing can be written to `location`.

    Raises:
        InputError: if its folder cannot be made or written, or if it is a whole bucket.
    """
    if storage.is_remote(location) and "/" not in location.removeprefix("s3://").strip("/"):
        raise InputError(f"{location}: expected s3://bucket/prefix to write to, got a whole bucket")
    if not storage.is_remote(location):
        with _draft(location):
            pass


@contextmanager
def _draft(location: str) -> Iterator[Path]:
    """An empty folder on the file system of `location`, gone afterwards."""
    try:
        if storage.is_remote(location):
            folder = Path(tempfile.mkdtemp(prefix="defdistill-"))
        else:
            place = Path(location).absolute()
            for abandoned in place.parent.glob(f".{place.name}.draft-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            folder = place.parent / f".{place.name}.draft-{os.getpid()}"
            folder.mkdir(parents=True)  # not mkdtemp's mode: the next stage may run as another user
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except DefensiveDistillationError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise StorageError(f"{location}: could not write: {reason}; make room and run it again") from error
        raise InputError(f"{location}: expected a place that can be written, got: {reason}") from error
