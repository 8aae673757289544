"""What is measured: each module prepares the programs of ours and of the peers that do one kind of work."""
