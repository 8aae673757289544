"""Networks from images in [0, 1] to logits, one kind a file, and how they are built, scaled and asked."""

from defensive_distillation.networks.architectures.applying import accuracy, as_input, predict
from defensive_distillation.networks.architectures.building import build
from defensive_distillation.networks.architectures.output import output_layer, scale_output_layer
from defensive_distillation.networks.architectures.papernot import PAPERNOT

__all__ = ["PAPERNOT", "accuracy", "as_input", "build", "output_layer", "predict", "scale_output_layer"]
