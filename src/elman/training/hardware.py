"""Where a network is trained: which device, and how many threads of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from elman import engines
from elman.errors import InputError
from elman.training.options import TrainingOptions

_WORTH_THREADS = 10_000_000  # multiplications a time step, some 0.2 ms of one core


def threads_for(options: TrainingOptions, network: nn.Module) -> int | None:
    """Return the CPU threads to use: those asked for; of a large network all; else None.

    The number is kept with the run, since torch's matrix products may round differently for
    another. None, for a small network, is the same everywhere; see `using_threads`.
    """
    products = options.batch_size * sum(parameter.numel() for parameter in network.parameters())
    return options.threads or (torch.get_num_threads() if products > _WORTH_THREADS else None)


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Let torch and the native engine use so many threads; None: torch one, the engine all.

    Torch's threads meet at every operation. Where one takes a fraction of a millisecond they
    spend their time meeting, and on a busy machine lose tenfold. The native engine's meet rarely,
    and its results are the same for any number.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or 1)
    try:
        with engines.native.using_threads(number or before):
            yield
    finally:
        torch.set_num_threads(before)


def device_for(asked: str) -> str:
    """Return the device to train on: the one asked for, or with `auto` the best there is.

    Raises:
        InputError: torch finds no such device.
    """
    has = {
        "cuda": torch.cuda.is_available(),
        "cpu": True,
        "mps": torch.backends.mps.is_available(),
    }
    if asked == "auto":
        return next(name for name, usable in has.items() if usable)
    if not has[asked]:
        usable = ", ".join(name for name, there in has.items() if there)
        raise InputError(f"device {asked}: torch finds none on this machine; it has: {usable}")
    return asked
