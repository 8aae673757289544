"""What the commands run and report do on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation import provenance
from defensive_distillation.addresses import shown
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.config import ExperimentConfig, plain, stage_config
from defensive_distillation.errors import DefensiveDistillationError, InputError, first_line
from defensive_distillation_pipelines.display import tables
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.execution import execute
from defensive_distillation_pipelines.local.process import Job
from defensive_distillation_pipelines.local.run_folder import LATEST, RunFolder, default_name, existing_run
from defensive_distillation_pipelines.local.workspace import Workspace

if TYPE_CHECKING:
    from defensive_distillation_pipelines.local.containers import Containers

MAX_NAME = 100  # of a run, in characters
_REPORT = ("report", "", "")


def run_sweep(
    workspace: Workspace,
    config: ExperimentConfig,
    name: str | None,
    program: str,
    containers: Containers | None = None,
    *,
    quiet: bool = False,
) -> Told:
    """Runs the sweep, or what of it is not finished, and returns the table and where to look next.

    Args:
        workspace: where the run leaves what it makes.
        config: the settings.
        name: of the run; one made from the settings without it.
        program: the command as it was called.
        containers: that each step runs in; None: each runs in a process.
        quiet: no word of the progress.

    Raises:
        InputError: if another process is at work on the run, or its name belongs to other settings.
        StepFailedError: if a step failed.
        TrackingError: if MLflow did not take the results.
    """
    run = RunFolder(workspace, default_name(config) if name is None else _checked_name(name))
    workspace.create()
    with run.locked():
        run.begin(config)
        job = Job(
            workspace=str(workspace.root.absolute()),
            plan=str(run.plan),
            kept=str(run.kept_places),
            experiment=plain(config),
            containers=containers and containers.model_dump(),
        )
        with _failure_kept(run):
            finished = execute(
                run,
                job,
                lambda statuses: [stored.location for stored in run.made(statuses[_REPORT].artifact)],
                quiet=quiet,
            )
            _publish(Path(finished[_REPORT].artifact), run.report)
    return told(run, program)


@contextmanager
def _failure_kept(run: RunFolder) -> Iterator[None]:
    """Leaves in the run's folder why it failed."""
    try:
        yield
    except DefensiveDistillationError as error:
        with suppress(OSError, DefensiveDistillationError):  # what failed first is what matters
            storage.write_bytes(str(run.failure), f"{first_line(error)}\n".encode())
        raise


def show_report(workspace: Workspace, run_name: str, output: str | None, *, quiet: bool = False) -> Told:
    """The table of a finished run; its report is written again by the code of today."""
    from defensive_distillation.stages import report

    run = existing_run(workspace, run_name)
    config = stage_config("report", run.config().settings("report"))
    evaluations = [stored.location for stored in run.evaluations()]
    fresh = run.path / ".report"
    shutil.rmtree(fresh, ignore_errors=True)
    with provenance.of_run(run.name, run.command):
        report.run(config, evaluations=evaluations, output=str(fresh), bar=not quiet)
    _publish(fresh, run.report)
    shutil.rmtree(fresh)
    if output is not None:
        try:
            shutil.copytree(run.report, output, dirs_exist_ok=True)
        except OSError as error:
            raise InputError(f"--output: expected a folder that can be written, got {output}: {error}") from error
    return told(run)


def _checked_name(name: str) -> str:
    if name == LATEST:
        raise InputError(f"--run: expected a name for a run, got {LATEST!r}, which means the one that was started last")
    plain_name = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and name[0] not in ".-"
    if not plain_name or len(name) > MAX_NAME:
        raise InputError(f"--run: expected up to {MAX_NAME} letters, digits, '-', '_' and '.', got {name!r}")
    return name


def _publish(report: Path, place: Path) -> None:
    """Puts a report where people look for it, in one step."""
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(report, beside)
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def told(run: RunFolder, program: str = "defdistill") -> Told:
    """The table of a finished run, and where to look next.

    Raises:
        InputError: if it has no report yet.
    """
    evaluations = [evaluation_of(stored.location, stored.manifest.facts) for stored in run.evaluations()]
    report, workspace = run.report / "report.html", run.workspace
    option = "" if str(workspace.root) == "workspace" else f" --workspace {workspace.root}"
    document = {
        "run": run.name,
        "report": str(report.absolute()),
        "mlflow": shown(workspace.tracking_uri),
        **tables.as_document(evaluations),
    }
    where = (f"run:     {run.name}", f"report:  {near(report)}", f"MLflow:  {program} ui{option}")
    return Told(tables.of_sweep(evaluations), document, where)


def near(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path.absolute()
