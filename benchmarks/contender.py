"""A process that holds programs ready and runs them on demand: `python -m benchmarks.contender`.

It answers each line of JSON with another: {module, name, settings} prepares a program, and is answered by its number;
{run} runs the one of that number, and is answered by its figures. What fails is answered by a reason.
Contenders have processes of their own, so that their memory is their own, and one thread. Time and processor time are
taken inside, around the work alone: imports, compilation and a first run on little work are not counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def main() -> None:
    """Does what each line of input asks for."""
    if sys.platform == "linux":  # one that is stopped would not see that nobody asks any more
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    programs: list[Callable[[], dict[str, Any]]] = []
    for line in sys.stdin:
        try:
            found = _done(json.loads(line), programs)
        except Exception as error:  # of any library
            found = {"reason": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(found), file=answers)


def _done(asked: dict[str, Any], programs: list[Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    if "run" not in asked:
        prepare = import_module(f"benchmarks.programs.{asked['module']}").prepare
        programs.append(prepare(asked["name"], **asked["settings"]))
        return {"program": len(programs) - 1}
    run = programs[asked["run"]]
    used, start = time.process_time(), time.perf_counter()
    found = run()
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    return {**found, "seconds": seconds, "processor": processor, "memory": _memory(), "process": os.getpid()}


def _memory() -> int:
    """Bytes of the largest resident set of this program; getrusage begins with that of the process it came from."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
