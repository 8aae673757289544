"""`defdistill`, and `python -m defensive_distillation_pipelines.commands`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from defensive_distillation.errors import DefensiveDistillationError, first_line


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; a plugin that cannot be imported is one line, too."""
    gc.disable()  # nothing that is imported is garbage: a tenth of the time of --help
    try:
        from defensive_distillation_pipelines.commands import cli
    except DefensiveDistillationError as error:
        print(f"defdistill: {first_line(error)}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    finally:
        gc.enable()
    cli.main(argv)


if __name__ == "__main__":
    main()
