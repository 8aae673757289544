"""What every model of settings refuses, wherever a value comes from: what a library or a program would stumble on.

Kubeflow and Argo replace what stands between braces in any text that passes through them, PyTorch takes no integer of
more than 64 bits, and True would pass for 1.
"""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from defensive_distillation import addresses

LARGEST = 2**63 - 1  # integer that PyTorch takes
_SHOWN = 60  # characters of a value in a message


class Settings(BaseModel):
    """Base of all settings, frozen and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, given: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return given  # which checks its own
        kinds = set(_kinds(annotation))
        for value in leaves(given):
            if isinstance(value, str):
                check_text(value)
            if kinds & {int, float} and not kinds & {bool, str, Any}:
                _check_number(value)
        return given

    @field_validator("*")
    @classmethod
    def _has_room(cls, value: Any) -> Any:
        for number in leaves(value):
            if isinstance(number, int) and abs(number) > LARGEST:
                raise ValueError(f"expected an integer of at most {LARGEST}, got {shown(number)}")
        return value


def check_text(text: str) -> None:
    """Raises ValueError, which pydantic reports, for a text that would not reach a stage as it is, or tell a secret."""
    if addresses.has_secrets(text):  # settings stand in files, logs and MLflow
        raise ValueError(
            "expected a place without user, password or token, which the environment tells, got "
            f"{addresses.shown(text)}"
        )
    if "{{" in text:
        raise ValueError(f"expected a text without '{{{{', which Kubeflow and Argo replace, got {shown(text)}")
    if any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t" for character in text):
        raise ValueError(f"expected a text without control characters and surrogates, got {shown(text)}")


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        return f"one of {value.bit_length()} bits"
    text = reprlib.repr(value) if isinstance(value, dict | list | tuple) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def leaves(value: Any) -> Iterator[Any]:
    """The single values of a setting, with the keys of mappings; what a model holds is its own to check."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield key
            yield from leaves(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from leaves(one)
    else:
        yield value


def _kinds(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from _kinds(one)


def _check_number(value: Any) -> None:
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {value}")
    if isinstance(value, str) and not value.isascii():
        raise ValueError(f"expected a number in the digits 0 to 9, got {shown(value)}")
