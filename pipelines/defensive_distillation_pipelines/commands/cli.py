"""The command `defdistill`. It imports what a verb needs when that verb runs, so that --help is quick."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation import __version__, provenance
from defensive_distillation.runtime.command import Parser, exits
from defensive_distillation_pipelines.commands import compare, completion, config, promote, rerun, stage
from defensive_distillation_pipelines.commands import compile as compile_command
from defensive_distillation_pipelines.commands.cluster import doctor, schedule, stop, submit, watch
from defensive_distillation_pipelines.commands.local import audit, clean, report, run, show, times, ui
from defensive_distillation_pipelines.commands.local import list as list_command
from defensive_distillation_pipelines.commands.parser import Raw

_DESCRIPTION = """Defensive distillation, and the attacks that judge it.

Trains a network at several softmax temperatures, distils it, attacks it with JSMA, and writes what was found: the
paper's figures, and whether the defense hides gradients or removes adversarial samples.
"""
_EXAMPLES = """examples:
  defdistill run                                  the sweep on handwritten digits, in minutes on a laptop
  defdistill run --preset mnist --data-root data  the paper's MNIST sweep
  defdistill audit --model torchvision:resnet18 --weights FILE --data photos     a network of your own
  defdistill ui                                   compare its models in MLflow
  defdistill submit --wait                        the same sweep on a cluster with Kubeflow Pipelines
  defdistill schedule --cron '0 3 * * *'          the same every night
  defdistill doctor                               whether the cluster has what that needs
  defdistill compile -o sweep.yaml                the same pipeline as a file
  defdistill rerun attack --run RUN --temperature 20 --set jsma.max_features=50
  defdistill list                                 the runs here, and what they found
  defdistill show latest                          one of them
  defdistill compare RUN latest                   what differs between two runs, beyond chance
  defdistill stage attack --help                  one stage alone
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with 2 for bad input and 1 for faults from outside."""
    parser = command_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        raise SystemExit(2)
    with exits("defdistill"):
        provenance.told_to_children("defdistill", argv)
        arguments.call(arguments)


def command_parser() -> Parser:
    """The parser with all verbs, in the order in which they are met."""
    parser = Parser(prog="defdistill", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=Raw)
    parser.add_argument("--version", action="version", version=f"defensive-distillation {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    verbs = (
        run,
        audit,
        submit,
        watch,
        stop,
        schedule,
        doctor,
        compile_command,
        rerun,
        stage,
        list_command,
        show,
        report,
        compare,
        promote,
        times,
        ui,
        config,
        clean,
        completion,
    )
    for verb in verbs:
        verb.add(commands)
    return parser
