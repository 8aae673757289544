"""Recurring runs, declared: cron lines, what Kubeflow has, and what is wished."""
