"""Carlini and Wagner's L2 attack (Section VI-A): Adam in tanh space, and a binary search over the constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.line_search import nearest_on_line
from defensive_distillation.attacks.objective import margin_gradient
from defensive_distillation.attacks.tanh_space import Adam, to_box, to_tanh_space


def nearest_l2(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    search_steps: int,
    initial_constant: float,
    steps: int,
    learning_rate: float,
    abort_early: bool,
    clip: tuple[float, float],
    targeted: bool,
    confidence: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Minimises |x' - x|² + c max(margin + κ, 0) for a constant c that is searched for, sample by sample.

    Deviation: where even the first constant suffices, it is divided by ten until one does not, as it is multiplied by
    ten where it does not suffice; the authors halve it. A distilled network's logits ask for constants T times smaller.

    Deviation: what was found is at last moved towards its source along a line, as far as it stays adversarial; that
    takes forward passes only.

    Returns:
        The nearest samples (N, C, H, W), whether there is one (N,), and gradient evaluations (N,).
    """
    origin = to_tanh_space(images, clip)
    constant = torch.full_like(images[:, 0, 0, 0], initial_constant)
    lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    best, nearest = images.clone(), torch.full_like(constant, torch.inf)
    spent = torch.zeros_like(classes)
    for _ in range(search_steps):
        found = torch.zeros_like(classes, dtype=torch.bool)  # with this constant
        lowest, previous = torch.full_like(constant, torch.inf), torch.full_like(constant, torch.inf)
        w, adam = origin.clone(), Adam(origin, learning_rate)
        active = torch.arange(len(images), device=images.device)
        for step in range(steps):
            x, c = images[active], constant[active]
            adversarial, slope = to_box(w[active], clip)
            hinge, done, gradient = margin_gradient(
                model, adversarial, classes[active], targeted=targeted, confidence=confidence
            )
            spent[active] += 1
            moved = adversarial - x
            distance = moved.square().flatten(1).sum(1)
            better = done & (distance < nearest[active])
            best[active[better]], nearest[active[better]] = adversarial[better], distance[better]
            found[active] |= done
            pull = torch.where(done, 0.0, c)[:, None, None, None]
            adam.step(w, (2 * moved + pull * gradient) * slope, active)
            lowest[active] = torch.minimum(lowest[active], distance + c * hinge)
            if abort_early and step % max(1, steps // 10) == 0:
                falling = lowest[active] <= 0.9999 * previous[active]
                previous[active] = lowest[active]
                active = active[falling]
                if not len(active):
                    break
        upper = torch.where(found, torch.minimum(upper, constant), upper)
        lower = torch.where(found, lower, torch.maximum(lower, constant))
        between = torch.where(lower > 0, (lower + upper) / 2, upper / 10)
        constant = torch.where(upper.isfinite(), between, constant * 10)
    success = nearest.isfinite()
    if bool(success.any()):
        best[success] = nearest_on_line(
            model, images[success], best[success], classes[success], targeted=targeted, confidence=confidence
        )
    return best, success, spent
