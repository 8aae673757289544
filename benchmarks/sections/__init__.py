"""The sections of the page, one a file: what runs in it, in which sizes, and what is said of it."""
