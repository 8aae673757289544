"""A step in its pod: `python -m defensive_distillation.runtime.kubeflow STAGE EXECUTOR_INPUT`."""

import sys

from defensive_distillation.runtime.kubeflow.pod import main

main(sys.argv[1:])
