"""Random numbers by place, not by history: each draw's seed follows from (seed, purpose, place).

A run that was killed and resumed in the middle of an epoch therefore draws what the unbroken run
drew, which a saved generator state gives only as long as nothing else draws from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, *place: int) -> int:
    """Return the 63-bit seed for one purpose at one place, such as (epoch, step)."""
    text = f"{seed}/{purpose}/" + "/".join(map(str, place))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, *place: int) -> torch.Generator:
    """Return a CPU generator for one purpose at one place."""
    return torch.Generator().manual_seed(derive(seed, purpose, *place))


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the global generator that operations on one device draw from, dropout among them.

    `torch.manual_seed` would seed those of all devices, and for each that is not yet in use note
    the call and its stack trace for later: slow, and it grows with every step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    elif device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextmanager
def own_randomness(seed: int, purpose: str) -> Iterator[None]:
    """Seed torch's global generators inside the block; the caller's are as they were after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, purpose))
        yield
