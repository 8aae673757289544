"""Computations that a GPU repeats by itself, instead of being told every kernel again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from defensive_distillation.networks.kernels.convolution import InputConvolution
from defensive_distillation.networks.kernels.fused import PooledConvolution, RectifiedConvolution

_WARM_UP = 3  # calls before the recording, in which libraries choose and allocate what they need
_RECORDABLE = (
    *(nn.Sequential, nn.Conv2d, InputConvolution, RectifiedConvolution, PooledConvolution),
    *(nn.Linear, nn.Flatten, nn.Dropout),
    *(nn.ReLU, nn.Tanh, nn.MaxPool2d, nn.BatchNorm1d, nn.BatchNorm2d),
)

_recording = True


@contextmanager
def told_step_by_step() -> Iterator[None]:
    """Records nothing that begins within: to look at single kernels, and to measure what a recording brings."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


def repeated(computation: Callable[..., None], model: nn.Module, device: torch.device) -> Callable[..., None]:
    """`computation`, which on a GPU is recorded as a CUDA graph and replayed from its fourth call on.

    A network as small as the paper's is done with a step in less time than the host needs to ask for its kernels.
    Only networks of layers that are known to ask the host for nothing are recorded; the rest is told step by step.

    Args:
        computation: writes its results in place, into tensors that stay, and reads nothing else that changes but its
            arguments, which are tensors. It waits for no result. Numbers that it holds are recorded as they are.
        model: the network in it.
        device: where it computes.
    """
    if not _recording or device.type != "cuda" or not all(type(module) in _RECORDABLE for module in model.modules()):
        return computation
    return _Recorded(computation, device)


class _Recorded:
    """A computation that is replayed once it has been called a few times with arguments of the same shapes."""

    def __init__(self, computation: Callable[..., None], device: torch.device) -> None:
        self._computation = computation
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._arguments: tuple[Tensor, ...] = ()
        self._shapes: list[torch.Size] = []
        self._calls = 0

    def __call__(self, *arguments: Tensor) -> None:
        shapes = [argument.shape for argument in arguments]
        if self._calls == 0:
            self._shapes = shapes
        if shapes != self._shapes:  # the last batch of an epoch
            self._told(*arguments)
            return
        self._calls += 1
        if self._calls <= _WARM_UP:
            self._told(*arguments)
            return
        if self._graph is None:
            self._graph = self._record(*arguments)
        for own, given in zip(self._arguments, arguments, strict=True):
            own.copy_(given)
        self._graph.replay()

    def _record(self, *arguments: Tensor) -> torch.cuda.CUDAGraph:
        """The graph; nothing is computed meanwhile."""
        self._arguments = tuple(argument.clone() for argument in arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._computation(*self._arguments)
        return graph

    def _told(self, *arguments: Tensor) -> None:
        """On the stream of the recording: what autograd keeps of a call belongs to the stream that it was made on."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._computation(*arguments)
        current.wait_stream(self._stream)
