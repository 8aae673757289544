"""Measured by the share that they fool within L∞ balls."""
