"""A stand-in for the engine that runs containers."""
