"""Networks measured sample by sample, for the tests of comparisons, gate and promotion."""
