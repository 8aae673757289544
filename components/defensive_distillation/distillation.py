"""The public names of distillation: softmax at temperature T, its loss, and a teacher's soft labels."""

from defensive_distillation.networks.softmax import log_softmax_at, soft_cross_entropy, soft_labels, softmax_at

__all__ = ["log_softmax_at", "soft_cross_entropy", "soft_labels", "softmax_at"]
