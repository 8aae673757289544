"""What Carlini and Wagner's attacks have in common: Adam in tanh space from the sources, and the samples it met."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import Adam, Patience, to_tanh_space

_RAISED = 16  # times the constant that sufficed last is the largest that is tried for a nearer sample

Found = tuple[Tensor, Tensor, Tensor]  # samples (N, C, H, W), whether there is one (N,), gradient evaluations (N,)


class Descent:
    """N samples on their way; `rows` are indices of some of them, and all tensors are by sample."""

    def __init__(self, model: nn.Module, images: Tensor, classes: Tensor, search: Search) -> None:
        self.model, self.images, self.classes, self.search = model, images, classes, search
        self.everyone = torch.arange(len(images), device=images.device)
        self.w = to_tanh_space(images, search.clip)  # (N, C, H, W)
        self.adam = Adam(self.w, search.learning_rate)
        self.spent = torch.zeros_like(classes)
        self.best = images.clone()
        self.nearest = torch.full_like(self.adam.rate, torch.inf)  # (N,), the distance of `best`
        self.sufficed = torch.full_like(self.nearest, torch.inf)  # the constant of the last success, inf before one
        self.patience = Patience(self.nearest, search.steps, abort_early=search.abort_early)

    def look(self, rows: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Search.margin_gradient`; counted."""
        self.spent[rows] += 1
        return self.search.margin_gradient(self.model, adversarial, self.classes[rows])

    def keep(self, rows: Tensor, adversarial: Tensor, distance: Tensor, done: Tensor) -> None:
        """Keeps what is done and nearer than what was there."""
        better = done & (distance < self.nearest[rows])
        self.best[rows[better]], self.nearest[rows[better]] = adversarial[better], distance[better]

    def largest_constants(self, rows: Tensor) -> Tensor:
        """The constants beyond which L0 and L∞ give up, (len(rows),).

        After a success they are `_RAISED` times the one that sufficed: when the margin outweighs the rest of the
        objective, Adam's steps no longer depend on how far.
        """
        return (_RAISED * self.sufficed[rows]).clamp(max=self.search.largest_constant)

    def drawn_near(self) -> Found:
        """The nearest samples, each moved towards its source along a line; that takes forward passes only."""
        success, best = self.nearest.isfinite(), self.best
        if bool(success.any()):
            best[success] = self.search.nearest_on_line(
                self.model, self.images[success], best[success], self.classes[success]
            )
        return best, success, self.spent


def linear_constants(hinge: Tensor, gradient: Tensor, norm: str) -> Tensor:
    """The constant c of C&W's objective that a linear network with this margin and gradient needs.

    Below 2 h / |g|² the least of |δ|² + c max(h + g δ, 0) leaves part of the hinge h; in L∞, below 1 / max |g_i| no
    feature exceeds the threshold for the hinge's sake. Logits s times larger need constants s times smaller.

    Args:
        hinge: (N,), from 0.
        gradient: (N, C, H, W), of the margin.
        norm: l2, l0 or linf.

    Returns:
        (N,), above 0; where the gradient vanishes it says nothing, and 1 is returned.
    """
    slopes = gradient.flatten(1)
    constants = 1 / slopes.abs().amax(1) if norm == "linf" else 2 * hinge / slopes.square().sum(1)
    return torch.where(constants.isfinite() & (constants > 0), constants, 1.0)
