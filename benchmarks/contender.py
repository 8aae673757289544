"""A process that holds one program ready: `python -m benchmarks.contender MODULE NAME JSON`.

It runs the program once for each line of input, and answers each with a line of JSON.
Every contender has a process of its own, so that its memory is its own, and one thread. Time and processor time are
taken inside, around the work alone: imports, compilation and a first run on little work are not counted.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any


def main(module: str, name: str, settings: str) -> None:
    """Prepares the program, says that it is ready, then runs it whenever it is told to."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    run = import_module(f"benchmarks.programs.{module}").prepare(name, **json.loads(settings))
    print(json.dumps({"ready": True}), file=answers)
    for _ in sys.stdin:
        used, start = time.process_time(), time.perf_counter()
        found: dict[str, Any] = run()
        seconds, processor = time.perf_counter() - start, time.process_time() - used
        print(json.dumps({**found, "seconds": seconds, "processor": processor, "memory": _memory()}), file=answers)


def _memory() -> int:
    """Bytes of the largest resident set of this program; getrusage begins with that of the process it came from."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
