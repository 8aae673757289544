"""Measured by the distance that they need."""
