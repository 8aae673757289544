"""Which defenses there are: one a file, registry.py all of them; PyTorch is not needed before one trains."""
