"""The attacks of the pipeline, one specification a file, by what they are measured by; one is found by lying here."""
