"""What the verbs of `defdistill` share: how they describe themselves, and the flags that several take."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts.storage.locations import is_remote
from defensive_distillation.config import ExperimentConfig, experiment, loading
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.errors import ConfigurationError

if TYPE_CHECKING:
    from defensive_distillation_pipelines.definitions.package import Package
    from defensive_distillation_pipelines.definitions.resources import Cluster
    from defensive_distillation_pipelines.display.told import Told

WORKSPACE = "workspace"
RUN_HELP = "the run: its name, the beginning of it, or 'latest'"


class Raw(argparse.RawDescriptionHelpFormatter):
    """Leaves lines as they are, and the longest verb beside its help: argparse forgets that verbs are set in."""

    def add_argument(self, action: argparse.Action) -> None:
        """Takes note of how long its words are."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


def command(
    commands: Any, name: str, call: Callable[[argparse.Namespace], None], summary: str, examples: str
) -> argparse.ArgumentParser:
    """Adds a verb that calls `call`, with its first sentence in the list of verbs; its help ends with examples."""
    first = f"{summary.rstrip('.').partition('. ')[0]}."
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=first, description=summary, epilog=f"examples:\n{examples}", formatter_class=Raw
    )
    parser.set_defaults(call=call)
    return parser


def local_folder(place: str) -> str:
    """A folder of this machine, as the value of a flag: of s3://bucket/prefix a folder `s3:` would be made."""
    if not place or "://" in place or is_remote(place):
        raise argparse.ArgumentTypeError(f"expected a folder on this machine, got {place!r}")
    return place


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Adds --workspace."""
    parser.add_argument(
        "--workspace", default=WORKSPACE, type=local_folder, metavar="FOLDER", help=f"of all runs here ({WORKSPACE})"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds --json and --quiet."""
    group = parser.add_argument_group("what is printed")
    group.add_argument("--json", action="store_true", help="one JSON document instead of tables; all else on stderr")
    group.add_argument("--quiet", action="store_true", help="the result alone: no progress, no word on where to look")


def tell(arguments: argparse.Namespace, told: Told) -> None:
    """Prints what was found as the flags of `add_output` say."""
    told.tell(as_json=arguments.json, quiet=arguments.quiet)


def say(arguments: argparse.Namespace, *lines: str) -> None:
    """Prints lines beside the result: on standard error where the result is JSON, nowhere with --quiet."""
    if not arguments.quiet:
        print(*lines, sep="\n", file=sys.stderr if arguments.json else sys.stdout, flush=True)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that the settings of a sweep come from."""
    group = parser.add_argument_group("settings, the later over the earlier")
    presets = ", ".join(loading.PRESETS)
    group.add_argument("--preset", default="digits", metavar="NAME", help=f"one of {presets} (digits)")
    group.add_argument("--config", metavar="FILE", help="YAML or TOML file with settings by stage")
    group.add_argument("--data-root", metavar="FOLDER", help="holds MNIST or CIFAR-10: nothing is downloaded")
    group.add_argument("--temperatures", metavar="T,T,…", help="temperatures of the sweep")
    group.add_argument(
        "--defenses",
        metavar="NAME,NAME,…",
        help=(
            f"{', '.join(DEFENSES)}, or none: what beside the baseline is trained, with parameters as in "
            "adversarial_training:epsilon=0.1:steps=20 (distillation)"
        ),
    )
    group.add_argument("--seed", metavar="N", help="seed of the experiment")
    group.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="STAGE.KEY=VALUE",
        help="one setting, such as attack.jsma.sources=20; train.KEY means every training; may be repeated",
    )


def settings_of(arguments: argparse.Namespace) -> ExperimentConfig:
    """The settings of a sweep from the flags of `add_settings`."""
    assignments = list(arguments.assignments)
    if arguments.data_root is not None:
        assignments.append(f"prepare_data.data_root={Path(arguments.data_root).absolute()}")
    values = loading.values(arguments.preset, arguments.config, assignments)
    if arguments.temperatures is not None:
        values["temperatures"] = listed(arguments.temperatures)
    if arguments.defenses is not None:
        values["defenses"] = listed(arguments.defenses)
    if arguments.seed is not None:
        values["seed"] = arguments.seed
    if values["name"] == arguments.preset and (source := _other_source(values, arguments.preset)):
        values["name"] = source
    config = _checked(values, arguments.config)
    if arguments.temperatures and not config.distilled:
        raise ConfigurationError("--temperatures: expected with distillation among the defenses, got them without")
    return settled(config, arguments)


def _checked(values: dict[str, Any], file: str | None) -> ExperimentConfig:
    """The settings; a fault of one that stands in the file names the file, too."""
    try:
        return experiment(values)
    except ConfigurationError as error:
        if file is None or file in str(error):
            raise
        key, found = str(error).partition(":")[0].split("."), loading.read_file(Path(file))
        for part in key:
            if not isinstance(found, dict) or part not in found:
                raise
            found = found[part]
        raise ConfigurationError(f"{file}: {error}") from error


def settled(config: ExperimentConfig, arguments: argparse.Namespace) -> ExperimentConfig:
    """The settings with what decides a result beside them: a version for an alias, the digest of files.

    Args:
        config: of a sweep, or of an audit.
        arguments: --workspace, where the command has one, says where MLflow is if the environment does not.

    Raises:
        ConfigurationError: if the data has too few samples for the shards.
        InputError: if MLflow's registry does not have the model.
        TrackingError: if it does not answer.
    """
    from defensive_distillation.runtime import origin

    config = config.model_copy(update={"prepare_data": origin.of_images(config.prepare_data)})
    if config.attack.shards > 1:
        _require_shares(config)
    if not config.imported:
        return config
    from defensive_distillation.tracking.connection import tracking_uri
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = getattr(arguments, "workspace", None)
    registry = tracking_uri() if workspace is None else Workspace(Path(workspace)).tracking_uri
    return config.model_copy(update={"import_model": origin.settled(config.import_model, registry)})


def _require_shares(config: ExperimentConfig) -> None:
    """Looks at data that lies here whether every shard has samples."""
    from defensive_distillation.datasets.extent import extent

    data = config.prepare_data
    found = extent(
        data.source,
        test_limit=data.test_limit,
        test_fraction=data.test_fraction,
        max_unpacked_bytes=data.max_unpacked_bytes,
    )
    if found is not None:
        config.require_shares(classes=found.classes, images=found.images)


def _other_source(values: dict[str, Any], preset: str) -> str:
    """A name for experiment and runs after the data, where they are not the preset's; '' where they are."""
    source = values.get("prepare_data", {}).get("source")
    known = loading.preset_values(preset)["prepare_data"]["source"]
    return "" if source in (None, known) else slug(str(source))


def slug(place: str) -> str:
    """The last part of a place as a name: lower-case letters, digits and dashes."""
    last = PurePosixPath(place.rstrip("/")).name.split(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", last).strip("-") or "images"


def listed(text: str) -> list[str]:
    """The parts of a text between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what a run asks of a cluster."""
    group = parser.add_argument_group("of the cluster")
    group.add_argument(
        "--profile", metavar="NAME", help="gpu, or cpu for a cluster without GPUs: what the stages ask for (gpu)"
    )
    group.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="FILE|KEY=VALUE",
        help=(
            "image, image_pull_secrets, service_account, queue, parallelism, run_as_user, and STAGE.KEY with gpu_type, "
            "gpu_count, cpu, cpu_limit, memory, shared_memory, node_selector, tolerations, retries or cache; 'all' is "
            "every stage; may be repeated"
        ),
    )
    group.add_argument(
        "--work",
        default="auto",
        metavar="PLACE",
        help="s3:// prefix for unfinished work, so that a killed step goes on (beside the artifacts)",
    )
    group.add_argument("--no-cache", action="store_true", help="run every step, even where an equal one has finished")


def cluster_of(arguments: argparse.Namespace) -> Cluster:
    """What a run asks of a cluster, from the flags of `add_cluster`."""
    from defensive_distillation_pipelines.definitions.resources import cluster

    files = [given for given in arguments.resources if "=" not in given]
    if len(files) > 1:
        raise ConfigurationError(f"--resources: expected one file and KEY=VALUE over it, got {' and '.join(files)}")
    assignments = [given for given in arguments.resources if "=" in given]
    return cluster(arguments.profile, files[0] if files else None, assignments, cache=not arguments.no_cache)


def work_of(arguments: argparse.Namespace) -> str:
    """Where unfinished work goes, from --work.

    Raises:
        ConfigurationError: for a place that steps cannot write to themselves.
    """
    from defensive_distillation.artifacts.storage.locations import S3

    work = str(arguments.work)
    if "://" in work and not work.startswith(S3):
        raise ConfigurationError(f"--work: expected an s3:// prefix, or auto for beside the artifacts, got {work!r}")
    return work


def package_of(arguments: argparse.Namespace, *, gate: bool = False) -> Package:
    """The sweep for a cluster, from the flags of `add_settings` and `add_cluster`; with or without a gate.

    Raises:
        ConfigurationError: for wrong settings, and where a cluster could not hold the run.
    """
    return packaged(settings_of(arguments), cluster_of(arguments), work_of(arguments), gate=gate)


def packaged(config: ExperimentConfig, cluster: Cluster, work: str, *, gate: bool = False) -> Package:
    """The same from what the flags say."""
    from defensive_distillation_pipelines.definitions.package import package
    from defensive_distillation_pipelines.definitions.size import require_fitting
    from defensive_distillation_pipelines.definitions.sweep import sweep

    made = package(sweep(config, cluster=cluster, work=work, gate=gate))
    require_fitting(made)
    return made


def program() -> str:
    """The command as it was called, for a line to copy."""
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.name == "defdistill" and called.exists() else "defdistill"
