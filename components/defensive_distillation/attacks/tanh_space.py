"""Carlini and Wagner's change of variables, and the optimiser that moves in it (Towards Evaluating…, Section V-B).

x' = lo + (hi - lo) (tanh w + 1) / 2 lies in the box whatever w is, so Adam needs no projection.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INSIDE = 0.999  # a feature at an end of the box would lie at infinity
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba's


def to_tanh_space(images: Tensor, clip: tuple[float, float]) -> Tensor:
    """W of each feature; the ends of the box are moved inside by half a thousandth.

    Deviation: the authors move them by half a millionth, from where black and white features take some hundred steps to
    be seen at all. Distances are measured from the images themselves.
    """
    low, high = clip
    return torch.atanh((2 * (images - low) / (high - low) - 1) * _INSIDE)


def to_box(w: Tensor, clip: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """X' and ∂x'/∂w, feature by feature."""
    low, high = clip
    t = torch.tanh(w)
    half = (high - low) / 2
    return (low + half * (t + 1)).clamp(low, high), half * (1 - t * t)


class Adam:
    """Adam (Kingma, Ba 2015) with moments and step counts of each sample's own, so that samples may begin anew."""

    def __init__(self, like: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first = torch.zeros_like(like)  # (N, C, H, W)
        self.second = torch.zeros_like(like)
        self.steps = torch.zeros(len(like), dtype=like.dtype, device=like.device)

    def step(self, w: Tensor, gradient: Tensor, rows: Tensor) -> None:
        """Moves w[rows] in place against `gradient` (len(rows), C, H, W)."""
        self.steps[rows] += 1
        count = self.steps[rows][:, None, None, None]
        first = self.first[rows] * _BETA_1 + gradient * (1 - _BETA_1)
        second = self.second[rows] * _BETA_2 + gradient * gradient * (1 - _BETA_2)
        self.first[rows], self.second[rows] = first, second
        direction = (first / (1 - _BETA_1**count)) / ((second / (1 - _BETA_2**count)).sqrt() + _EPSILON)
        w[rows] -= self.learning_rate * direction

    def restart(self, rows: Tensor) -> None:
        """Forgets the moments of some samples."""
        self.first[rows], self.second[rows], self.steps[rows] = 0, 0, 0
