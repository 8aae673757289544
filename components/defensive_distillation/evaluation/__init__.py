"""What is measured of an attacked model: results, metrics, gradients, sanity conditions, the verdict on masking."""
