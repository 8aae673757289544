"""Carlini and Wagner's L∞ attack (Section VI-C): a penalty on what exceeds a threshold that falls."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.carlini_wagner_l2 import nearest_l2
from defensive_distillation.attacks.line_search import nearest_on_line
from defensive_distillation.attacks.network import clearly_reached, logits_of
from defensive_distillation.attacks.objective import linear_constants, margin_gradient
from defensive_distillation.attacks.tanh_space import Adam, Patience, to_box, to_tanh_space

_FALL = 0.9  # of the threshold after a success
_FINEST = 0.97  # where a fall no longer succeeds, smaller ones are tried, down to this
_RESCUES = 4  # constants of the L2 attack


def nearest_linf(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    initial_constant: float,
    largest_constant: float,
    constant_factor: float,
    steps: int,
    learning_rate: float,
    abort_early: bool,
    clip: tuple[float, float],
    targeted: bool,
    confidence: float,
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
    w = to_tanh_space(images, clip)
    adam = Adam(w, learning_rate)
    hinge, _, gradient = margin_gradient(model, images, classes, targeted=targeted, confidence=confidence)
    linear = linear_constants(hinge, gradient, "linf")
    constant = torch.full_like(linear, initial_constant)  # in units of `linear`
    sufficed = constant.clone()  # the constant at the last success: with a lower threshold, no smaller one will do
    threshold, fall = torch.full_like(constant, clip[1] - clip[0]), torch.full_like(constant, _FALL)
    patience = Patience(constant, steps, abort_early=abort_early)
    best, nearest, spent = images.clone(), torch.full_like(constant, torch.inf), torch.ones_like(classes)
    active = torch.arange(len(images), device=images.device)
    while len(active):
        x, c, tau = images[active], constant[active] * linear[active], threshold[active]
        adversarial, slope = to_box(w[active], clip)
        hinge, done, gradient = margin_gradient(
            model, adversarial, classes[active], targeted=targeted, confidence=confidence
        )
        spent[active] += 1
        moved = adversarial - x
        limit = tau[:, None, None, None]
        fits = torch.zeros_like(done)
        cut = patience.due(active) & (moved.abs() > limit).flatten(1).any(1)
        if bool(cut.any()):
            within = x[cut] + moved[cut].clamp(-limit[cut], limit[cut])
            fits[cut] = _suffices(model, within, classes[active[cut]], targeted=targeted, confidence=confidence)
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
        constant[stale] *= constant_factor
        adam.lengthen(stale)
        patience.restart(stale)
        spent_all = constant[active] > largest_constant
        lost = active[spent_all & nearest[active].isinf()]
        if len(lost):
            best[lost], found, used = nearest_l2(
                model,
                images[lost],
                classes[lost],
                search_steps=_RESCUES,
                initial_constant=initial_constant,
                constant_factor=constant_factor,
                steps=steps,
                learning_rate=learning_rate,
                abort_early=abort_early,
                clip=clip,
                targeted=targeted,
                confidence=confidence,
            )
            spent[lost] += used
            saved = lost[found]
            nearest[saved] = (best[saved] - images[saved]).abs().flatten(1).amax(1)
            sufficed[saved] = initial_constant
        finer = spent_all & (fall[active] < _FINEST) & nearest[active].isfinite()
        rows = active[finer]
        fall[rows] = 1 - (1 - fall[rows]) / 2
        threshold[rows], constant[rows] = nearest[rows] * fall[rows], sufficed[rows]
        w[rows] = to_tanh_space(best[rows], clip)
        adam.restart(rows)
        adam.shorten(rows)
        active = active[~spent_all | finer]
    success = nearest.isfinite()
    if bool(success.any()):
        best[success] = nearest_on_line(
            model, images[success], best[success], classes[success], targeted=targeted, confidence=confidence
        )
    return best, success, spent


@torch.no_grad()
def _suffices(model: nn.Module, images: Tensor, classes: Tensor, *, targeted: bool, confidence: float) -> Tensor:
    return clearly_reached(logits_of(model, images, classes), classes, targeted=targeted, confidence=confidence)
