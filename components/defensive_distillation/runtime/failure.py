"""How a step of a pipeline ends where something went wrong: in one line, which is also the last word of its pod."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from defensive_distillation.errors import DefensiveDistillationError, first_line

TERMINATION_LOG = Path("/dev/termination-log")  # what stands there is a pod's last word, which Argo shows


def ended(task: str, error: Exception) -> SystemExit:
    """Says why the step `task` failed; the exit that is to be raised, with the error's code.

    An error that is none of ours has its traceback before the line.
    """
    reason = f"{task}: {first_line(error)}"
    if TERMINATION_LOG.exists():
        with contextlib.suppress(OSError):
            TERMINATION_LOG.write_text(reason, encoding="utf-8")
    if not isinstance(error, DefensiveDistillationError):
        traceback.print_exception(error)
    print(reason, file=sys.stderr, flush=True)
    return SystemExit(getattr(error, "exit_code", 1))


@contextlib.contextmanager
def in_one_line(task: str) -> Iterator[None]:
    """Ends the process as `ended` says where the block raises something."""
    try:
        yield
    except Exception as error:
        raise ended(task, error) from error
