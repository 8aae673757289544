"""Objects on a server that speaks S3. The project's only boto3, imported when the first such location is touched.

Where the server is comes from the variables and profiles of every AWS tool, and from nothing else:

AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL       a server other than Amazon's (MinIO, Ceph, Swift); none means Amazon
AWS_REGION, AWS_DEFAULT_REGION              only needed where the server insists
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, roles of a pod or a machine
AWS_CA_BUNDLE                               for a server with a certificate of one's own
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from defensive_distillation.alarm import Alarm, ended_within
from defensive_distillation.artifacts.storage import disk, transfers
from defensive_distillation.artifacts.storage.locations import bucket_and_key, join
from defensive_distillation.errors import ArtifactError, InputError

_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
LIMIT = 60  # seconds in which at least LEAST bytes pass, or a request is answered
LEAST = 2**18

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def exists(location: str) -> bool:
    """Whether there is an object of exactly this key.

    The object is asked for, not its head: that answer has no body, so a missing bucket looks like a missing key.
    """
    with _server(location) as (client, bucket, key, _):
        try:
            if key:
                client.get_object(Bucket=bucket, Key=key)["Body"].close()
        except client.exceptions.NoSuchKey:
            return False
        return bool(key)


def read_bytes(location: str) -> bytes:
    """The content of an object."""
    with _server(location, key_needed=True) as (client, bucket, key, alarm):
        return b"".join(transfers.received(client, bucket, key, alarm))


def write_bytes(location: str, data: bytes) -> None:
    """Writes an object."""
    with _server(location, key_needed=True) as (client, bucket, key, alarm):
        transfers.send(client, bucket, key, io.BytesIO(data), alarm)


def created(location: str, data: bytes) -> bool:
    """Writes an object, unless there is one already; a server that knows no conditions is asked before instead."""
    with _server(location, key_needed=True) as (client, bucket, key, _):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except client.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
                return False
            if code not in ("NotImplemented", "501"):
                raise
        else:
            return True
    if exists(location):
        return False
    write_bytes(location, data)
    return True


def list_names(location: str) -> list[str]:
    """The names of all objects below a prefix, relative to it, sorted."""
    with _server(location) as (client, bucket, key, alarm):
        start = len(key) + 1 if key else 0
        return sorted(name[start:] for name in _keys_below(client, bucket, key, alarm) if not name.endswith("/"))


def remove(location: str) -> None:
    """Removes an object and everything below the prefix of its name."""
    with _server(location, key_needed=True) as (client, bucket, key, alarm):
        for name in [key, *_keys_below(client, bucket, key, alarm)]:
            alarm.wind()
            client.delete_object(Bucket=bucket, Key=name)


def download(location: str, folder: Path) -> None:
    """Copies everything below a prefix into a local folder.

    Raises:
        ArtifactError: there is nothing below the prefix, or a name that leads out of the folder.
    """
    names = list_names(location)
    if not names:
        raise ArtifactError(f"{location}: expected a folder of files, found nothing")
    for name in names:
        if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
            raise ArtifactError(f"{location}: expected names of files below it, got {name!r}")
    for name in names:
        download_file(join(location, name), folder / name)


def download_file(location: str, path: Path) -> None:
    """Copies one object to a local file, whole or not at all; folders above the file are made.

    Raises:
        ArtifactError: there is no such object.
    """
    with disk.refusals(path, "writable"), _server(location, key_needed=True) as (client, bucket, key, alarm):
        pieces = transfers.received(client, bucket, key, alarm)
        first = next(pieces, b"")  # nothing is made for an object that is not there
        with disk.whole(path) as file:
            for piece in itertools.chain([first], pieces):
                file.write(piece)


def upload(folder: Path, location: str, *, last: str) -> bool:
    """Copies everything below a local folder to a prefix, so that it counts only when whole.

    The file `last`, the manifest, is the commit marker: an earlier one is removed at the destination first, and the new
    one is written after all other files. Other files that are at the destination already stay.

    A multipart upload that fails is aborted. That of a killed process is not: give the bucket a lifecycle rule for
    incomplete uploads.

    Returns:
        False if another process has put a file `last` there meanwhile; it stays.

    Raises:
        ArtifactError: there is no `last` in the folder, or a file vanished meanwhile.
    """
    bucket_and_key(location)  # before anything is touched
    with disk.refusals(folder, "readable"):
        names = disk.list_names(folder)
    if last not in names:
        raise ArtifactError(f"{folder}: expected a folder with {last}, found {'none in it' if names else 'nothing'}")
    remove(join(location, last))
    for name in names:
        if name != last:
            _upload_file(folder / name, join(location, name))
    with disk.refusals(folder / last, "readable"):
        content = (folder / last).read_bytes()
    return created(join(location, last), content)


def _upload_file(path: Path, location: str) -> None:
    with disk.refusals(path, "readable"), path.open("rb") as file, _server(location) as (client, bucket, key, alarm):
        transfers.send(client, bucket, key, file, alarm)


def _keys_below(client: S3Client, bucket: str, key: str, alarm: Alarm) -> list[str]:
    names = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{key}/" if key else ""):
        names += [item["Key"] for item in page.get("Contents", [])]
        alarm.wind()
    return names


def _client() -> S3Client:
    """The client of this environment and process: shared by threads, never with a forked child, as connections are."""
    return _connected(os.getpid(), frozenset(pair for pair in os.environ.items() if pair[0].startswith("AWS_")))


@lru_cache(maxsize=1)
def _connected(process: int, variables: frozenset[tuple[str, str]]) -> S3Client:
    """A client that tries three times for four seconds: a server that is down is reported within 20 seconds."""
    import boto3
    from botocore.config import Config

    # few servers but Amazon's have a name per bucket, and not all know the checksums that Amazon added in 2025
    checksums = ("request_checksum_calculation", "response_checksum_validation")
    other: dict[str, Any] = {"s3": {"addressing_style": "path"}, **dict.fromkeys(checksums, "when_required")}
    # three attempts: a server that accepts and never answers is reported within a minute
    config = Config(connect_timeout=4, read_timeout=18, retries={"mode": "standard"})
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    try:
        client = session.client("s3", config=config)
        if (urlsplit(client.meta.endpoint_url).hostname or "").endswith(_AMAZON):
            return client
        return session.client("s3", config=config.merge(Config(**other)))
    except ValueError as error:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        raise InputError(f"AWS_ENDPOINT_URL_S3: expected http(s)://host:port, got {endpoint!r}") from error


@contextmanager
def _server(location: str, *, key_needed: bool = False) -> Iterator[tuple[S3Client, str, str, Alarm]]:
    """Client, bucket and key of a location, and the alarm that ends the block where the server drips.

    What the server refuses inside becomes an error of this project.
    """
    bucket, key = bucket_and_key(location)
    if key_needed and not key:
        raise InputError(f"location: expected a name below the bucket, got {location!r}")
    from defensive_distillation.artifacts.storage.s3_errors import SERVER_ERRORS, refusal

    endpoint = ""
    try:
        client = _client()
        endpoint = client.meta.endpoint_url
        with ended_within(LIMIT, LEAST) as alarm:
            yield client, bucket, key, alarm
    except SERVER_ERRORS as error:
        raise refusal(location, endpoint, error) from error
