"""Small networks whose answers are known, and the images that are shown to them."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, StopReason


def smooth(features: int, classes: int, seed: int = 0, *, scale: float = 2.0) -> nn.Sequential:
    """A random network without kinks; in float64 no two pairs of it are so alike that rounding decides."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(features, 12), nn.Tanh(), nn.Linear(12, classes)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        model[1].weight.mul_(scale / features**0.5)
        model[3].weight.mul_(scale / 12**0.5)
    return model.eval()


def linear(weight: list[list[float]] | Tensor, bias: list[float] | Tensor | None = None) -> nn.Sequential:
    """Logits W x + b, whose Jacobian is W wherever x is."""
    w = torch.as_tensor(weight, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(w.shape[1], w.shape[0])).double()
    with torch.no_grad():
        model[1].weight.copy_(w)
        model[1].bias.copy_(torch.zeros(len(w)) if bias is None else torch.as_tensor(bias))
    return model.eval()


def starts(count: int, shape: tuple[int, int, int], seed: int = 0, *, saturated: float = 0.3) -> Tensor:
    """Random images, of which a share of the features lies at either end of the box."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *shape, generator=generator, dtype=torch.float64)
    ends = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    return torch.where(ends < saturated, images.round(), images)


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def assert_equal(a: AttackResult, b: AttackResult) -> None:
    for field in dataclasses.fields(AttackResult):
        assert torch.equal(getattr(a, field.name), getattr(b, field.name)), field.name


def reasons(found: AttackResult) -> list[StopReason]:
    return [StopReason(reason) for reason in found.stop_reason.tolist()]


class Counting(nn.Module):
    """A network that counts the samples it was shown, and the backward passes through it, sample by sample."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen, self.differentiated = model, 0, 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        logits: Tensor = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.differentiated += len(gradient)


class StepFunction(nn.Module):
    """Rounds the logits of a network, so that no gradient passes; has no parameters of its own."""

    def __init__(self, model: nn.Module, fineness: float = 8.0) -> None:
        super().__init__()
        self.model, self.fineness = model, fineness

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return (self.model(images) * self.fineness).round() / self.fineness
