"""The settings of each stage, one model a stage."""
