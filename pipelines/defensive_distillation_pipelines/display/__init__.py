"""What people see in a terminal, of runs here and on a cluster."""
