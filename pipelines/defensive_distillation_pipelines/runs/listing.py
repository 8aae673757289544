"""The runs of a workspace, latest first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from defensive_distillation.artifacts import Stored
from defensive_distillation.config import ExperimentConfig
from defensive_distillation.errors import InputError
from defensive_distillation.model_id import BASELINE
from defensive_distillation.reporting.words import column_per_cent, series
from defensive_distillation_pipelines.display.grid import Grid
from defensive_distillation_pipelines.display.tables import gradients
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.run_folder import RunFolder
from defensive_distillation_pipelines.local.workspace import Workspace
from defensive_distillation_pipelines.runs import state
from defensive_distillation_pipelines.runs.usage import all_stored, megabytes, size, size_on_disk, used

_UNREADABLE = "settings that cannot be read"


@dataclass(frozen=True)
class Entry:
    """What a list says of a run.

    Attributes:
        run: its name.
        state: how it stands.
        started: when it was started last.
        networks: the temperatures and defenses, or the model that was audited.
        accuracy: in [0, 1], of the baseline or the audited model; None without a report.
        gradients: 'yes', 'no' or 'undecided': whether the networks that the report judges have masked ones.
        headline: what the report begins with.
        bytes: of its folder and of the artifacts that it uses, which others may use, too.
    """

    run: str
    state: state.State
    started: str
    networks: str
    accuracy: float | None
    gradients: str | None
    headline: str | None
    bytes: int


def entries(workspace: Workspace) -> list[Entry]:
    """All runs of a workspace, the one that was started last first."""
    store = {one.digest: one for one in all_stored(workspace)}
    return [entry(RunFolder(workspace, name), store) for name in reversed(workspace.runs())]


def entry(run: RunFolder, store: Mapping[str, Stored]) -> Entry:
    """What a list says of one run; `store` has the artifacts of its workspace."""
    found = _found(run)
    table = [row for row in found.get("rows", ()) if not row.get("control")]
    first = next((row for row in table if row.get("model") == BASELINE.label), table[0] if table else {})
    judged = [row for row in table if row.get("distilled")] or [row for row in table if row is not first] or table
    return Entry(
        run=run.name,
        state=state.state(run),
        started=started(run).isoformat(sep=" ", timespec="minutes"),
        networks=_networks(run),
        accuracy=first.get("accuracy"),
        gradients=_gradients([str(row.get("masked")) for row in judged]),
        headline=found.get("findings", {}).get("headline"),
        bytes=size_on_disk([run.path]) + sum(size(store[digest]) for digest in used(run, store)),
    )


def started(run: RunFolder) -> datetime:
    """When it was started last, by the clock of this place: each start writes its settings."""
    return datetime.fromtimestamp((run.path / "config.json").stat().st_mtime).astimezone().replace(tzinfo=None)


def told(workspace: Workspace) -> Told:
    """The list.

    Raises:
        InputError: if there is none, for want of a workspace.
    """
    if not workspace.root.is_dir():
        raise InputError(f"--workspace: expected a folder that defdistill run made, got {workspace.root}")
    found = entries(workspace)
    document = {"workspace": str(workspace.root.absolute()), "runs": [asdict(one) for one in found]}
    empty = f"no runs in {workspace.root} yet; start one with defdistill run"
    return Told([_table(found)] if found else [empty], document)


def _table(found: Sequence[Entry]) -> Grid:
    return Grid(
        heads=("run", "state", "started", "networks", "accuracy", "gradients", "size"),
        rows=[
            (
                one.run,
                Text(one.state, state.STYLES[one.state]),
                one.started,
                one.networks,
                "-" if one.accuracy is None else column_per_cent(one.accuracy),
                "-" if one.gradients is None else gradients(one.gradients),
                megabytes(one.bytes),
            )
            for one in found
        ],
        left=(0, 1, 2, 3, 5),
    )


def _networks(run: RunFolder) -> str:
    try:
        config = run.config()
    except InputError:
        return _UNREADABLE
    return networks(config)


def networks(config: ExperimentConfig) -> str:
    """'T = 20 and 100, adversarial_training', or the model that is audited."""
    if config.imported:
        return config.import_model.model
    distilled = "T = " + series([f"{temperature:g}" for temperature in config.temperatures])
    others = [choice.label for choice in config.other_defenses]
    return ", ".join([distilled] * config.distilled + others) or "no defense"


def _found(run: RunFolder) -> dict[str, Any]:
    """What its report holds for programs; nothing where there is none, or it is of another version and unreadable."""
    try:
        found = json.loads((run.report / "sweep.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _gradients(masked: Sequence[str]) -> str | None:
    return next((word for word in ("yes", "undecided", "no") if word in masked), None)
