"""Which attacks run: one specification a file, without PyTorch."""
