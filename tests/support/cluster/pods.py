"""What the driver fills into the pod of a step: resources, image and command, and what is said for Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from support.cluster import values

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EPTGMK]i?|m|k|[eE][+-]?\d+)?")
Wrong = tuple[str, str]  # the place, and why


def wrong_in_container(container: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Wrong]:
    """Placeholders that get no value, and quantities that are none.

    Args:
        container: of the step, as compiled.
        own: the values of the task's parameters.
    """
    for place, text in values.texts(container):
        names = _PLACEHOLDER.findall(text)
        missing = [name for name in names if name not in own]
        if missing:
            yield place, f"parameter {missing[0]} has no value in the task"
        elif names and place.startswith("env"):
            yield place, "the driver fills nothing into the environment"
        elif place.startswith("resources.resource"):
            filled = _filled(place, text, own)
            if not _QUANTITY.fullmatch(filled):
                yield place, f"expected a quantity, got {filled!r}"


def _filled(place: str, text: str, own: Mapping[str, Any]) -> str:
    """The text with its parameters: of resources and images the driver takes texts alone, all else counts as ''."""
    only_texts = not place.startswith(("command", "args"))
    return _PLACEHOLDER.sub(
        lambda found: "" if only_texts and not isinstance(own[found[1]], str) else values.as_text(own[found[1]]), text
    )


def wrong_for_kubernetes(
    asked: Mapping[str, Any], value_of: Callable[[str, Mapping[str, Any]], Any]
) -> Iterator[Wrong]:
    """Names of Secrets and ConfigMaps that are empty or no text.

    Args:
        asked: of Kubernetes for the step.
        value_of: the value of a parameter at a place, among the inputs of the step's parent.
    """
    for place, given in values.parameters_of(asked):
        value = value_of(place, given)
        a_name = place.endswith("NameParameter") and value is not None and value is not values.ANY
        if a_name and (not isinstance(value, str) or not value):
            yield place, f"expected a text that is not empty, got {value!r}"
