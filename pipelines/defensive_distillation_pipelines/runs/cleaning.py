"""What of a workspace can go, and how it goes: files that runs have written and nothing needs, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import RenderableType

from defensive_distillation.artifacts import MANIFEST, Stored
from defensive_distillation.artifacts.storage import disk
from defensive_distillation.errors import InputError
from defensive_distillation_pipelines.display.grid import Grid
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.run_folder import RunFolder, existing_run
from defensive_distillation_pipelines.local.workspace import LOOK, Workspace
from defensive_distillation_pipelines.runs.listing import started
from defensive_distillation_pipelines.runs.usage import all_stored, megabytes, size_on_disk, used

_OF_RUN = (
    "config.json",
    "job.json",
    "plan.json",
    "plan.tmp",
    "made.txt",
    "kept.txt",
    "failure.txt",
    "command.txt",
    ".lock",
    "logs/*.log",
)
_OF_PROGRESS = ("progress/*.json", "progress/*.tmp")
_LEFT = ".*.draft-*/**/*"  # what a step that was killed had not written to its end
_EXECUTOR = "executor_output.json"  # Kubeflow writes it beside each artifact
_WORK = re.compile(r"[0-9a-f]{32}")  # the unfinished work of a step (runtime.stage)


@dataclass(frozen=True)
class Waste:
    """Files of one kind that can go: how many things they make, and what they are called together."""

    kind: str
    count: int
    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()  # that go, too, as far as they are empty then

    @property
    def bytes(self) -> int:
        """On disk."""
        return size_on_disk(self.files)


def chosen(
    workspace: Workspace, names: Sequence[str], older_than: float | None, *, everything: bool
) -> list[RunFolder]:
    """The runs that shall go: those that are named, and those that are old; none that runs.

    Args:
        workspace: of the runs.
        names: of runs, or their beginnings.
        older_than: days since they were started last.
        everything: all runs.

    Raises:
        InputError: if there is no such run, or it runs.
    """
    named = [existing_run(workspace, name) for name in names]
    for run in named:
        if run.running:
            raise InputError(f"run {run.name}: expected one that is not running, a process is at work on it")
    every = [RunFolder(workspace, name) for name in workspace.runs()]
    limit = datetime.now() - timedelta(days=older_than) if older_than is not None else None
    old = [run for run in every if everything or (limit is not None and started(run) < limit)]
    return list(dict.fromkeys([*named, *(run for run in old if not run.running)]))


def waste(workspace: Workspace, gone: Sequence[RunFolder], *, unneeded: bool) -> list[Waste]:
    """What goes with some runs, and if `unneeded` what nothing needs any more.

    Of what runs share nothing goes while one of them is running: it may be about to use it.
    """
    kinds = [_runs(gone)]
    if not running(workspace):
        stored = all_stored(workspace)
        store = {one.digest: one for one in stored}
        kept = set().union(*(used(run, store) for run in _others(workspace, gone)))
        theirs = set().union(*(used(run, store) for run in gone))
        useless = [one for one in stored if one.digest not in kept and (unneeded or one.digest in theirs)]
        kinds.append(_artifacts(useless))
        if unneeded:
            kinds.append(_work(workspace))
        kinds.append(_cache(workspace, {one.location for one in useless}))
    return [kind for kind in kinds if kind.files]


def running(workspace: Workspace) -> list[str]:
    """The names of the runs that processes are at work on."""
    return [name for name in workspace.runs() if RunFolder(workspace, name).running]


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Keeps runs from starting.

    Raises:
        InputError: if there is no workspace, or it is being cleaned.
    """
    if not (workspace.root / "runs").is_dir():
        raise InputError(f"--workspace: expected a folder that defdistill run made, got {workspace.root}")
    lock = FileLock(workspace.cleaning, timeout=LOOK)
    with disk.refusals(workspace.root, "writable"):
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"--workspace: {workspace.root} is being cleaned by another process") from error
    try:
        yield
    finally:
        workspace.cleaning.unlink(missing_ok=True)
        lock.release()


def remove(workspace: Workspace, kinds: Iterable[Waste]) -> None:
    """Removes the files, and the folders that are empty then.

    Raises:
        InputError: if the workspace may not be written.
    """
    for kind in kinds:
        for path in kind.files:
            with disk.refusals(path, "writable"):
                path.unlink(missing_ok=True)
                _prune(path.parent, workspace)
        for folder in kind.folders:
            with disk.refusals(folder, "writable"):
                for below in sorted(filter(Path.is_dir, folder.rglob("*")), reverse=True):
                    _prune(below, workspace)
                _prune(folder, workspace)


def told(workspace: Workspace, gone: Sequence[RunFolder], kinds: Sequence[Waste], *, freed: bool) -> Told:
    """What would go, or what is gone."""
    total, busy = sum(kind.bytes for kind in kinds), running(workspace)
    table = Grid(("what", "number", "size"), [(one.kind, f"{one.count:,}", megabytes(one.bytes)) for one in kinds])
    notes = [f"left as they are while {', '.join(busy)} is running: artifacts, unfinished work"] if busy else []
    verb = "freed" if freed else "would free"
    said = f"{verb} {megabytes(total)}; MLflow's records stay" if kinds else "nothing can go"
    document = {
        "workspace": str(workspace.root.absolute()),
        "freed": freed,
        "bytes": total,
        "kinds": [{"kind": one.kind, "number": one.count, "bytes": one.bytes} for one in kinds],
        "runs": [run.name for run in gone],
        "running": busy,
    }
    shown: list[RenderableType] = [table, ""] if kinds else []
    return Told([*shown, *notes, said], document)


def _others(workspace: Workspace, gone: Sequence[RunFolder]) -> list[RunFolder]:
    names = {run.name for run in gone}
    return [RunFolder(workspace, name) for name in workspace.runs() if name not in names]


def _runs(gone: Sequence[RunFolder]) -> Waste:
    files = []
    for run in gone:
        for folder in (run.path, run.again.path):
            files += [path for pattern in (*_OF_RUN, *_OF_PROGRESS) for path in folder.glob(pattern)]
        for report in (run.path / name for name in ("report", ".report", ".report.new")):
            files += [path for stored in all_stored(run.workspace, report) for path in _files(stored)]
    return Waste("runs: settings, logs, reports", len(gone), _plain(files), tuple(run.path for run in gone))


def _artifacts(useless: Sequence[Stored]) -> Waste:
    files = []
    for stored in useless:
        files += [*_files(stored), Path(stored.location).with_name(_EXECUTOR)]
    return Waste("artifacts that no run uses", len(useless), _plain(files))


def _files(stored: Stored) -> list[Path]:
    folder = Path(stored.location)
    files = [folder / name for name in (*stored.manifest.files, MANIFEST)]
    return [path for path in files if ".." not in path.parts]


def _work(workspace: Workspace) -> Waste:
    """Checkpoints and parts of steps, and what killed steps have left in the store."""
    folders = workspace.work.iterdir() if workspace.work.is_dir() else ()
    steps = [folder for folder in folders if _WORK.fullmatch(folder.name) and not folder.is_symlink()]
    files = [path for folder in steps for path in folder.rglob("*")]
    drafts = list(workspace.store.rglob(_LEFT))
    lonely = [path for path in workspace.store.rglob(_EXECUTOR) if not list(path.parent.glob(f"*/{MANIFEST}"))]
    return Waste("unfinished work of steps", len(steps), _plain([*files, *drafts, *lonely]), tuple(steps))


def _cache(workspace: Workspace, gone: Collection[str]) -> Waste:
    """Entries of Kubeflow's index that lead to what is gone, or will be."""
    entries = [path for path in workspace.cache.rglob("*.json") if _leads_nowhere(path, workspace, gone)]
    return Waste("entries of Kubeflow's index", len(entries), _plain(entries))


def _leads_nowhere(entry: Path, workspace: Workspace, gone: Collection[str]) -> bool:
    try:
        outputs = json.loads(entry.read_text()).values()
        places = [str(one["uri"]) for one in outputs if isinstance(one, dict) and "__kfp_artifact__" in one]
    except (OSError, ValueError, AttributeError, KeyError):
        return False
    lost = {Path(place).absolute() for place in gone}
    here = [workspace.store.absolute() / place for place in places if "://" not in place]
    return any(place in lost or not place.exists() for place in here)


def _plain(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Files that are there; no links, which no run makes."""
    return tuple(dict.fromkeys(path for path in paths if path.is_file() and not path.is_symlink()))


def _prune(folder: Path, workspace: Workspace) -> None:
    """Removes a folder and those above it as far as they are empty, but for the workspace's own."""
    own = {workspace.store, workspace.cache, workspace.work, workspace.root / "runs"}
    while folder not in own and workspace.root in folder.parents and folder.is_dir() and not folder.is_symlink():
        if any(folder.iterdir()):
            return
        folder.rmdir()
        folder = folder.parent
