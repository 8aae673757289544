"""What an artifact is and what it was made from: `manifest.json`.

It names the kind, the stage, its code and configuration, what of the surroundings decides bytes, the digests of the
artifacts it was made from, and the size and SHA-256 of each file. It holds no time, path or host, so equal work gives
equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from defensive_distillation.errors import ArtifactError

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """Size and digest of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(ge=0)
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """The entry of the file at `path`."""
        return cls(bytes=path.stat().st_size, sha256=file_digest(path))


def _below(name: str) -> str:
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(name.split("/")) or name == MANIFEST:
        raise ValueError(f"files: expected names of files below the artifact, got {name[:80]!r}")
    return name


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
    environment: dict[str, str]  # what of the surroundings decides bytes, such as {"torch": "2.14.1", "device": "cpu"}
    facts: dict[str, Any]  # what the kind says about itself
    files: dict[Annotated[str, AfterValidator(_below)], FileEntry]

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides the result."""
        return fingerprint(self.stage, self.code, self.config, self.inputs, self.environment)

    def to_bytes(self) -> bytes:
        """The manifest file, with a digest of the rest as its last key."""
        return _signed(self.model_dump(mode="json"))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(
    stage: str,
    code: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, list[str]],
    environment: Mapping[str, str] = {},
) -> str:
    """Digest of all that decides the result of a stage: equal fingerprints mean equal artifacts."""
    identity = [SCHEMA_VERSION, stage, code, dict(config), dict(inputs), dict(environment)]
    return hashlib.sha256(_canonical(identity)).hexdigest()


def parse(content: bytes, location: str) -> Manifest:
    """The manifest in the bytes of its file.

    Raises:
        ArtifactError: if they are not those of a manifest, of another schema, or changed.
    """
    try:
        values = json.loads(content)
        del values["digest"]
        version = values["schema_version"]
        whole = _signed(values)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{location}: {MANIFEST} is not readable, expected JSON of an artifact: {error}") from error
    if version != SCHEMA_VERSION:
        raise ArtifactError(f"{location}: expected schema version {SCHEMA_VERSION}, got {version}")
    if content != whole:
        raise ArtifactError(f"{location}: {MANIFEST} does not match its own digest; it was changed")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise ArtifactError(f"{location}: {MANIFEST} is not that of an artifact: {error.errors()[0]['msg']}") from error


def _signed(body: dict[str, Any]) -> bytes:
    return _canonical({**body, "digest": hashlib.sha256(_canonical(body)).hexdigest()})


def _canonical(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
