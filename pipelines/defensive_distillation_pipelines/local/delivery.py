"""The process that takes what the steps of a run record to MLflow, while they run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from defensive_distillation.errors import TrackingError
from defensive_distillation_pipelines.local.workspace import RunFolder


class Delivery:
    """A process of its own, so that this one stays small: MLflow takes 150 MB."""

    def __init__(self, run: RunFolder) -> None:
        self._log = run.mlflow_log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "defensive_distillation.tracking.mlflow_runs",
                    run.workspace.tracking_uri,
                    str(run.outbox),
                ],
                stdin=subprocess.PIPE,  # its end tells that nothing more will come, also when this process is killed
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is for this process
            )

    def check(self) -> None:
        """Raises what has ended it.

        Raises:
            TrackingError: if MLflow did not answer.
        """
        if self._process.poll():
            lines = self._log.read_text().strip().splitlines()
            raise TrackingError(lines[-1] if lines else f"MLflow's process ended with {self._process.returncode}")

    def end(self) -> None:
        """Waits until all is delivered.

        Raises:
            TrackingError: if MLflow did not answer.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self.check()


@contextmanager
def delivered(run: RunFolder) -> Iterator[Delivery]:
    """Delivers what is recorded within the block, and what is left of an earlier attempt.

    Raises:
        TrackingError: if MLflow did not answer, unless the block itself failed.
    """
    delivery = Delivery(run)
    try:
        yield delivery
    except BaseException:
        with contextlib.suppress(TrackingError):  # what failed first is what matters
            delivery.end()
        raise
    delivery.end()
