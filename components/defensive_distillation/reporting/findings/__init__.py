"""What was found, in words that are computed from the numbers."""
