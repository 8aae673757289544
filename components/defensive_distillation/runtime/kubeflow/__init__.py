"""What Kubeflow starts: a stage in its pod, the last step of a run, and a stage of an earlier run again."""
