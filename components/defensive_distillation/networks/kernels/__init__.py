"""Faster ways to the same numbers: the first convolution, fused layers, CUDA graphs."""
