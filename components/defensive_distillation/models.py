"""The public names of the networks: from images in [0, 1] to logits."""

from defensive_distillation.networks.architectures import build, predict

__all__ = ["build", "predict"]
