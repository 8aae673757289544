"""defdistill schedule: recurring runs, declared."""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.cluster.flags import access_of, add_connection, runs_of
from defensive_distillation_pipelines.commands.parser import (
    add_cluster,
    add_output,
    add_settings,
    cluster_of,
    command,
    package_of,
    say,
    tell,
)

if TYPE_CHECKING:
    from defensive_distillation_pipelines.cluster.runs import Runs
    from defensive_distillation_pipelines.definitions.package import Package
    from defensive_distillation_pipelines.display.told import Told

_NAME = "regression"
_PATIENCE = 3600.0


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "schedule",
        _call,
        "Declare a recurring run: the same wish again changes nothing, another one replaces it when its run has ended. "
        "One run at a time, none made up for later, always the version that was scheduled last; a run that is clearly "
        "worse than the champion fails.",
        "  defdistill schedule --cron '0 3 * * *' --preset mnist\n"
        "  defdistill schedule --name weekly --cron '0 4 * * 0' --preset cifar10 --temperatures 1,20\n"
        "  defdistill schedule --list\n"
        "  defdistill schedule --pause weekly",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cron", metavar="LINE", help="minute, hour, day, month, weekday; or six fields, seconds first")
    what.add_argument("--list", action="store_true", help="the schedules that were declared here")
    what.add_argument("--pause", metavar="NAME", help="start no more runs")
    what.add_argument("--resume", metavar="NAME", help="start runs again")
    what.add_argument("--delete", metavar="NAME", help="remove a schedule when its run has ended")
    parser.add_argument("--name", default=_NAME, help=f"of the schedule ({_NAME})")
    parser.add_argument("--experiment", metavar="NAME", help="that its runs belong to (defensive-distillation)")
    parser.add_argument("--pipeline-root", metavar="PLACE", help="where artifacts go (where the namespace says)")
    parser.add_argument(
        "--parameter",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="a parameter of the pipeline over its default; may be repeated",
    )
    parser.add_argument("--no-gate", action="store_true", help="do not compare the results with the champion's")
    parser.add_argument("--now", action="store_true", help="with --delete: stop the run that is going, too")
    parser.add_argument(
        "--patience", type=float, default=_PATIENCE, metavar="S", help=f"wait so long for a run ({_PATIENCE:g})"
    )
    add_connection(parser)
    add_cluster(parser)
    add_settings(parser)
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.cluster.scheduling import cron, declaration

    line = cron.six_fields(arguments.cron) if arguments.cron is not None else ""  # before anything is compiled or sent
    package = package_of(arguments, gate=not arguments.no_gate) if line else None
    runs = runs_of(access_of(arguments))
    if arguments.list:
        tell(arguments, _listed(runs))
        return
    if package is not None:
        name, done = arguments.name, _declared(runs, arguments, package, line)
    elif name := arguments.pause:
        done = declaration.pause(runs, name)
    elif name := arguments.resume:
        done = declaration.resume(runs, name)
    else:
        name, patience = arguments.delete, None if arguments.now else arguments.patience
        done = declaration.delete(runs, name, patience=patience, say=partial(say, arguments))
    from defensive_distillation_pipelines.display.told import Told

    tell(arguments, Told([done], {"schedule": name, "done": done.removeprefix(f"{name}: ")}))


def _declared(runs: Runs, arguments: argparse.Namespace, package: Package, cron_line: str) -> str:
    """Uploads the pipeline and declares the wish; says what was done."""
    from defensive_distillation_pipelines.cluster import submission
    from defensive_distillation_pipelines.cluster.scheduling import declaration, pipeline

    scope = runs.scope()
    parameters = _parameters(arguments.parameters, package)
    own = submission.pipeline_id(runs, pipeline.name_of(arguments.name), scope)
    version = pipeline.make_newest(runs, own, package)
    wish = declaration.Wish(
        name=arguments.name,
        cron=cron_line,
        pipeline_id=own,
        experiment_id=submission.experiment_id(runs, arguments.experiment or submission.EXPERIMENT, scope),
        parameters=parameters,
        pipeline_root=arguments.pipeline_root,
        service_account=cluster_of(arguments).service_account,
    )
    done = declaration.declare(runs, wish, patience=arguments.patience, say=partial(say, arguments))
    return f"{done}; {f'version {version} from its next run on' if version else 'the pipeline has not changed'}"


def _parameters(assignments: list[str], package: Package) -> dict[str, Any]:
    """The parameters by name, each known to the pipeline."""
    known = package.pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ConfigurationError(f"--parameter: expected NAME=JSON with one of {names}, got {assignment!r}")
        try:
            values[name] = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"--parameter {name}: expected JSON, got {text!r}: {error}") from error
    return values


def _listed(runs: Runs) -> Told:
    """The schedules, each with the run that it started last."""
    from defensive_distillation_pipelines.cluster.scheduling import cron, declaration, recurring
    from defensive_distillation_pipelines.display.told import Told

    several = declaration.ours(runs)
    width = max((len(one.name) for one in several), default=0)
    lines, rows = [], []
    for one in several:
        last = next(iter(recurring.started(runs, one)), None)
        state = (last.outcome or last.state).lower() if last else None
        told = f"last run {last.name}: {state}" if last else "no run yet"
        lines.append(f"{one.name:<{width}}  {'on' if one.enabled else 'paused':<6}  {cron.shown(one.cron):<16}  {told}")
        run = {"run": last.name, "id": last.id, "state": state} if last else None
        rows.append({"name": one.name, "on": one.enabled, "cron": cron.shown(one.cron), "last": run})
    return Told(lines or ["no schedules were declared here"], {"schedules": rows})
