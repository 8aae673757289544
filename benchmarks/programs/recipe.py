"""JSMA in sixty lines of plain PyTorch, as a careful user would write it: sort, two Pareto layers, all pairs.

On probabilities, where β = -α, the two largest α are the pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


def recipe(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    max_features: int,
    batch: int,
    temperature: float | None = None,
) -> Tensor:
    """The adversarial samples of θ = 1, on logits, or on probabilities at a temperature."""
    adversarial = images.flatten(1).clone()
    active, waiting = torch.arange(min(batch, len(images))), min(batch, len(images))
    while len(active):
        x, source, target = adversarial[active], images[active].flatten(1), targets[active]
        shown = x.view(-1, *images.shape[1:]).requires_grad_()
        logits = model(shown)
        outputs = logits if temperature is None else (logits / temperature).softmax(1)
        wanted = outputs.gather(1, target[:, None]).sum()
        (alpha,) = torch.autograd.grad(wanted, shown, retain_graph=temperature is None)
        alpha, x, allowed = alpha.flatten(1), x.detach(), x.detach() < 1
        if temperature is None:
            (total,) = torch.autograd.grad(outputs.sum(), shown)
            pair, valid = _pair(alpha, total.flatten(1) - alpha, allowed)
        else:
            largest = alpha.masked_fill(~allowed, -torch.inf).topk(2, dim=1)
            pair, valid = largest.indices, largest.values.sum(1) > 0
        changed = x != source
        would_change = changed.sum(1) + (~changed.gather(1, pair)).sum(1)
        moving = (logits.argmax(1) != target) & valid & (would_change <= max_features)
        adversarial[active[moving]] = x.scatter(1, pair, 1.0)[moving]
        following = torch.arange(waiting, min(waiting + int((~moving).sum()), len(images)))
        waiting += len(following)
        active = torch.cat((active[moving], following))
    return adversarial.view_as(images)


def _pair(alpha: Tensor, beta: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The best pair, (N, 2), and whether it is valid, (N,): of the features that not two others beat in both."""
    gain, order = alpha.masked_fill(~allowed, -torch.inf).sort(dim=1, descending=True)
    drop = (-beta).masked_fill(~allowed, -torch.inf).gather(1, order)
    highest = pad(drop.cummax(1).values, (1, 0), value=-torch.inf)
    second = pad(torch.minimum(drop, highest[:, :-1]).cummax(1).values, (1, 0), value=-torch.inf)[:, :-1]
    layers = drop > second
    width = max(2, int(layers.sum(1).max()))
    present, places = layers.to(torch.uint8).topk(width, dim=1)
    gain, drop, order, real = gain.gather(1, places), drop.gather(1, places), order.gather(1, places), present.bool()
    gains, drops = gain[:, :, None] + gain[:, None, :], drop[:, :, None] + drop[:, None, :]
    valid = (gains > 0) & (drops > 0) & (real[:, :, None] & real[:, None, :]).triu(1)
    value, best = (gains * drops).masked_fill(~valid, -1.0).flatten(1).max(dim=1)
    return order.gather(1, torch.stack((best // width, best % width), dim=1)), value >= 0
