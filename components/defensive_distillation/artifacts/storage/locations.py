"""Where a file is: a local path or `s3://bucket/prefix`. Another scheme is added here, and in s3.py its server."""

from __future__ import annotations

from defensive_distillation.errors import ArtifactError, InputError


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


def bucket_and_key(location: str) -> tuple[str, str]:
    """Bucket and key of an S3 location; the key of the bucket itself is empty.

    Raises:
        InputError: `s3:` and then no bucket.
    """
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not location.startswith("s3://") or not bucket:
        raise InputError(f"location: expected s3://bucket/prefix, got {location!r}")
    return bucket, key.strip("/")


def nothing(location: str) -> ArtifactError:
    """The error of a file that is not there."""
    return ArtifactError(f"{location}: expected a file, found nothing")
