"""What the tests of runs on a cluster share."""
