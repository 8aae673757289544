"""Which attacks the pipeline has: attacks/ one specification a file, registry.py all of them; without PyTorch."""
