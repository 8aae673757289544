"""Every error that a user can act on, as one hierarchy.

DefensiveDistillationError                what went wrong, in one line
├── InputError (also a ValueError)        what was given is wrong: exit code 2
│   ├── ConfigurationError                an unknown key, a value out of range
│   ├── DatasetError                      images or labels that cannot be used
│   └── ArtifactError                     a file between stages that is damaged or of the wrong kind
├── TrainingError                         a training that diverged or stayed near chance: exit code 1
├── GateError                             a sweep that is worse than the champion's: exit code 1
└── OutsideError                          a fault outside the program: exit code 1
    ├── StorageError                      disk or object storage
    ├── TrackingError                     the MLflow server
    └── ClusterError                      Kubeflow Pipelines or Kubernetes

Messages read 'what: expected X, got Y'. The command line prints them without a traceback.
"""

from __future__ import annotations

import unicodedata

from defensive_distillation.addresses import without_secrets


class DefensiveDistillationError(Exception):
    """Base of all errors of this project; `exit_code` is what the command line returns.

    Whoever shows or stores one shows no password: the text is without those of its addresses.
    """

    exit_code = 1

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class InputError(DefensiveDistillationError, ValueError):
    """What was given is wrong; nothing was written."""

    exit_code = 2


class ConfigurationError(InputError):
    """A setting that is unknown or out of range."""


class DatasetError(InputError):
    """A dataset that cannot be used as it is."""


class ArtifactError(InputError):
    """An artifact that is missing, damaged, or not what was expected."""


class TrainingError(DefensiveDistillationError):
    """A training that diverged or did not leave chance."""


class GateError(DefensiveDistillationError):
    """A sweep that is clearly worse than the champion's; raised when that has been written and recorded.

    Attributes:
        artifact: where it was written.
    """

    def __init__(self, message: str, artifact: str) -> None:
        super().__init__(message)
        self.artifact = artifact


class OutsideError(DefensiveDistillationError):
    """A fault outside the program: the same command may succeed later."""


class StorageError(OutsideError):
    """Disk or object storage refused or failed."""


class TrackingError(OutsideError):
    """The MLflow server could not be reached or refused."""


class ClusterError(OutsideError):
    """Kubeflow Pipelines or Kubernetes could not be reached, or refused."""


def first_line(error: BaseException) -> str:
    """The error's message as one line, for the command line and for logs.

    Without passwords, whoever raised it; what is no sign for people is escaped.
    """
    return printable(" ".join(without_secrets(str(error)).split())) or type(error).__name__


def printable(text: str) -> str:
    """`text` for a terminal: what would move its cursor, colour it or turn its direction is escaped, but for lines."""
    plain = (sign.isprintable() or sign == "\n" or unicodedata.category(sign) == "Zs" for sign in text)
    return "".join(sign if is_plain else ascii(sign)[1:-1] for sign, is_plain in zip(text, plain, strict=True))
