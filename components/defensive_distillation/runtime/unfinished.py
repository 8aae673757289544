"""Where the steps of a run on a cluster keep unfinished work, so that one whose pod is lost goes on in another.

The work of a step lies below a digest of all that decides its result (stage.Work). Kubeflow uploads a step's artifact
after the step has ended, so a step cannot remove its own work: it leaves a note of it below the name of the run, and
the step that ends the run (kubeflow/finish.py) removes what the notes name.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.storage.locations import S3
from defensive_distillation.runtime.progress import RUN_ID

AUTOMATIC = "auto"
_FOLDER = "unfinished"
_NOTES = "runs"
_OURS = re.compile("[0-9a-f]{32}")  # names the work of one step: the beginning of its fingerprint
_noted: set[str] = set()


def place(wanted: str, artifact_uri: str) -> str | None:
    """Where unfinished work is kept, None for beside the output.

    Args:
        wanted: a folder or s3:// prefix, 'auto' or ''.
        artifact_uri: of the step's artifact; 'auto' is beside the runs of its pipeline, if that is S3 and this process
            has credentials for it.
    """
    if wanted != AUTOMATIC:
        return wanted or None
    root, run, _ = artifact_uri.partition(f"/{os.environ.get(RUN_ID, '')}/")
    if not run.strip("/") or not root.startswith(S3) or not _credentials():
        print("unfinished work stays in the pod: a step whose pod is lost begins again", flush=True)
        return None
    return storage.join(root, _FOLDER)


def beside(output: str) -> str:
    """Where unfinished work lies if no place is named: a hidden folder beside the output, on the same storage."""
    above, _, name = (output if storage.is_remote(output) else str(Path(output).absolute())).rstrip("/").rpartition("/")
    return f"{above}/.{name}.unfinished"


def clear(place: str) -> None:
    """Removes the unfinished work of all settings below `place`, and the folder itself if nothing else lies there."""
    for name in sorted({name.partition("/")[0] for name in storage.list_names(place)}):
        if _OURS.fullmatch(name):
            storage.remove(storage.join(place, name))
    if not storage.is_remote(place):
        with suppress(OSError):  # it was never made, or holds something else
            Path(place).rmdir()


def note(work: str) -> None:
    """Notes that this run has unfinished work in the folder `work`."""
    run = os.environ.get(RUN_ID)
    if run and work not in _noted:
        above, _, name = work.rstrip("/").rpartition("/")
        storage.write_bytes(storage.join(above, _NOTES, run, name), b"")
        _noted.add(work)


def remove(place: str, run: str) -> int:
    """Removes the unfinished work that steps of `run` have noted below `place`; how many had some.

    Another run may be at the same work: it then begins that step again.
    """
    notes = storage.join(place, _NOTES, run)
    names = storage.list_names(notes)
    for name in names:
        storage.remove(storage.join(place, name))
    storage.remove(notes)
    return len(names)


def _credentials() -> bool:
    """Whether boto3 will find some: keys, a profile, or the role of a service account."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return any(os.environ.get(name) for name in names)
