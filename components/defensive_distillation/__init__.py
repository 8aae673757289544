"""Defensive distillation (Papernot et al., IEEE S&P 2016) and the attacks that judge it."""

__version__ = "0.1.0"
