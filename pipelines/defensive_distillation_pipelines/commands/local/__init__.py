"""Verbs for runs on this machine."""
