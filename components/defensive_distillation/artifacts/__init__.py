"""What passes between stages: folders of files with a manifest, on a disk or in an object store.

One module for what every artifact has (manifest, store), one for each kind's content, and two for the numbers: tensors
for PyTorch, arrays without it.
"""

from defensive_distillation.artifacts.manifest import MANIFEST, Manifest, file_digest, fingerprint
from defensive_distillation.artifacts.store import (
    Artifact,
    Stored,
    exists,
    opened,
    read_manifest,
    stored,
    writable,
    write,
)

__all__ = [
    "MANIFEST",
    "Artifact",
    "Manifest",
    "Stored",
    "exists",
    "file_digest",
    "fingerprint",
    "opened",
    "read_manifest",
    "stored",
    "writable",
    "write",
]
