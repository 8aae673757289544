"""Carlini and Wagner's change of variables, and the optimiser that moves in it (Towards Evaluating…, Section V-B).

x' = lo + (hi - lo) (tanh w + 1) / 2 lies in the box whatever w is, so Adam needs no projection.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INSIDE = 0.999  # a feature at an end of the box would lie at infinity
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba's
_LONGEST = 8  # times the learning rate
_FALL, _FIRST_FALL = 0.01, 0.0001  # of the loss in a tenth of the steps, below which it stands still
_STANDING = 2  # tenths of the steps that a loss may stand still; Adam overshoots, and comes back


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
    """Adam (Kingma, Ba 2015) with moments, step count and step size of each sample's own."""

    def __init__(self, like: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.rate = torch.full((len(like),), learning_rate, dtype=like.dtype, device=like.device)
        self.first = torch.zeros_like(like)  # (N, C, H, W)
        self.second = torch.zeros_like(like)
        self.steps = torch.zeros_like(self.rate)

    def step(self, w: Tensor, gradient: Tensor, rows: Tensor) -> None:
        """Moves w[rows] in place against `gradient` (len(rows), C, H, W)."""
        self.steps[rows] += 1
        count, rate = (of_each[rows][:, None, None, None] for of_each in (self.steps, self.rate))
        first = self.first[rows] * _BETA_1 + gradient * (1 - _BETA_1)
        second = self.second[rows] * _BETA_2 + gradient * gradient * (1 - _BETA_2)
        self.first[rows], self.second[rows] = first, second
        direction = (first / (1 - _BETA_1**count)) / ((second / (1 - _BETA_2**count)).sqrt() + _EPSILON)
        w[rows] -= rate * direction

    def restart(self, rows: Tensor) -> None:
        """Forgets the moments of some samples."""
        self.first[rows], self.second[rows], self.steps[rows] = 0, 0, 0

    def lengthen(self, rows: Tensor) -> None:
        """Doubles the steps of some samples, to at most eight times the learning rate.

        The margin has kinks, where the class that leads changes, and small steps swing about them for ever.
        """
        self.rate[rows] = (2 * self.rate[rows]).clamp(max=_LONGEST * self.learning_rate)

    def shorten(self, rows: Tensor) -> None:
        """Gives some samples the learning rate back."""
        self.rate[rows] = self.learning_rate


class Patience:
    """How long each sample is given with one constant: all its steps, or until its loss hardly falls.

    Deviation: it stands still where its lowest value has not fallen by a hundredth in a tenth of the steps, or by a
    ten-thousandth as long as no adversarial sample was met, and may do so for two tenths. The authors stop after one
    without a fall by a ten-thousandth, of the loss of all samples.
    """

    def __init__(self, like: Tensor, steps: int, *, abort_early: bool) -> None:
        self.steps, self.interval, self.abort_early = steps, max(1, steps // 10), abort_early
        self.lowest, self.before = torch.full_like(like, torch.inf), torch.full_like(like, torch.inf)  # (N,)
        self.age, self.standing = torch.zeros_like(like), torch.zeros_like(like)

    def restart(self, rows: Tensor) -> None:
        """Gives some samples all their steps again."""
        self.lowest[rows], self.before[rows], self.age[rows], self.standing[rows] = torch.inf, torch.inf, 0, 0

    def due(self, rows: Tensor) -> Tensor:
        """Whether another tenth of the steps begins, (len(rows),) bool."""
        return self.age[rows] % self.interval == 0

    def ends(self, loss: Tensor, rows: Tensor, met: Tensor) -> Tensor:
        """Counts a step that had this loss (len(rows),); whether it was the last one, (len(rows),) bool.

        `met`, (len(rows),) bool: whether an adversarial sample was.
        """
        self.age[rows] += 1
        self.lowest[rows] = torch.minimum(self.lowest[rows], loss)
        over = self.age[rows] >= self.steps
        if self.abort_early:
            due = self.due(rows)
            checked = rows[due]
            falls = self.lowest[checked] <= (1 - torch.where(met[due], _FALL, _FIRST_FALL)) * self.before[checked]
            self.standing[checked] = torch.where(falls, 0, self.standing[checked] + 1)
            self.before[checked] = self.lowest[checked]
            over |= self.standing[rows] >= _STANDING
        return over
