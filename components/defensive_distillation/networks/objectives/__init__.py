"""What a step of a training minimises, one objective a file: cross-entropy, and what defenses put in its place."""
