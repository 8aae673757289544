"""Every figure of the report, what stands with it, and how it becomes bytes; matplotlib is imported here alone."""
