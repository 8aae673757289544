"""Two sweeps side by side: what changed between them, beyond chance, and whether that may be."""
