"""A finished run becomes the champion that the next ones are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.addresses import shown
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.tracking.registry.champion import Registry
from defensive_distillation.tracking.registry.promotion import Promoted, promote
from defensive_distillation_pipelines.display.told import Told
from defensive_distillation_pipelines.local.workspace import Workspace
from defensive_distillation_pipelines.runs.sources import named_run


def promote_run(workspace: Workspace, name: str, experiment: str | None) -> Told:
    """Promotes a run; what stands where, and how a model is loaded.

    Raises:
        ConfigurationError: if nobody says whose champion it becomes.
        InputError: if there is no such run, or it is not finished.
        ArtifactError: if its models or evaluations are not there whole.
        TrackingError: if MLflow does not answer.
    """
    run = named_run(workspace, name)
    champion_of = experiment or run.experiment
    if not champion_of:
        raise ConfigurationError(
            f"--experiment: expected the name in the settings of {run.name}, which it does not tell"
        )
    sweep = run.recorded()
    with run.evaluations() as evaluations:
        made = promote(sweep, evaluations, champion_of, run.locate)
    return _told(made, run.name, champion_of, shown(sweep.uri))


def champions(workspace: Workspace) -> Told:
    """The champion of each experiment that has one.

    Raises:
        TrackingError: if MLflow does not answer.
    """
    known = Registry.of(workspace.tracking_uri).champions()
    lines = [f"{name}: {run}, version {version}" for name, version, run in known] or ["there is no champion yet"]
    return Told(lines, {"champions": [{"name": name, "version": version, "run": run} for name, version, run in known]})


def _told(made: Sequence[Promoted], run: str, experiment: str, uri: str) -> Told:
    sweep, *models = made
    width = max(len(one.name) for one in models)
    new = any(one.new for one in made)
    result = [
        f"{run} is {'now' if new else 'already'} the champion of {experiment}: {sweep.name}, version {sweep.version}",
        *(f"  {one.name:{width}}  version {one.version}" for one in models),
    ]
    notes = [
        "its models load without this package, from MLflow alone:",
        f"  export MLFLOW_TRACKING_URI={uri}",
        f"  python -c \"import mlflow; print(mlflow.pytorch.load_model('models:/{models[-1].name}@champion'))\"",
    ]
    document = {
        "experiment": experiment,
        "name": sweep.name,
        "version": sweep.version,
        "run": run,
        "new": new,
        "mlflow": uri,
        "models": [{"name": one.name, "version": one.version, "model": one.label} for one in models],
    }
    return Told(result, document, notes)
