"""Carlini and Wagner's L0 attack (Section VI-B): an L2 attack on ever fewer pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.objective import linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import Adam, Patience, to_box, to_tanh_space

_UNCHANGED = 1e-3  # of the box: a pixel that moved less is not missed; tanh space alone moves black by half of that
_SHARE = 0.3  # of the root of the number of changed pixels is given up at once, as in the authors' code


def nearest_l0(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> tuple[Tensor, Tensor, Tensor]:
    """Whenever a sample is adversarial, gives up the pixels that matter least and goes on from there.

    Least in |g · δ|, the margin's gradient times the change of the pixel. When a set of pixels no longer suffices with
    any constant, the last one that did stands.

    Returns:
        The samples with the fewest changed pixels (N, C, H, W), whether there is one (N,), gradient evaluations (N,).
    """
    w = to_tanh_space(images, search.clip)
    adam = Adam(w, search.learning_rate)
    allowed = torch.ones_like(images[:, :1], dtype=torch.bool)  # (N, 1, H, W)
    hinge, _, gradient = search.margin_gradient(model, images, classes)
    linear = linear_constants(hinge, gradient, "l0")
    constant = torch.full_like(linear, search.initial_constant)  # in units of `linear`
    patience = Patience(constant, search.steps, abort_early=search.abort_early)
    best, success, spent = images.clone(), torch.zeros_like(classes, dtype=torch.bool), torch.ones_like(classes)
    active = torch.arange(len(images), device=images.device)
    while len(active):
        x, mask, c = images[active], allowed[active], constant[active] * linear[active]
        inside, slope = to_box(w[active], search.clip)
        adversarial = torch.where(mask, inside, x)
        hinge, done, gradient = search.margin_gradient(model, adversarial, classes[active])
        spent[active] += 1
        moved = adversarial - x
        over = torch.zeros_like(done)
        if bool(done.any()):
            rows = active[done]
            best[rows], success[rows] = adversarial[done], True
            allowed[rows] = fewer_pixels(mask[done], moved[done], gradient[done], search.clip)
            adam.restart(rows)
            adam.shorten(rows)
            patience.restart(rows)
            over[done] = ~allowed[rows].flatten(1).any(1)
        going = ~done
        rows = active[going]
        descent = (2 * moved + c[:, None, None, None] * gradient) * slope * mask
        adam.step(w, descent[going], rows)
        loss = moved.square().flatten(1).sum(1) + c * hinge
        stale = rows[patience.ends(loss[going], rows)]
        constant[stale] *= search.constant_factor
        w[stale] = to_tanh_space(best[stale], search.clip)  # with another constant from where this set of pixels began
        adam.restart(stale)
        adam.lengthen(stale)
        patience.restart(stale)
        over |= constant[active] > search.largest_constant
        active = active[~over]
    return best, success, spent


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
