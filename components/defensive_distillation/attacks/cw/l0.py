"""Carlini and Wagner's L0 attack (Section VI-B): an L2 attack on ever fewer pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.descent import Descent, Found, linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import to_box, to_tanh_space

_UNCHANGED = 1e-3  # of the box: a pixel that moved less is not missed; tanh space alone moves black by half of that
_SHARE = 0.3  # of the root of the number of changed pixels is given up at once, as in the authors' code


def nearest_l0(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> Found:
    """Whenever a sample is adversarial, gives up the pixels that matter least and goes on from there.

    Least in |g · δ|, the margin's gradient times the change of the pixel. When a set of pixels no longer suffices with
    any constant, the last one that did stands.

    Returns:
        The samples with the fewest changed pixels (N, C, H, W), whether there is one (N,), gradient evaluations (N,).
    """
    descent = _OnFewerPixels(model, images, classes, search)
    active = descent.everyone
    while len(active):
        active = descent.step(active)
    return descent.best, descent.success, descent.spent


class _OnFewerPixels(Descent):
    """Adam on |x' - x|² + c max(margin + κ, 0) on the pixels that are allowed, with a constant of each sample's own."""

    def __init__(self, model: nn.Module, images: Tensor, classes: Tensor, search: Search) -> None:
        super().__init__(model, images, classes, search)
        hinge, _, gradient = self.look(self.everyone, images)
        self.linear = linear_constants(hinge, gradient, "l0")
        self.constant = torch.full_like(self.linear, search.initial_constant)  # in units of `linear`
        self.allowed = torch.ones_like(images[:, :1], dtype=torch.bool)  # (N, 1, H, W)
        self.success = torch.zeros_like(classes, dtype=torch.bool)

    def step(self, active: Tensor) -> Tensor:
        """One step of the samples `active`; those that go on."""
        x, mask, c = self.images[active], self.allowed[active], self.constant[active] * self.linear[active]
        inside, slope = to_box(self.w[active], self.search.clip)
        adversarial = torch.where(mask, inside, x)
        hinge, done, gradient = self.look(active, adversarial)
        moved = adversarial - x
        if bool(done.any()):
            self._give_up_pixels(active[done], adversarial[done], moved[done], gradient[done])
        over = done & ~self.allowed[active].flatten(1).any(1)
        going = ~done
        rows = active[going]
        descent = (2 * moved + c[:, None, None, None] * gradient) * slope * mask
        self.adam.step(self.w, descent[going], rows)
        loss = moved.square().flatten(1).sum(1) + c * hinge
        self._raise_constant(rows[self.patience.ends(loss[going], rows, self.success[rows])])
        return active[~over & (self.constant[active] <= self.largest_constants(active))]

    def _give_up_pixels(self, rows: Tensor, adversarial: Tensor, moved: Tensor, gradient: Tensor) -> None:
        """After a success, which stands until another needs fewer pixels."""
        self.best[rows], self.success[rows] = adversarial, True
        self.sufficed[rows] = self.constant[rows]
        self.allowed[rows] = fewer_pixels(self.allowed[rows], moved, gradient, self.search.clip)
        self.adam.restart(rows)
        self.adam.shorten(rows)
        self.patience.restart(rows)

    def _raise_constant(self, rows: Tensor) -> None:
        """With another constant they go on from where this set of pixels began."""
        self.constant[rows] *= self.search.constant_factor
        self.w[rows] = to_tanh_space(self.best[rows], self.search.clip)
        self.adam.restart(rows)
        self.adam.lengthen(rows)
        self.patience.restart(rows)


def fewer_pixels(allowed: Tensor, moved: Tensor, gradient: Tensor, clip: tuple[float, float]) -> Tensor:
    """The pixels that stay in play: without those that did not move, and without those that mattered least.

    Args:
        allowed: (N, 1, H, W) bool, pixels in play.
        moved: (N, C, H, W), the change.
        gradient: (N, C, H, W), of the margin.
        clip: the box.

    Returns:
        (N, 1, H, W) bool: at least one pixel less for each sample.
    """
    changed = allowed & (moved.abs().amax(dim=1, keepdim=True) > _UNCHANGED * (clip[1] - clip[0]))
    effect = (gradient * moved).sum(dim=1, keepdim=True).abs()
    order = torch.where(changed, effect, torch.inf).flatten(1).argsort(dim=1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    given_up = (_SHARE * changed.flatten(1).sum(1).sqrt()).long().clamp(min=1)
    return changed & (rank >= given_up[:, None]).view_as(changed)
