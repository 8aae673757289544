"""What surrounds a stage: command, Kubeflow step, progress, code version. Nothing here decides a result."""
