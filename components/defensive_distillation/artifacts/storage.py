"""Files by location: a local path or `s3://bucket/prefix`, treated alike. The project's only boto3.

Where S3 is comes from the variables of every AWS tool, and from nothing else:

AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL       a server other than Amazon's (MinIO, Ceph, Swift); none means Amazon
AWS_REGION, AWS_DEFAULT_REGION              only needed where the server insists
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, roles of a pod or a machine
AWS_CA_BUNDLE                               for a server with a certificate of one's own

boto3 is imported when the first S3 location is touched; purely local use never pays for it.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from defensive_distillation.errors import (
    ArtifactError,
    DefensiveDistillationError,
    InputError,
    StorageError,
    first_line,
)

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

MULTIPART_BYTES = 16 * 2**20
"""Files of this size and more travel in parts of this size."""

_PARTIAL = ".partial-"  # begins the name of what is not written to its end; never listed
_Use = Literal["readable", "writable"]
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_BAD_PATH = _ABSENT | {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_BAD_PATH |= {errno.EBUSY, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "ExpiredTokenException",
}
_WRONG_REGION = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


def is_remote(location: str) -> bool:
    """Whether a location is in S3; what is not is a local path.

    Raises:
        InputError: an empty location, or a URL that is not S3's.
    """
    if location.startswith("s3:"):
        return True
    if not location or "\0" in location or "://" in location:
        raise InputError(f"location: expected a local path or s3://bucket/prefix, got {location!r}")
    return False


def join(location: str, *names: str) -> str:
    """The location of a name below a folder or prefix.

    Raises:
        InputError: an empty location, or a URL that is not S3's.
    """
    is_remote(location)
    return "/".join([location.rstrip("/"), *(name.strip("/") for name in names)])


def exists(location: str) -> bool:
    """Whether there is a file, or an object of exactly this key; a folder or a prefix is not enough.

    Raises:
        InputError: a location that cannot be.
        StorageError: S3 refused or did not answer, or the bucket is missing.
    """
    if not is_remote(location):
        with _disk(location, "readable"):
            return Path(location).is_file()
    with _s3(location) as (client, bucket, key):
        if not key:
            return False
        try:
            client.head_object(Bucket=bucket, Key=key)
        except client.exceptions.ClientError:
            return _exists_by_get(client, bucket, key)
        return True


def read_bytes(location: str) -> bytes:
    """The content of a file.

    Raises:
        ArtifactError: there is no such file.
        InputError: a location that cannot be, or a file that may not be read.
        StorageError: the disk failed; S3 refused or did not answer, or the bucket is missing.
    """
    if not is_remote(location):
        with _disk(location, "readable"):
            return Path(location).read_bytes()
    with _s3(location, key_needed=True) as (client, bucket, key):
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def write_bytes(location: str, data: bytes) -> None:
    """Write a file, whole or not at all; folders above it are made.

    Raises:
        InputError: a location that cannot be, or a path that cannot be written.
        StorageError: the disk is full or failed; S3 refused or did not answer, or the bucket is missing.
    """
    if is_remote(location):
        with _s3(location, key_needed=True) as (client, bucket, key):
            client.put_object(Bucket=bucket, Key=key, Body=data)
    else:
        with _disk(location, "writable"):
            _write(Path(location), io.BytesIO(data))


def list_names(location: str) -> list[str]:
    """The names of all files below a folder or prefix, relative to it, sorted; none where there is no such folder.

    Raises:
        InputError: a location that cannot be, or a folder that may not be read.
        StorageError: S3 refused or did not answer, or the bucket is missing.
    """
    if is_remote(location):
        with _s3(location) as (client, bucket, key):
            start = len(key) + 1 if key else 0
            return sorted(found[start:] for found in _keys_below(client, bucket, key) if not found.endswith("/"))
    with _disk(location, "readable"):
        paths = (path.relative_to(location) for path in _files_below(location))
        return sorted(path.as_posix() for path in paths if not any(part.startswith(_PARTIAL) for part in path.parts))


def download(location: str, folder: Path) -> None:
    """Copy everything below a prefix (or a local folder) into a local folder; large files come in ranges, with retries.

    Raises:
        ArtifactError: there is nothing below the prefix, or a name that leads out of the folder.
        InputError: a location that cannot be, or a folder that cannot be written.
        StorageError: the disk is full or failed; S3 refused or did not answer, or the bucket is missing.
    """
    names = list_names(location)
    if not names:
        raise ArtifactError(f"{location}: expected a folder of files, found nothing")
    for name in names:
        if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
            raise ArtifactError(f"{location}: expected names of files below it, got {name!r}")
    if is_remote(location):
        _download_remote(location, names, folder)
    elif not _same_folder(Path(location), folder):
        with _disk(str(folder), "writable"):
            _copy_files(Path(location), names, folder)


def download_file(location: str, path: Path) -> None:
    """Copy one large object from S3 to a local file, in ranges, with retries.

    Raises:
        ArtifactError: there is no such object.
        InputError: a location that cannot be, or a file that cannot be written.
        StorageError: the disk is full or failed; S3 refused or did not answer, or the bucket is missing.
    """
    if not exists(location):
        raise _nothing(location)
    with _s3(location, local=path, use="writable") as (client, bucket, key):
        client.download_file(bucket, key, str(path), Config=_transfer())


def upload(folder: Path, location: str, *, last: str) -> None:
    """Copy everything below a local folder to a prefix (or to another local folder), so that it counts only when whole.

    The file `last`, the manifest, is the commit marker: an earlier one is removed at the destination first, and the new
    one is written after all other files. A new local folder appears under its name in one step. Other files that are at
    the destination already stay.

    A multipart upload that fails is aborted. That of a killed process is not: give the bucket a lifecycle rule for
    incomplete uploads.

    Raises:
        ArtifactError: there is no `last` in the folder, or a file vanished meanwhile.
        InputError: a location that cannot be, or a path that cannot be written.
        StorageError: the disk is full or failed; S3 refused or did not answer, or the bucket is missing.
    """
    names = list_names(str(folder))
    if last not in names:
        raise ArtifactError(f"{folder}: expected a folder with {last}, found {'none in it' if names else 'nothing'}")
    names.remove(last)
    names.append(last)
    if is_remote(location):
        _upload_remote(folder, names, location, last)
    elif not _same_folder(folder, Path(location)):
        with _disk(location, "writable"):
            _upload_local(folder, names, Path(location), last)


def remove(location: str) -> None:
    """Remove a file, or everything below a folder or prefix; no error if there is nothing.

    Raises:
        InputError: a location that cannot be (a whole bucket too), or a path that cannot be written.
        StorageError: S3 refused or did not answer, or the bucket is missing.
    """
    if is_remote(location):
        with _s3(location, key_needed=True) as (client, bucket, key):
            for found in [key, *_keys_below(client, bucket, key)]:
                client.delete_object(Bucket=bucket, Key=found)
        return
    with _disk(location, "writable"), suppress(FileNotFoundError, NotADirectoryError):
        path = Path(location)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def close() -> None:
    """Close the S3 client; the next S3 location makes a new one from the environment as it is then."""
    if _client.cache_info().currsize:
        _client(os.getpid()).close()
    _client.cache_clear()


def _files_below(folder: str) -> Iterator[Path]:
    """Every file, through links too; a folder that cannot be read, or that holds itself, is an error."""

    def refuse(error: OSError) -> None:
        raise error

    if Path(folder).is_dir():
        for above, _, names in os.walk(folder, onerror=refuse, followlinks=True):
            if any(Path(above).samefile(parent) for parent in Path(above).parents):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), above)
            yield from (Path(above, name) for name in names)


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _write(path: Path, content: BinaryIO) -> None:
    """Write beside the path, flush to the disk, rename; folders above are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            shutil.copyfileobj(content, file, 2**20)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _copy_files(source: Path, names: list[str], target: Path) -> None:
    for name in names:
        with _disk(str(source / name), "readable"):
            content = (source / name).open("rb")
        with content:
            _write(target / name, content)


def _upload_local(folder: Path, names: list[str], target: Path, last: str) -> None:
    if target.exists():
        (target / last).unlink(missing_ok=True)
        _copy_files(folder, names, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    try:
        _copy_files(folder, names, temporary)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _upload_remote(folder: Path, names: list[str], location: str, last: str) -> None:
    with _s3(location, local=folder) as (client, bucket, _):
        client.delete_object(Bucket=bucket, Key=_split(join(location, last))[1])
        for name in names:
            key = _split(join(location, name))[1]
            client.upload_file(str(folder / name), bucket, key, Config=_transfer())


def _download_remote(location: str, names: list[str], folder: Path) -> None:
    with _s3(location, local=folder, use="writable") as (client, bucket, _):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            key = _split(join(location, name))[1]
            client.download_file(bucket, key, str(folder / name), Config=_transfer())


def _exists_by_get(client: S3Client, bucket: str, key: str) -> bool:
    """Ask again after a refused HEAD: its answer has no body, so a missing bucket looks like a missing key."""
    try:
        client.get_object(Bucket=bucket, Key=key)["Body"].close()
    except client.exceptions.NoSuchKey:
        return False
    return True


def _keys_below(client: S3Client, bucket: str, key: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{key}/" if key else "")
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def _split(location: str) -> tuple[str, str]:
    """Bucket and key of an S3 location; the key of the bucket itself is empty."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not location.startswith("s3://") or not bucket:
        raise InputError(f"location: expected s3://bucket/prefix, got {location!r}")
    return bucket, key.strip("/")


def _transfer() -> TransferConfig:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES, preferred_transfer_client="classic"
    )


@lru_cache(maxsize=1)
def _client(process: int) -> S3Client:
    """The S3 client of this process: shared by its threads, never with a forked child, for connections are not shared.

    Three attempts of four seconds, and the waits between them: a server that is down is reported within 20 seconds.
    """
    import boto3
    from botocore.config import Config

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    config = Config(connect_timeout=4, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3})
    if endpoint:  # few such servers have a name per bucket, and not all know the checksums that Amazon added in 2025
        config = config.merge(
            Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
        )
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    try:
        return session.client("s3", endpoint_url=endpoint, config=config)
    except ValueError as error:
        raise InputError(f"AWS_ENDPOINT_URL_S3: expected http(s)://host:port, got {endpoint!r}") from error


@contextmanager
def _s3(
    location: str, *, key_needed: bool = False, local: Path | None = None, use: _Use = "readable"
) -> Iterator[tuple[S3Client, str, str]]:
    """Client, bucket and key of a location; what fails inside, at the local end too, becomes an error of ours."""
    bucket, key = _split(location)
    if key_needed and not key:
        raise InputError(f"location: expected a name below the bucket, got {location!r}")
    from boto3.exceptions import Boto3Error, S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield _client(os.getpid()), bucket, key
    except S3UploadFailedError as error:
        raise _s3_error(location, error.__context__ or error) from error
    except (BotoCoreError, ClientError, Boto3Error) as error:  # before OSError, which botocore's timeouts are too
        raise _s3_error(location, error) from error
    except OSError as error:
        path = error.filename if use == "readable" else None  # a file being written still has a temporary name
        raise _disk_error(str(path or local or location), error, use) from error


def _s3_error(location: str, error: BaseException) -> DefensiveDistillationError:
    from botocore import exceptions

    bucket, _ = _split(location)
    if isinstance(error, exceptions.ClientError):
        return _s3_refusal(location, bucket, error.response["Error"]["Code"], first_line(error))
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return StorageError("S3: expected credentials, found none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        endpoint = _client(os.getpid()).meta.endpoint_url
        return StorageError(
            f"S3 endpoint {endpoint}: expected an answer, got {type(error).__name__}: "
            "check AWS_ENDPOINT_URL_S3 and that the server runs"
        )
    if isinstance(error, exceptions.ParamValidationError):
        return InputError(f"{location}: expected a bucket name of letters, digits, '-' and '.', got {bucket!r}")
    return StorageError(f"{location}: S3 failed: {first_line(error)}")


def _s3_refusal(location: str, bucket: str, code: str, message: str) -> DefensiveDistillationError:
    if code == "NoSuchBucket":
        return StorageError(f"{location}: expected a bucket named {bucket}, found none: create it or correct the name")
    if code in {"NoSuchKey", "404"}:
        return _nothing(location)
    if code in _BAD_CREDENTIALS:
        return StorageError(
            f"{location}: S3 refused the credentials ({code}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code in {"AccessDenied", "403"}:
        return StorageError(f"{location}: S3 denied access: check the credentials and what they allow in this bucket")
    advice = ": check AWS_REGION" if code in _WRONG_REGION else ""
    return StorageError(f"{location}: S3 refused: {message}{advice}")


@contextmanager
def _disk(location: str, use: _Use) -> Iterator[None]:
    """What the operating system refuses inside becomes an error of this project."""
    try:
        yield
    except OSError as error:
        raise _disk_error(location, error, use) from error


def _disk_error(path: str, error: OSError, use: _Use) -> DefensiveDistillationError:
    reason = error.strerror or first_line(error)
    if error.errno in _FULL:
        return StorageError(f"{path}: expected room on the disk, found it full: free space or choose another place")
    if use == "readable" and error.errno in _ABSENT:
        return _nothing(path)
    if use == "readable" and error.errno == errno.EISDIR:
        return ArtifactError(f"{path}: expected a file, found a folder")
    if error.errno in _BAD_PATH:
        return InputError(f"{path}: expected a {use} path, got '{reason}': choose another or correct its permissions")
    return StorageError(f"{path}: the disk failed: {reason}")


def _nothing(location: str) -> ArtifactError:
    return ArtifactError(f"{location}: expected a file, found nothing")
