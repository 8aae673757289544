"""Where a file is: a local path or `s3://bucket/prefix`. Another scheme is added here, and in s3.py its server.

Kubeflow's own store is `minio://`, which is S3 at the endpoint that the variables name. `gs://` is known as remote, but
nothing here reads it: Kubeflow brings such artifacts to a step.
"""

from __future__ import annotations

from defensive_distillation.errors import ArtifactError, InputError

S3 = ("s3://", "minio://")
_REMOTE = (*S3, "gs://")


def is_remote(location: str) -> bool:
    """Whether a location is in an object store; what is not is a local path.

    Raises:
        InputError: an empty location, or a URL that is no object store's.
    """
    if location.startswith(("s3:", *_REMOTE)):
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
        InputError: `s3:` and then no bucket, or a store that is not S3.
    """
    if location.startswith("gs://"):
        raise InputError(
            f"location: expected a local path or s3://bucket/prefix, got {location!r}, which only Kubeflow's own "
            "steps are brought"
        )
    bucket, _, key = location.partition("://")[2].partition("/")
    if not location.startswith(S3) or not bucket:
        raise InputError(f"location: expected s3://bucket/prefix, got {location!r}")
    return bucket, key.strip("/")


def nothing(location: str) -> ArtifactError:
    """The error of a file that is not there."""
    return ArtifactError(f"{location}: expected a file, found nothing")
