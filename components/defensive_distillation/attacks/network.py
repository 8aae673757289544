"""The network under attack: what an attack may be given, in which batches, and how it asks for logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.errors import InputError

_SAMPLES_ON_CPU = 128
_SAMPLES, _FEATURES = 4096, 2**23  # at most, elsewhere: they fill a large GPU with the paper's networks
_ROUNDING = 1e-5  # by which the probabilities of a sample may miss a sum of 1


def require_attackable(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    clip: tuple[float, float],
    batch_size: int | None,
    *,
    name: str = "target_classes",
    least_features: int = 1,
) -> None:
    """Checks what all attacks are given; the classes are called `name`.

    Raises:
        InputError: for a model in training mode or one that returns probabilities, images or classes of a wrong shape
            or type, values outside the box.
    """
    if any(module.training for module in model.modules()):
        raise InputError("model: expected evaluation mode (model.eval()), got training mode")
    if not images.is_floating_point():
        raise InputError(f"images: expected float (N, ...), got {images.dtype} {tuple(images.shape)}")
    if (features := images.shape[1:].numel()) < least_features:
        raise InputError(f"images: expected at least {least_features} features, got {features}")
    if classes.shape != images.shape[:1] or classes.dtype != torch.int64:
        expected, got = tuple(images.shape[:1]), tuple(classes.shape)
        raise InputError(f"{name}: expected int64 {expected}, got {classes.dtype} {got}")
    low, high = clip
    if not -math.inf < low < high < math.inf:
        raise InputError(f"clip: expected finite (lo, hi) with lo < hi, got {clip}")
    if not bool(((images >= low) & (images <= high)).all()):
        raise InputError(
            f"images: expected values within [{low}, {high}], got {images.min():.9g} to {images.max():.9g}"
        )
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    if not len(images):
        return
    if int(classes.min()) < 0:
        raise InputError(f"{name}: expected values from 0, got {int(classes.min())}")
    count = _require_logits(model, images[: samples_at_once(batch_size, images)])
    if int(classes.max()) >= count:
        raise InputError(f"{name}: expected values below {count}, got {int(classes.max())}")


def samples_at_once(batch_size: int | None, images: Tensor) -> int:
    """`batch_size`, or without it as many of the images (N, C, H, W) as keep their device busy."""
    if batch_size is not None:
        return batch_size
    return (
        _SAMPLES_ON_CPU if images.device.type == "cpu" else min(_SAMPLES, max(1, _FEATURES // images.shape[1:].numel()))
    )


def attacked_in_batches(
    attack: Callable[..., AttackResult],
    images: Tensor,
    *of_each: Tensor,
    batch_size: int | None,
    on_finished: Callable[[int], None] | None,
) -> AttackResult:
    """The results of `attack` on one batch after the other, as one.

    Args:
        attack: takes a batch of `images` and of each tensor of `of_each`.
        images: sources (N, C, H, W).
        of_each: what belongs to each source, (N, ...): its class, its seed.
        batch_size: samples in a batch, see `samples_at_once`.
        on_finished: called after each batch with the number of samples that have ended.
    """
    if not len(images):
        return AttackResult.none(images)
    size = samples_at_once(batch_size, images)
    parts: list[AttackResult] = []
    ended = 0
    for batch in zip(images.detach().split(size), *(each.split(size) for each in of_each), strict=True):
        parts.append(attack(*batch))
        ended += len(batch[0])
        if on_finished:
            on_finished(ended)
    return AttackResult.joined(parts)


def asked(model: nn.Module, images: Tensor) -> Tensor:
    """What a network says of images. It gets a copy: one that normalises in place would change what is kept."""
    return model(images.clone())  # type: ignore[no-any-return]


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """The logits (N, K) of a batch, checked.

    Raises:
        InputError: for another shape, or values that are not finite.
    """
    logits = asked(model, images)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"model: expected logits of shape ({len(images)}, K), got {got}")
    if logits.shape[1] < 2:
        raise InputError(f"model: expected logits of at least 2 classes, got {logits.shape[1]}")
    values = logits.detach()
    if not bool(values.isfinite().all()):
        raise InputError("model: expected finite logits, got NaN or infinity")
    return logits.clone() if logits.is_inference() else logits


def gradient_of(value: Tensor, images: Tensor, *, retain_graph: bool = False) -> Tensor:
    """∂value/∂images, in the images' shape.

    Args:
        value: a number that was computed from logits.
        images: that the logits are of; they require a gradient.
        retain_graph: whether another gradient follows.

    Raises:
        InputError: where the network passes none on.
    """
    found = None
    if value.requires_grad:
        (found,) = torch.autograd.grad(value, images, retain_graph=retain_graph, allow_unused=True)
    if found is None:
        raise InputError(
            "model: expected logits that can be differentiated, got none (no_grad, inference mode, detach or whole "
            "numbers within); square and noise need no gradient"
        )
    return found


def in_single(logits: Tensor) -> Tensor:
    """Logits in float32 where they are in half precision, for what is computed of them."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


@torch.no_grad()
def _require_logits(model: nn.Module, images: Tensor) -> int:
    """K, of a network that returns logits."""
    values = logits_of(model, images)
    if bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < _ROUNDING).all()):
        raise InputError("model: expected logits, got probabilities (rows that sum to 1); leave the softmax out")
    return values.shape[1]


def margin(logits: Tensor, classes: Tensor, *, targeted: bool) -> Tensor:
    """How far an attack is from its goal: negative once it is reached (f_6 of C&W, without κ). (N,).

    Targeted, the largest other logit less the target's; untargeted, the true class's less the largest other.
    """
    own = logits.gather(1, classes[:, None]).squeeze(1)
    other = logits.scatter(1, classes[:, None], -torch.inf).amax(dim=1)
    return other - own if targeted else own - other


def reached(logits: Tensor, classes: Tensor, *, targeted: bool) -> Tensor:
    """Whether the class predicted is the target, or untargeted, another than the true one. (N,) bool."""
    predicted = logits.argmax(dim=1)
    return predicted == classes if targeted else predicted != classes


def clearly_reached(logits: Tensor, classes: Tensor, *, targeted: bool, confidence: float) -> Tensor:
    """Whether the goal is reached by κ = `confidence`, and by more than rounding.

    An attack that looks for the nearest sample ends on the decision boundary, where a batch of another size would
    decide otherwise. So a `slack` is asked beyond κ. (N,) bool.
    """
    return margin(in_single(logits), classes, targeted=targeted) <= -confidence - slack(logits)


def slack(logits: Tensor) -> Tensor:
    """By how much rounding may move the margin of each sample, (N,).

    The sums that make a logit are of the size of the largest one, or of the logits' spread where that is less: a
    constant that is added to all of them at last decides nothing. A hundred units of the last place of that, as float32
    sums; but at least two of the largest logit in its own type, by which another sum may have been rounded.
    """
    values, eps = in_single(logits), torch.finfo(logits.dtype).eps
    largest = values.abs().amax(dim=1)
    size = torch.minimum(largest, values.amax(dim=1) - values.amin(dim=1))
    return torch.maximum(100 * torch.finfo(values.dtype).eps * size, 2 * eps * largest)
