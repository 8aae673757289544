"""The stages, one a file: each can be called as run(...), as a command, and as a pipeline component."""
