"""Finished runs, here or on a cluster alike: compared with each other, and promoted."""
