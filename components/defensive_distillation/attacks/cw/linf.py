"""Carlini and Wagner's L∞ attack (Section VI-C): a penalty on what exceeds a threshold that falls."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.descent import Descent, Found, linear_constants
from defensive_distillation.attacks.cw.l2 import nearest_l2
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import to_box, to_tanh_space

_FALL = 0.9  # of the threshold after a success
_FINEST = 0.97  # where a fall no longer succeeds, smaller ones are tried, down to this
_RESCUES = 4  # constants of the L2 attack


def nearest_linf(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> Found:
    """Minimises c max(margin + κ, 0) + sum_i max(|δ_i| - τ, 0); when both vanish, τ falls and it goes on from there.

    Deviation: the penalty lets features swing about τ by a step of Adam, so that some always lie above it. When τ has
    fallen, and ten times a constant, it is tried whether δ cut at τ suffices. The authors stop where a τ nine tenths of
    the last cannot be reached; here half as large a fall is tried then, and half of that. At last the sample is moved
    towards its source along a line. All that takes forward passes only.

    Deviation: at first no threshold holds the sample back, and it may end in a corner of the box that is no adversarial
    sample. Where that happens to every constant it goes on from the L2 attack's sample instead of giving up.

    Returns:
        The nearest samples (N, C, H, W), whether there is one (N,), and gradient evaluations (N,).
    """
    descent = _UnderThreshold(model, images, classes, search)
    active = descent.everyone
    while len(active):
        active = descent.step(active)
    return descent.drawn_near()


class _UnderThreshold(Descent):
    """Adam on c max(margin + κ, 0) + sum_i max(|δ_i| - τ, 0), with a constant and a threshold of each sample's own."""

    def __init__(self, model: nn.Module, images: Tensor, classes: Tensor, search: Search) -> None:
        super().__init__(model, images, classes, search)
        hinge, _, gradient = self.look(self.everyone, images)
        self.linear = linear_constants(hinge, gradient, "linf")
        self.constant = torch.full_like(self.linear, search.initial_constant)  # in units of `linear`
        self.threshold = torch.full_like(self.constant, search.clip[1] - search.clip[0])
        self.fall = torch.full_like(self.constant, _FALL)

    def step(self, active: Tensor) -> Tensor:
        """One step of the samples `active`; those that go on."""
        x, c, tau = self.images[active], self.constant[active] * self.linear[active], self.threshold[active]
        adversarial, slope = to_box(self.w[active], self.search.clip)
        hinge, done, gradient = self.look(active, adversarial)
        moved, limit = adversarial - x, tau[:, None, None, None]
        fits = self._cut(active, adversarial, moved, limit)
        distance = (adversarial - x).abs().flatten(1).amax(1)
        self.keep(active, adversarial, distance, done | fits)
        solved = fits | (done & (distance <= tau))
        self._lower_threshold(active[solved])
        going = ~solved
        rows = active[going]
        excess = (moved.abs() - limit).clamp(min=0)
        pull = torch.where(done, 0.0, c)[:, None, None, None]
        self.adam.step(self.w, ((pull * gradient + moved.sign() * (excess > 0)) * slope)[going], rows)
        loss = c * hinge + excess.flatten(1).sum(1)
        self._raise_constant(rows[self.patience.ends(loss[going], rows, self.nearest[rows].isfinite())])
        given_up = self.constant[active] > self.largest_constants(active)
        self._rescue(active[given_up & self.nearest[active].isinf()])
        finer = given_up & (self.fall[active] < _FINEST) & self.nearest[active].isfinite()
        self._fall_less(active[finer])
        return active[~given_up | finer]

    def _cut(self, active: Tensor, adversarial: Tensor, moved: Tensor, limit: Tensor) -> Tensor:
        """Cuts changes at the threshold, in place, where that is due and suffices; where it does, (N,) bool."""
        fits = torch.zeros(len(active), dtype=torch.bool, device=active.device)
        cut = self.patience.due(active) & (moved.abs() > limit).flatten(1).any(1)
        if bool(cut.any()):
            within = self.images[active[cut]] + moved[cut].clamp(-limit[cut], limit[cut])
            fits[cut] = self.search.suffices(self.model, within, self.classes[active[cut]])
            adversarial[fits] = within[fits[cut]]
        return fits

    def _lower_threshold(self, rows: Tensor) -> None:
        self.threshold[rows] = torch.minimum(self.nearest[rows], self.threshold[rows]) * self.fall[rows]
        self.sufficed[rows] = self.constant[rows]
        self.patience.restart(rows)
        self.adam.shorten(rows)

    def _raise_constant(self, rows: Tensor) -> None:
        self.constant[rows] *= self.search.constant_factor
        self.adam.lengthen(rows)
        self.patience.restart(rows)

    def _rescue(self, rows: Tensor) -> None:
        """What no constant has led anywhere goes on from the L2 attack's sample, if there is one."""
        if not len(rows):
            return
        search = replace(self.search, search_steps=_RESCUES)
        self.best[rows], found, used = nearest_l2(self.model, self.images[rows], self.classes[rows], search)
        self.spent[rows] += used
        saved = rows[found]
        self.nearest[saved] = (self.best[saved] - self.images[saved]).abs().flatten(1).amax(1)
        self.sufficed[saved] = search.initial_constant

    def _fall_less(self, rows: Tensor) -> None:
        """Tries half as large a fall of the threshold, from the nearest sample on."""
        self.fall[rows] = 1 - (1 - self.fall[rows]) / 2
        self.threshold[rows], self.constant[rows] = self.nearest[rows] * self.fall[rows], self.sufficed[rows]
        self.w[rows] = to_tanh_space(self.best[rows], self.search.clip)
        self.adam.restart(rows)
        self.adam.shorten(rows)
