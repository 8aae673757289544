"""defdistill audit: the whole suite on somebody's own network, and the verdict on its gradients."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts.storage.locations import is_remote
from defensive_distillation.config import experiment, loading
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.networks.forms import in_registry, is_onnx, registry_name
from defensive_distillation.suite.fitting import HALF_WIDTH, fitting_attacks, rising
from defensive_distillation_pipelines.commands.parser import (
    add_output,
    add_workspace,
    command,
    listed,
    program,
    say,
    settled,
    slug,
    tell,
)

if TYPE_CHECKING:
    from defensive_distillation.config import ExperimentConfig


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "audit",
        _call,
        "Attack a network of your own with the whole suite, and judge whether its gradients are masked.",
        "  defdistill audit --model torchvision:resnet18 --weights resnet18.safetensors --data photos \\\n"
        "    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n"
        "  PYTHONPATH=. defdistill audit --model package.module:factory --weights net.safetensors --data photos.zip\n"
        "  PYTHONPATH=. defdistill audit --model package.module:factory --input-step package.module:step --data d\n"
        "  defdistill audit --model net.onnx --data mnist --data-root data --half-width 0.1\n"
        "  defdistill audit --model models:/defensive-distillation-digits-T=20@champion --data digits",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="torchvision:NAME, timm:NAME, package.module:factory (on PYTHONPATH), models:/NAME@ALIAS or "
        "models:/NAME/VERSION of MLflow's registry, or FILE.onnx",
    )
    parser.add_argument("--weights", metavar="FILE", help="safetensors; a pickled checkpoint with --trust")
    parser.add_argument(
        "--trust", action="store_true", help="read pickled weights, as tensors alone, and graphs that others exported"
    )
    parser.add_argument("--data", required=True, metavar="PLACE", help="folder or archive of images by class, mnist, …")
    parser.add_argument("--data-root", metavar="FOLDER", help="holds MNIST or CIFAR-10: nothing is downloaded")
    of_network = parser.add_argument_group("the network, and what it was trained with")
    of_network.add_argument("--image-size", metavar="N", help="pixels square that it takes (those of the images)")
    of_network.add_argument("--mean", default="", metavar="M,M,M", help="subtracted from images, by channel (0)")
    of_network.add_argument("--std", default="", metavar="S,S,S", help="that they are divided by then (1)")
    of_network.add_argument("--class-logits", default="", metavar="N,N,…", help="its logit for each class (all)")
    of_network.add_argument(
        "--input-step", metavar="MODULE:FUNCTION", help="what changes images before it and hides its gradient (none)"
    )
    of_network.add_argument("--draws", default="1", metavar="N", help="of a random one, that count as one (1)")
    suite = parser.add_argument_group("the suite")
    suite.add_argument("--attacks", metavar="NAME,NAME,…", help="(all but transfer)")
    suite.add_argument("--epsilons", metavar="E,E,…", help="L∞ radii (up to 0.3 for digits, 8/255 for photographs)")
    suite.add_argument(
        "--half-width",
        default=HALF_WIDTH,
        metavar="W",
        help=f"of a rate's interval: how many images ({HALF_WIDTH})",
    )
    suite.add_argument("--on-grid", action="store_true", help="samples that can be saved as images of 8 bits")
    suite.add_argument("--seed", default="0", metavar="N", help="(0)")
    suite.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="STAGE.KEY=VALUE", help="as of run"
    )
    add_workspace(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run (made from the settings)")
    add_output(parser)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.local.runs import run_sweep
    from defensive_distillation_pipelines.local.workspace import Workspace

    config = settings_of(arguments)
    if config.import_model.model != arguments.model and in_registry(arguments.model):
        say(arguments, f"{arguments.model} is version {registry_name(config.import_model.model).version}")
    workspace = Workspace(Path(arguments.workspace))
    tell(arguments, run_sweep(workspace, config, arguments.run, program(), quiet=arguments.quiet))


def settings_of(arguments: argparse.Namespace) -> ExperimentConfig:
    """The settings of the run, with the version that an alias names now.

    Raises:
        ConfigurationError: for a setting that is unknown or out of range.
        InputError: for radii outside (0, 1], or a model that MLflow's registry does not have.
        TrackingError: if that does not answer.
    """
    model = arguments.model
    attack: dict[str, Any] = {"half_width": arguments.half_width, "on_grid": arguments.on_grid}
    if arguments.epsilons is not None:
        attack["bounded"] = {"epsilons": rising(_numbers("epsilons", arguments.epsilons))}
    values: dict[str, Any] = {
        "name": f"audit-{slug(arguments.data)}",
        "seed": arguments.seed,
        "attacks": listed(arguments.attacks) if arguments.attacks is not None else fitting_attacks(),
        "prepare_data": {"source": arguments.data, "data_root": arguments.data_root and _place(arguments.data_root)},
        "import_model": {
            "model": _place(model) if is_onnx(model) else model,
            "weights": arguments.weights and _place(arguments.weights),
            "trust": arguments.trust,
            "input_step": arguments.input_step,
            "draws": arguments.draws,
            "image_size": arguments.image_size,
            "mean": listed(arguments.mean),
            "std": listed(arguments.std),
            "class_logits": listed(arguments.class_logits),
        },
        "attack": attack,
    }
    for assignment in arguments.assignments:
        values = loading.merged(values, loading.assigned(assignment))
    return settled(experiment(values), arguments)


def _numbers(flag: str, text: str) -> list[float]:
    """Numbers, each as 0.03 or as 8/255."""
    try:
        return [float(over) / float(under or 1) for over, _, under in (part.partition("/") for part in listed(text))]
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(f"--{flag}: expected numbers such as 0.1 or 8/255, got {text!r}") from error


def _place(place: str) -> str:
    """A place that steps in another folder find as well."""
    return place if is_remote(place) else str(Path(place).absolute())
