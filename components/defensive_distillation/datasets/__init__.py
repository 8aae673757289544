"""Datasets of images by class: their form, their checks, and the sources that they come from."""
