"""Stochastic gradient descent at temperature T, one epoch at a time, so that it can stop and go on between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.networks.architectures import as_input
from defensive_distillation.networks.kernels.cuda_graph import repeated
from defensive_distillation.networks.objectives.objective import CrossEntropy, Objective


@dataclass(frozen=True)
class EpochResult:
    """What one pass over the training images gave."""

    epoch: int  # counted from 1
    loss: float  # mean over the pass, with dropout
    train_accuracy: float  # the same, in [0, 1]


def schedule(value: float, decay: float, decay_epochs: int, epoch: int) -> float:
    """`value` times `decay` for every `decay_epochs` epochs before `epoch` (from 1); the paper's 'decay delay'."""
    return value * float(decay ** ((epoch - 1) // decay_epochs))


def train(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    objective: Objective | None = None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    decay: float = 1.0,
    decay_epochs: int = 10,
    seed: int = 0,
    mixed_precision: bool = False,
    finished_epochs: int = 0,
    velocity: Mapping[str, Tensor] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[EpochResult, dict[str, Tensor]]]:
    """Trains `model` in place by minimising Eq. 9 at temperature T or another objective, and pauses after each epoch.

    The order of the images, the dropout and all else that is random in an epoch depend on (seed, epoch) alone: a
    training that is continued from its weights, `velocity` and `finished_epochs` takes the same steps as one that was
    never stopped.

    Args:
        model: from images in [0, 1] to logits (N, K).
        images: (N, C, H, W) uint8 or float in [0, 1], on the device of the model.
        targets: (N, K), rows sum to 1: soft labels, or one-hot hard labels.
        temperature: T > 0 of the softmax in the loss.
        objective: what each step minimises in its place.
        epochs: passes in all, those already finished included.
        batch_size: images in a step.
        learning_rate: of the first epochs, see `schedule`.
        momentum: likewise.
        decay: factor on learning rate and momentum.
        decay_epochs: epochs between two decays.
        seed: of order and dropout.
        mixed_precision: computes the passes in bfloat16; weights, momentum and loss stay as they are.
        finished_epochs: epochs that the weights have behind them.
        velocity: the momentum's buffers after them, by parameter name.
        on_batch: called with (batches done, batches in an epoch).

    Yields:
        After each epoch its result and the momentum's buffers by parameter name, which belong to the trainer.
    """
    parameters = dict(model.named_parameters())
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum, fused=True)
    for name, parameter in parameters.items():
        if velocity and name in velocity:
            # laid out in memory as the parameter is: the fused step goes through both from end to end
            buffer = torch.empty_like(parameter, requires_grad=False).copy_(velocity[name])
            optimiser.state[parameter]["momentum_buffer"] = buffer
    objective = objective or CrossEntropy(temperature)
    step = _Step(model, optimiser, images, targets, objective, mixed_precision)
    rates: tuple[float, float] | None = None
    for epoch in range(finished_epochs + 1, epochs + 1):
        now = schedule(learning_rate, decay, decay_epochs, epoch), schedule(momentum, decay, decay_epochs, epoch)
        if now != rates:
            rates = now
            for group in optimiser.param_groups:
                group["lr"], group["momentum"] = rates
            # which holds the rates
            descend = repeated(step, model, images.device) if objective.recordable else step
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(seed + epoch)
            order = torch.randperm(len(images)).to(images.device)
            model.train()
            loss, accuracy = _epoch(step, descend, order, batch_size, (epoch - 1) / epochs, 1 / epochs, on_batch)
        buffers = {name: optimiser.state[p].get("momentum_buffer") for name, p in parameters.items()}
        yield EpochResult(epoch, loss, accuracy), {name: b for name, b in buffers.items() if b is not None}


class _Step:
    """A step of descent on the images of a batch, and on the device the sums of what came of all steps."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        images: Tensor,
        targets: Tensor,
        objective: Objective,
        mixed_precision: bool,
    ) -> None:
        self.progress = 0.0  # share of the training that is done
        self.loss = torch.zeros((), device=images.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=images.device)
        self._model, self._optimiser, self._images, self._targets = model, optimiser, images, targets
        self._objective, self._mixed_precision = objective, mixed_precision

    def __call__(self, batch: Tensor) -> None:
        """`batch`: indices of images (B,), on the device."""
        images, targets = as_input(self._images[batch]), self._targets[batch]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._mixed_precision):
            loss, logits = self._objective(self._model, images, targets, self.progress)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        self.loss += loss.detach() * len(batch)
        self.correct += (logits.detach().argmax(1) == targets.argmax(1)).sum()


def _epoch(
    step: _Step,
    descend: Callable[[Tensor], None],
    order: Tensor,
    batch_size: int,
    done: float,
    share: float,
    on_batch: Callable[[int, int], None] | None,
) -> tuple[float, float]:
    """One pass in `order`; the mean loss and the accuracy of the batches as they were met.

    Of the training a share is `done`, and the pass is another `share` of it.
    """
    batches = order.split(batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches = batches[:-1]  # batch normalisation cannot train on a single image
    step.loss.zero_()
    step.correct.zero_()
    for number, batch in enumerate(batches, start=1):
        step.progress = done + share * (number - 1) / len(batches)
        descend(batch)
        if on_batch:
            on_batch(number, len(batches))
    count = sum(len(batch) for batch in batches)
    return float(step.loss / count), float(step.correct / count)
