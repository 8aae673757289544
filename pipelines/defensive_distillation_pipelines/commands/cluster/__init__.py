"""Verbs for runs on a cluster."""
