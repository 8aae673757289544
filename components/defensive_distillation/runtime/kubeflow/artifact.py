"""An artifact of Kubeflow's, without Kubeflow's package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
