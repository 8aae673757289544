"""Carlini and Wagner's L∞ attack (Section VI-C): a penalty on what exceeds a threshold that falls."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.cw.l2 import nearest_l2
from defensive_distillation.attacks.cw.objective import linear_constants
from defensive_distillation.attacks.cw.search import Search
from defensive_distillation.attacks.cw.tanh_space import Adam, Patience, to_box, to_tanh_space

_FALL = 0.9  # of the threshold after a success
_FINEST = 0.97  # where a fall no longer succeeds, smaller ones are tried, down to this
_RESCUES = 4  # constants of the L2 attack


def nearest_linf(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    search: Search,
) -> tuple[Tensor, Tensor, Tensor]:
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
    w = to_tanh_space(images, search.clip)
    adam = Adam(w, search.learning_rate)
    hinge, _, gradient = search.margin_gradient(model, images, classes)
    linear = linear_constants(hinge, gradient, "linf")
    constant = torch.full_like(linear, search.initial_constant)  # in units of `linear`
    sufficed = constant.clone()  # the constant at the last success: with a lower threshold, no smaller one will do
    threshold, fall = torch.full_like(constant, search.clip[1] - search.clip[0]), torch.full_like(constant, _FALL)
    patience = Patience(constant, search.steps, abort_early=search.abort_early)
    best, nearest, spent = images.clone(), torch.full_like(constant, torch.inf), torch.ones_like(classes)
    active = torch.arange(len(images), device=images.device)
    while len(active):
        x, c, tau = images[active], constant[active] * linear[active], threshold[active]
        adversarial, slope = to_box(w[active], search.clip)
        hinge, done, gradient = search.margin_gradient(model, adversarial, classes[active])
        spent[active] += 1
        moved = adversarial - x
        limit = tau[:, None, None, None]
        fits = torch.zeros_like(done)
        cut = patience.due(active) & (moved.abs() > limit).flatten(1).any(1)
        if bool(cut.any()):
            within = x[cut] + moved[cut].clamp(-limit[cut], limit[cut])
            fits[cut] = search.suffices(model, within, classes[active[cut]])
            adversarial[fits] = within[fits[cut]]
        distance = (adversarial - x).abs().flatten(1).amax(1)
        better = (done | fits) & (distance < nearest[active])
        best[active[better]], nearest[active[better]] = adversarial[better], distance[better]
        solved = fits | (done & (distance <= tau))
        rows = active[solved]
        threshold[rows] = torch.minimum(nearest[rows], tau[solved]) * fall[rows]
        sufficed[rows] = constant[rows]
        patience.restart(rows)
        adam.shorten(rows)
        going = ~solved
        rows = active[going]
        excess = (moved.abs() - limit).clamp(min=0)
        pull = torch.where(done, 0.0, c)[:, None, None, None]
        adam.step(w, ((pull * gradient + moved.sign() * (excess > 0)) * slope)[going], rows)
        loss = c * hinge + excess.flatten(1).sum(1)
        stale = rows[patience.ends(loss[going], rows)]
        constant[stale] *= search.constant_factor
        adam.lengthen(stale)
        patience.restart(stale)
        spent_all = constant[active] > search.largest_constant
        lost = active[spent_all & nearest[active].isinf()]
        if len(lost):
            rescue = replace(search, search_steps=_RESCUES)
            best[lost], found, used = nearest_l2(model, images[lost], classes[lost], rescue)
            spent[lost] += used
            saved = lost[found]
            nearest[saved] = (best[saved] - images[saved]).abs().flatten(1).amax(1)
            sufficed[saved] = search.initial_constant
        finer = spent_all & (fall[active] < _FINEST) & nearest[active].isfinite()
        rows = active[finer]
        fall[rows] = 1 - (1 - fall[rows]) / 2
        threshold[rows], constant[rows] = nearest[rows] * fall[rows], sufficed[rows]
        w[rows] = to_tanh_space(best[rows], search.clip)
        adam.restart(rows)
        adam.shorten(rows)
        active = active[~spent_all | finer]
    success = nearest.isfinite()
    if bool(success.any()):
        best[success] = search.nearest_on_line(model, images[success], best[success], classes[success])
    return best, success, spent
