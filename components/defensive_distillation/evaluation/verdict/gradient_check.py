"""Does the gradient of the logits tell what the logits do? A step without a gradient, chance, saturation.

Large logits hide the gradient of the softmax, not their own. These faults hide that of the logits, so that every attack
that climbs it fails, the adaptive one too (Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of
Security, 2018, Section 3: shattered, stochastic and vanishing gradients). They are looked for directly: the margin of
the two largest logits is compared at an image and at random points around it with what its gradient predicts there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from defensive_distillation.evaluation.results import GradientCheck, GradientSign
from defensive_distillation.networks.softmax import logit_temperature

Model = Callable[[Tensor], Tensor]

RADII = (0.01, 0.03, 0.1)  # of the moves, of which the kindest counts: a network is no plane
FAR = 0.6  # by which the features with the smaller half of the gradient are moved
NOTICEABLE = 0.05  # share of the margin that this has to change
DIRECTIONS = 8  # of each radius
RANDOM = 1e-3  # change between two calls, in units of T̂, above which a network is random; rounding stays below 1e-5
FLAT = 1e-5  # change, in units of T̂, below which nothing has moved
LOW, HIGH = 0.1, 10.0  # a gradient ten times too small or too large misleads
LEVELS: tuple[int, ...] = (
    *range(2, 18),
    21,
    26,
    32,
    33,
    51,
    52,
    64,
    65,
    128,
    129,
    256,
)  # that inputs are commonly rounded to


def check_gradients(model: Model, images: Tensor, *, seed: int = 0) -> GradientCheck:
    """Compares the gradient of the logits with the logits.

    Args:
        model: from images to logits (N, K).
        images: (N, C, H, W) in [0, 1], as many as fit into one pass.
        seed: of the moves.
    """
    with torch.no_grad():
        logits, again = model(images), model(images)
    size = logit_temperature(logits)
    repeat = float((logits - again).double().abs().max()) / size
    margin = _Margin(model, images, logits)
    everywhere = torch.ones_like(margin.gradient, dtype=torch.bool)
    moves = [margin.changes(radius, everywhere, seed) for radius in RADII]
    predicted, actual = (torch.stack(each) for each in zip(*moves, strict=True))  # (R, N)
    moved = (actual > FLAT * size).any(0)  # (N,)
    zero_share = float(((margin.gradient == 0).all(1) & moved).double().mean())
    slope = _slope(predicted[:, moved], actual[:, moved], FLAT * size) if bool(moved.any()) else None
    levels = _levels(model, images, seed) if zero_share > 0.5 and repeat <= RANDOM else None
    return GradientCheck(
        samples=len(images),
        logit_temperature=size,
        repeat_difference=repeat,
        zero_share=zero_share,
        slope=slope,
        flat_half=margin.of_flat_half(seed),
        levels=levels,
        signs=tuple(_signs(repeat, zero_share, bool(margin.gradient.any()), slope, levels, len(images))),
    )


class _Margin:
    """The margin of the two largest logits, its gradient, and how it changes when the image moves."""

    def __init__(self, model: Model, images: Tensor, logits: Tensor) -> None:
        self._model, self._images = model, images
        self._classes = logits.topk(2, dim=1).indices
        source = images.detach().requires_grad_()
        with torch.enable_grad():
            start = self._at(source)
            (gradient,) = torch.autograd.grad(start.sum(), source)
        self.start, self.gradient = start.detach(), gradient.double().flatten(1)  # (N,), (N, D)

    def changes(self, radius: float, features: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Root mean squares of the predicted and the actual change, (N,), over random moves of `features` (N, D)."""
        generator = torch.Generator().manual_seed(seed)
        predicted, actual = torch.zeros_like(self.start), torch.zeros_like(self.start)
        of = features.view_as(self._images)
        for _ in range(DIRECTIONS):
            signs = torch.randint(0, 2, self._images.shape, generator=generator).to(self._images) * 2 - 1
            there = (self._images + radius * signs * of).clamp(0, 1)
            with torch.no_grad():
                actual += (self._at(there) - self.start) ** 2
            predicted += ((there - self._images).double().flatten(1) * self.gradient).sum(1) ** 2
        return (predicted / DIRECTIONS).sqrt(), (actual / DIRECTIONS).sqrt()

    def of_flat_half(self, seed: int) -> float | None:
        """The median share that the gradient predicts of what the flatter half of the features does, moved far."""
        order = self.gradient.abs().argsort(dim=1)
        flat = torch.zeros_like(self.gradient, dtype=torch.bool).scatter(1, order[:, : order.shape[1] // 2], True)
        predicted, actual = self.changes(FAR, flat, seed)
        noticed = actual > NOTICEABLE * self.start.abs()
        return float((predicted / actual)[noticed].median()) if float(noticed.double().mean()) > 0.5 else None

    def _at(self, images: Tensor) -> Tensor:
        values = self._model(images).double().gather(1, self._classes)
        return values[:, 0] - values[:, 1]


def _slope(predicted: Tensor, actual: Tensor, least: float) -> float:
    """The median over images of predicted by actual change (R, N), at the radius where they agree best."""
    ratio = (predicted / actual.clamp(min=least)).clamp(1e-12, 1e12).log()
    nearest = ratio.abs().argmin(0, keepdim=True)
    return float(ratio.gather(0, nearest).median().exp())


def _levels(model: Model, images: Tensor, seed: int) -> int | None:
    """The least number of levels that the input may be rounded to with no logit changed, if there is one.

    From one level to the next the logits have to change: coarse ones do not change with any fine rounding.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.rand(images.shape, generator=generator).to(images) * 0.2 - 0.1
    signs = torch.randint(0, 2, images.shape, generator=generator).to(images) * 2 - 1
    moved = (images + noise).clamp(0, 1)
    with torch.no_grad():
        expected = model(moved)
        for levels in LEVELS:
            rounded = (moved * (levels - 1)).round() / (levels - 1)
            if torch.equal(model(rounded), expected):
                there = model((rounded + signs / (levels - 1)).clamp(0, 1))
                return levels if float((there != expected).any(1).double().mean()) > 0.5 else None
    return None


def _signs(
    repeat: float, zero_share: float, somewhere: bool, slope: float | None, levels: int | None, count: int
) -> Iterator[GradientSign]:
    if repeat > RANDOM:
        yield GradientSign(
            name="random",
            sentence=f"two calls on the same {count} images differ by up to {repeat:.2g} of the size of the logits: "
            "the network is random, and one gradient tells little of the next call",
        )
        return  # and what follows measures chance
    if zero_share > 0.5:
        step = "a step has no gradient (rounding, JPEG, …)"
        if levels:
            step = "the input is rounded to " + (f"{levels} levels" if levels < 256 else "8 bits (as JPEG does, too)")
        # rounding has no gradient anywhere; one that saturates has one where it does not
        yield GradientSign(
            name="saturating" if somewhere else "stepped",
            sentence=f"the gradient of the logits is zero on {100 * zero_share:.0f} % of {count} images, though "
            f"the logits change when the image does: {'something saturates before them' if somewhere else step}",
        )
    elif slope is not None and slope < LOW:
        yield GradientSign(
            name="saturating",
            sentence=f"the gradient of the logits predicts {slope:.2g} of the change that the logits make on {count} "
            "images: something saturates before them",
        )
    elif slope is not None and slope > HIGH:
        yield GradientSign(
            name="shattered",
            sentence=f"the gradient of the logits predicts {slope:.2g} times the change that the logits make on "
            f"{count} images: it tells of the nearest hundredth alone",
        )
