"""Objects to and from a server, piece by piece.

In the calling thread, and each piece told to an alarm: so a server that drips is given up, and one that is only slow is
not. boto3's own transfers run in threads that nothing can interrupt.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from defensive_distillation.alarm import Alarm, ended_within

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PART = 8 * 2**20  # bytes; what is as large or larger is sent in parts, so that a failure costs one part
_MOST_PARTS = 10_000  # of one object, in S3
_CHUNK = 2**16  # bytes that are read at a time
_ATTEMPTS = 5  # at one object that breaks off
_PATIENCE = 5  # seconds for taking back an upload that failed


class _Told(io.BytesIO):
    """Bytes of which an alarm is told when they are read to be sent."""

    def __init__(self, content: bytes, alarm: Alarm) -> None:
        super().__init__(content)
        self._alarm = alarm

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._alarm.moved(len(content))
        return content


def received(client: S3Client, bucket: str, key: str, alarm: Alarm) -> Iterator[bytes]:
    """The content of an object in pieces; where a connection breaks, the next one goes on."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    rest: dict[str, Any] = {}
    done = broken = 0
    while True:
        answer = client.get_object(Bucket=bucket, Key=key, **rest)
        try:
            for piece in answer["Body"].iter_chunks(_CHUNK):
                alarm.moved(len(piece))
                done += len(piece)
                yield piece
            return
        except (HTTPClientError, IncompleteReadError):
            broken += 1
            if broken == _ATTEMPTS:
                raise
        rest = {"Range": f"bytes={done}-", "IfMatch": answer["ETag"]} if done else {}


def send(client: S3Client, bucket: str, key: str, file: BinaryIO, alarm: Alarm) -> None:
    """Writes an object, whole or not at all; a large one in parts."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < _PART:
        client.put_object(Bucket=bucket, Key=key, Body=_Told(file.read(), alarm))
        return
    # what boto3 does where the server is Amazon's (s3.py)
    config: Any = client.meta.config
    supported = config.request_checksum_calculation == "when_supported"
    checked: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if supported else {}
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **checked)["UploadId"]
    of_upload: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload}
    parts: list[Any] = []
    try:
        for content in iter(partial(file.read, max(_PART, -(-size // _MOST_PARTS))), b""):
            told = _Told(content, alarm)
            sent: Any = client.upload_part(PartNumber=len(parts) + 1, Body=told, **of_upload, **checked)
            digests = {name: value for name, value in sent.items() if name.startswith(("ETag", "Checksum"))}
            parts.append({"PartNumber": len(parts) + 1, **digests})
        alarm.wind()  # the server puts them together
        client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **of_upload)
    except BaseException:
        with suppress(Exception), ended_within(_PATIENCE):
            client.abort_multipart_upload(**of_upload)
        raise
