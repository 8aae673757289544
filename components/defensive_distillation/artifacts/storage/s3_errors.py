"""What boto3 says when a server refuses, as errors that say what to do."""

from __future__ import annotations

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore import exceptions

from defensive_distillation.artifacts.storage.locations import bucket_and_key, nothing
from defensive_distillation.errors import DefensiveDistillationError, InputError, StorageError, first_line

SERVER_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, Boto3Error, TimeoutError)

_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_BAD_CREDENTIALS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "ExpiredTokenException",
)
_WRONG_REGION = ("301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_DENIED = "S3 denied access: check the credentials and what they allow in this bucket"
_SENTENCES = {
    "NoSuchBucket": "expected a bucket named {bucket}, found none: create it or correct the name",
    "AccessDenied": _DENIED,
    "403": _DENIED,
    **dict.fromkeys(_BAD_CREDENTIALS, f"S3 refused the credentials ({{code}}): check {_CREDENTIALS}"),
    **dict.fromkeys(_WRONG_REGION, "S3 refused: {message}: check AWS_REGION"),
}


def refusal(location: str, endpoint: str, error: BaseException) -> DefensiveDistillationError:
    """The error of this project for one of `SERVER_ERRORS`."""
    if isinstance(error, S3UploadFailedError):
        error = error.__context__ or error
    bucket, _ = bucket_and_key(location)
    if isinstance(error, exceptions.ClientError):
        code = error.response["Error"]["Code"]
        if code in {"NoSuchKey", "404"}:
            return nothing(location)
        sentence = _SENTENCES.get(code, "S3 refused: {message}")
        return StorageError(f"{location}: " + sentence.format(bucket=bucket, code=code, message=first_line(error)))
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return StorageError(f"S3: expected credentials, found none: set {_CREDENTIALS}")
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | TimeoutError):
        got = str(error) if isinstance(error, TimeoutError) else type(error).__name__
        return StorageError(
            f"S3 endpoint {endpoint}: expected an answer, got {got}: check AWS_ENDPOINT_URL_S3 and that the server runs"
        )
    if isinstance(error, exceptions.ParamValidationError):
        return InputError(f"{location}: expected a bucket name of letters, digits, '-' and '.', got {bucket!r}")
    return StorageError(f"{location}: S3 failed: {first_line(error)}")
