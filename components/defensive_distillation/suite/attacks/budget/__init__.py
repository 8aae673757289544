"""Measured by the features that they need."""
