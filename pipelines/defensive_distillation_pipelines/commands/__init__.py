"""The command `defdistill`."""
