"""An artifact of Kubeflow's, without Kubeflow's package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

_PLACES = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}  # where the launcher puts artifacts


@dataclass
class Given:
    """An artifact as the launcher tells of it."""

    name: str
    uri: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the launcher has put it, or takes it from."""
        for scheme, folder in _PLACES.items():
            if self.uri.startswith(scheme):
                return self.uri.replace(scheme, folder, 1)
        return self.uri


def origin(inputs: Mapping[str, Sequence[str]], uri: str) -> str:
    """Where the inputs of an artifact lie, as one text for its metadata: places below its run begin there.

    Kubeflow keeps a list as something else, and repeats all that it keeps six times for every step that reads it.

    Args:
        inputs: the inputs' URIs by name.
        uri: of the artifact that was made from them.
    """
    run = _run(uri)
    return " ".join(
        f"{name}={quote(one.removeprefix(run), safe='/:')}" for name, several in inputs.items() for one in several
    )


def inputs_of(origin: str, uri: str) -> dict[str, list[str]]:
    """The inputs' URIs by name, from what `origin` has made of them."""
    run, inputs = _run(uri), dict[str, list[str]]()
    for one in origin.split():
        name, _, place = one.partition("=")
        found = unquote(place)
        inputs.setdefault(name, []).append(found if found.startswith("/") or "://" in found else run + found)
    return inputs


def _run(uri: str) -> str:
    """Where the artifacts of the run lie: Kubeflow puts one at run/task/a random name/its own name."""
    return uri.rsplit("/", 3)[0] + "/"
