"""Shared by tests of networks: small decoders in float64, and every gradient by name."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from elman.networks import token_decoder
from elman.networks.options import DecoderOptions, NetworkOptions

V, E, H, M = 7, 4, 5, 6


def options(**values) -> SimpleNamespace:
    """Options of a network and its decoder, checked, as a configuration has them."""
    groups = [NetworkOptions, DecoderOptions]
    given = {"hidden": H} | values
    parsed = {}
    for group in groups:
        names = group.model_fields
        parsed |= dict(group.parse({k: v for k, v in given.items() if k in names}, "test"))
    assert set(given) <= set(parsed)
    return SimpleNamespace(**parsed)


def a_decoder(memory_size=0, context_size=0, embedding=E, **values):
    """A decoder over tokens, in float64, whose parameters are large enough to tell."""
    torch.manual_seed(5)
    decoder = token_decoder(
        options(**values), V, embedding, memory_size=memory_size, context_size=context_size
    ).double()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder


def gradients(network, loss):
    """Every parameter's gradient by name, zeros where it has none."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(loss, named.values(), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(named.items(), found, strict=True)
    }


def compare(ours, theirs):
    """Every gradient by name."""
    assert set(ours) == set(theirs)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-9, atol=1e-11, msg=name)
        assert gradient.abs().max() > 0, f"{name}: nothing was learnt"


def mixed(y):
    """A loss to which every output counts differently."""
    return (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum()
