"""Runs on a cluster: Kubeflow Pipelines' API, and what Kubernetes says of a run's pods."""
