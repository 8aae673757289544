"""Carlini and Wagner's L2 attack (Section VI-A): Adam in tanh space, and a binary search over the constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.descent import Descent, Found, linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import to_box


def nearest_l2(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> Found:
    """Minimises |x' - x|² + c max(margin + κ, 0) for a constant c that is searched for, sample by sample.

    Deviation: where even the first constant suffices, it is divided by `constant_factor` f until one does not; the
    authors halve it. Where it does not suffice, it is multiplied by f, f², f³ and so on; the authors multiply by ten.
    Between two constants the geometric mean is tried, not the arithmetic one. Where three quarters of the constants did
    not reach the goal, smaller ones than the first are tried: too large a one drives features to the ends of the box,
    where they stay; those start at the source.

    Deviation: with all other constants Adam goes on from where the one before ended, as in L0 and L∞, and not from the
    source: the way to the boundary is gone once. Its moments are forgotten.

    Deviation: what was found is at last moved towards its source along a line, as far as it stays adversarial; that
    takes forward passes only.

    Returns:
        The nearest samples (N, C, H, W), whether there is one (N,), and gradient evaluations (N,).
    """
    descent = _WithConstants(model, images, classes, search)
    active = descent.everyone
    while len(active):
        active = descent.step(active)
    return descent.drawn_near()


class _WithConstants(Descent):
    """Adam on |x' - x|² + c max(margin + κ, 0), with one constant after the other, each sample at its own pace."""

    def __init__(self, model: nn.Module, images: Tensor, classes: Tensor, search: Search) -> None:
        super().__init__(model, images, classes, search)
        self.origin = self.w.clone()
        at_start = self.look(self.everyone, to_box(self.origin, search.clip)[0])
        self._known: tuple[Tensor, Tensor, Tensor] | None = at_start  # which is the first step's look too
        self.first = search.initial_constant * linear_constants(at_start[0], at_start[2], "l2")
        self.constant = self.first.clone()
        self.lower = torch.zeros_like(self.first)  # the largest constant that did not suffice
        self.upper = torch.full_like(self.first, torch.inf)  # the least that did
        self.upwards = search.search_steps - search.search_steps // 4  # constants before smaller ones are tried
        self.attempt = torch.ones_like(classes)  # constants so far
        self.found = torch.zeros_like(classes, dtype=torch.bool)  # with the present one

    def step(self, active: Tensor) -> Tensor:
        """One step of the samples `active`; those that go on."""
        x, c = self.images[active], self.constant[active]
        adversarial, slope = to_box(self.w[active], self.search.clip)
        hinge, done, gradient = self._known or self.look(active, adversarial)
        self._known = None
        moved = adversarial - x
        distance = moved.square().flatten(1).sum(1)
        self.keep(active, adversarial, distance, done)
        self.found[active] |= done
        pull = torch.where(done, 0.0, c)[:, None, None, None]
        self.adam.step(self.w, (2 * moved + pull * gradient) * slope, active)
        met = self.nearest[active].isfinite()
        self._next_constant(active[self.patience.ends(distance + c * hinge, active, met)])
        return active[self.attempt[active] <= self.search.search_steps]

    def _next_constant(self, rows: Tensor) -> None:
        factor, constant, found = self.search.constant_factor, self.constant[rows], self.found[rows]
        upper = torch.where(found, torch.minimum(self.upper[rows], constant), self.upper[rows])
        lower = torch.where(found, self.lower[rows], torch.maximum(self.lower[rows], constant))
        between = torch.where(lower > 0, (lower * upper).sqrt(), upper / factor)
        larger = constant * factor ** self.attempt[rows].to(constant.dtype)
        self.constant[rows] = torch.where(upper.isfinite(), between, larger)
        self.lower[rows], self.upper[rows], self.found[rows] = lower, upper, False
        self.adam.restart(rows)
        self.patience.restart(rows)
        never = self.nearest[rows].isinf()
        upwards = self.attempt[rows] < self.upwards
        self.adam.lengthen(rows[never & upwards])
        self._begin_anew(rows[never & ~upwards])
        self.attempt[rows] += 1

    def _begin_anew(self, rows: Tensor) -> None:
        """Puts samples back to their sources, with steps of the usual length and ever smaller constants."""
        self.w[rows] = self.origin[rows]
        self.adam.shorten(rows)
        smaller = self.attempt[rows] - self.upwards + 1
        self.constant[rows] = self.first[rows] / self.search.constant_factor ** smaller.to(self.first.dtype)
        self.lower[rows] = 0
