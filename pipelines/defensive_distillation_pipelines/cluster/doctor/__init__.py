"""What a run needs of a cluster, and whether the cluster has it; each look is a function of what servers answered."""
