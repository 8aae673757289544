"""One run: its settings, its steps, what it found, and where that lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from defensive_distillation import artifacts
from defensive_distillation.config import ExperimentConfig, loading, plain
from defensive_distillation_pipelines.display.grid import Grid
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local import runs as local
from defensive_distillation_pipelines.local.run_folder import RunFolder
from defensive_distillation_pipelines.runs import listing, state
from defensive_distillation_pipelines.runs.usage import all_stored, megabytes

_STYLES = {"done": "green", "kept": "green", "running": "cyan", "stopped": "yellow", "failed": "red", "left": "dim"}


def told(run: RunFolder) -> Told:
    """All that is known of a run.

    Raises:
        InputError: if its files cannot be read.
        ArtifactError: if an artifact behind its report is damaged or gone.
    """
    store = {one.digest: one for one in all_stored(run.workspace)}
    entry, config, steps = listing.entry(run, store), run.config(), state.steps(run)
    why = state.failure(run) if entry.state == "failed" else ""
    found = local.told(run) if artifacts.exists(str(run.report)) else Told([], {})
    preset = loading.load(config.name) if config.name in loading.PRESETS else None
    changed = dict(_differing(plain(config), plain(preset or ExperimentConfig()), ""))
    head = Text.assemble(f"{run.name}  ", (entry.state, state.STYLES[entry.state]))
    shown: list[RenderableType] = [
        head.append(f"  started {entry.started}, {megabytes(entry.bytes)}"),
        *([f"why:     {why}"] if why else []),
        "",
        f"settings beside {f'the preset {config.name}' if preset else 'the defaults'} (all: defdistill config --run "
        f"{run.name}):",
        *([f"  {name} = {_shown(value)}" for name, value in changed.items()] or ["  none"]),
        "",
        _table(steps),
        *found.result,
        *([entry.headline, ""] if entry.headline else []),
        *(note for note in found.notes if not note.startswith("run:")),
        f"logs:    {local.near(run.path / 'logs')}",
    ]
    document = {
        "run": run.name,
        "state": entry.state,
        "failure": why or None,
        "started": entry.started,
        "bytes": entry.bytes,
        "settings": plain(config),
        "steps": [
            {
                "step": one.title,
                "state": one.state,
                "cpu_seconds": one.seconds,
                "log": one.status.log if one.status else None,
            }
            for one in steps
        ],
        "logs": str((run.path / "logs").absolute()),
        **{"report": None, "networks": [], **found.document},
    }
    return Told(shown, document)


def _table(steps: list[state.Step]) -> Grid:
    cells = [
        (one.title, Text(one.state, _STYLES[one.state]), "-" if one.seconds is None else f"{one.seconds:.1f}")
        for one in steps
    ]
    return Grid(("step of the last start", "state", "CPU s"), cells, left=(0, 1))


def _differing(values: Mapping[str, Any], default: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Settings that are not the default ones, by their whole names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _differing(value, default.get(name) or {}, f"{before}{name}.")
        elif value != default.get(name):
            yield f"{before}{name}", value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(one.get("defense") if isinstance(one, Mapping) else one) for one in value)
    return "none" if value is None else str(value)
