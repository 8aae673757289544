"""The pipelines: definitions for Kubeflow, running them on this machine, and the command `defdistill`."""
