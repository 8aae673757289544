"""Attacks within L∞ balls."""
