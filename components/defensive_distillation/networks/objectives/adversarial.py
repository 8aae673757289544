"""Adversarial training (Madry et al. 2018, https://arxiv.org/abs/1706.06083): the loss of the worst point of a ball."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from defensive_distillation.networks.objectives.objective import PLAIN
from defensive_distillation.networks.softmax import soft_cross_entropy


class Adversarial:
    """min E max_{|δ| ≤ ε} L(x + δ, y): cross-entropy at the points that projected gradient ascent finds (Eq. 2.1).

    Deviation: ε and the steps grow from 0 over a first share of the training, as the square of the progress. At ε = 0.3
    from the first step on, a network that knows nothing yet is best off with the same answer to all images, and stays
    with it.
    """

    recordable = False  # the steps need a model in another mode, and the radius grows

    def __init__(
        self,
        *,
        epsilon: float,
        steps: int,
        step_size: float,
        random_start: bool,
        warm_up: float,
        temperature: float = 1.0,
    ) -> None:
        """`step_size` is a share of ε; the others as in `worst_in_ball`, `warm_up` a share of the training."""
        self._epsilon, self._steps, self._step_size = epsilon, steps, step_size
        self._random_start, self._warm_up = random_start, warm_up
        self.passes = 1 + steps

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        radius = self._epsilon * (min(1.0, progress / self._warm_up) ** 2 if self._warm_up else 1.0)
        with _as_attacked(model):
            images = worst_in_ball(
                model,
                images,
                targets,
                epsilon=radius,
                steps=self._steps,
                step_size=self._step_size * radius,
                random_start=self._random_start,
            )
        return PLAIN(model, images, targets, progress)


def worst_in_ball(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    random_start: bool,
) -> Tensor:
    """x^{t+1} = Π(x^t + α sgn ∇L(x^t, y)), projected into the L∞ ball and [0, 1] (Eq. 2.1 and Section 2.1).

    Args:
        model: returns logits (N, K).
        images: (N, C, H, W) in [0, 1].
        targets: (N, K), rows sum to 1.
        epsilon: radius of the ball.
        steps: of ascent.
        step_size: α, in each feature.
        random_start: whether x^0 is drawn from the ball uniformly, or is the image.

    Returns:
        The last point, (N, C, H, W).
    """
    low, high = (images - epsilon).clamp_(min=0), (images + epsilon).clamp_(max=1)
    x = torch.lerp(low, high, torch.rand_like(images)) if random_start else images
    for _ in range(steps):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            loss = soft_cross_entropy(model(x).to(targets.dtype), targets, 1.0)
            (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach().add(gradient.sign_(), alpha=step_size)
        x = torch.minimum(torch.maximum(x, low), high)
    return x.detach()


@contextmanager
def _as_attacked(model: nn.Module) -> Iterator[None]:
    """The network as an attacker meets it: without dropout, statistics and weights at rest."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        model.train()
