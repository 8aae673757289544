"""Carlini and Wagner's attacks: the nearest adversarial sample in L2, L0 or L∞."""
