"""The process that records a run in MLflow while its steps run; they need no MLflow themselves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from defensive_distillation.errors import TrackingError
from defensive_distillation.tracking.status import FAILED
from defensive_distillation_pipelines.local.run_folder import RunFolder


class Recording:
    """A process of its own, so that this one stays small: MLflow takes 150 MB."""

    def __init__(self, run: RunFolder, rerun: str) -> None:
        self._log = run.mlflow_log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "defensive_distillation.tracking.follow"]
        command += [run.name, str(run.path), *([f"--rerun={rerun}"] if rerun else [])]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "MLFLOW_TRACKING_URI": run.workspace.tracking_uri},
                stdin=subprocess.PIPE,  # its end tells that nothing more will come, also when this process is killed
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is for this process
                text=True,
            )

    def check(self) -> None:
        """Raises what has ended it.

        Raises:
            TrackingError: if MLflow did not answer.
        """
        if self._process.poll():
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise TrackingError(lines[-1] if lines else f"MLflow's process ended with {self._process.returncode}")

    def artifacts(self, locations: Iterable[str]) -> None:
        """Records finished artifacts of the run, also those that Kubeflow has kept from an earlier start."""
        self._tell(*locations)

    def failed(self) -> None:
        """Marks the sweep's run as FAILED."""
        self._tell(FAILED)

    def end(self) -> None:
        """Waits until all is recorded.

        Raises:
            TrackingError: if MLflow did not answer.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self.check()

    def _tell(self, *lines: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("".join(f"{line}\n" for line in lines))
            self._process.stdin.flush()


@contextmanager
def recorded(run: RunFolder, *, rerun: str = "") -> Iterator[Recording]:
    """Records what is finished within the block.

    Raises:
        TrackingError: if MLflow did not answer, unless the block itself failed.
    """
    recording = Recording(run, rerun)
    try:
        yield recording
    except BaseException:
        with contextlib.suppress(TrackingError):  # what failed first is what matters
            recording.end()
        raise
    recording.end()
