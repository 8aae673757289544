"""The attacks of the pipeline, one specification a file; a file is found by lying here."""
