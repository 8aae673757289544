from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from defensive_distillation.errors import ConfigurationError
from defensive_distillation.networks import compute


def test_float32_is_whole_unless_tf32_is_chosen() -> None:
    threads = torch.get_num_threads()
    for chosen in (True, False):
        assert compute.device("cpu", threads, tf32=chosen) == torch.device("cpu")
        assert torch.backends.cudnn.allow_tf32 is chosen
        assert torch.backends.cuda.matmul.allow_tf32 is chosen
    torch.backends.cudnn.allow_tf32 = True  # as PyTorch has it by itself
    compute.device("cpu", threads)
    assert not torch.backends.cudnn.allow_tf32


def test_the_threads_are_those_asked_for() -> None:
    before = torch.get_num_threads()
    for threads in (2, 1):
        compute.device("cpu", threads)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU has these devices")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"device: expected .*, got {name}"):
        compute.device(name, 1)


def test_a_network_is_laid_out_for_the_cpus_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    images = torch.rand(2, 3, 4, 4)
    before = model(images)
    laid_out = compute.on(torch.device("cpu"), model)
    assert laid_out[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(laid_out(images), before)


HEAP = """
import ctypes, re
from pathlib import Path
from defensive_distillation.networks import compute

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def heap():
    first, last = re.search(r"(\\w+)-(\\w+) .*\\[heap\\]", Path("/proc/self/maps").read_text()).groups()
    return range(int(first, 16), int(last, 16))

def allocated_and_freed():
    before = len(heap())
    piece = library.malloc(100 * 2**20)
    inside = piece in heap()
    library.free(piece)
    print(inside, len(heap()) > before + 50 * 2**20)

allocated_and_freed()
compute.keep_memory()
allocated_and_freed()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the GNU C library")
def test_large_pieces_of_memory_are_given_back_at_first_and_then_stay_with_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["False False", "True True"]
