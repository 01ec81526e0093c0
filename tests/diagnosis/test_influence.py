"""Replaced inputs, with cells whose memory is known exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.diagnosis.flow import as_probe
from elman.diagnosis.influence import Influence, influences


class Delay(elman.Cell):
    """Answers with its input of three steps before."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.state_names = ("h", "one", "two", "three")

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        _, one, two, three = state
        return three, (three, x_BI, one, two)


def _measure(
    layer: nn.Module, x: Tensor, loss=None, lengths: Tensor | None = None
) -> list[Influence]:
    batch = {"input": x} | ({} if lengths is None else {"lengths": lengths})
    return influences(layer, as_probe(layer, batch, loss, lengths, None))


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_delay_depends_on_one_input_alone(batch_first: bool) -> None:
    layer = elman.Recurrent(Delay(2, 2), batch_first=batch_first)
    x = torch.randn(4, 40, 2) if batch_first else torch.randn(40, 4, 2)
    (found,) = _measure(layer, x)
    changed = dict(zip(found.lags, found.changed, strict=True))
    assert found.lags == (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    assert changed[3] == pytest.approx(1)  # all of what tells two rows apart
    assert sum(changed.values()) == pytest.approx(1)
    rise = dict(zip(found.lags, found.rise, strict=True))
    assert rise[3] != 0
    assert sum(abs(value) for lag, value in rise.items() if lag != 3) == 0
    assert (found.reach(0.5), found.reach(2.0)) == (3, None)


def test_rows_of_different_lengths_at_their_ends() -> None:
    layer = elman.Recurrent(Delay(2, 2))
    x_TBI, lengths = torch.randn(12, 3, 2), torch.tensor([12, 5, 9])
    x_TBI[5:, 1] = float("nan")

    def loss(output: tuple[Tensor, tuple[Tensor, ...]]) -> Tensor:
        return output[1][0][-1].sum(-1)

    (found,) = influences(
        layer, as_probe(layer, {"input": x_TBI, "lengths": lengths}, loss, None, None)
    )
    rise = dict(zip(found.lags, found.rise, strict=True))
    ends = lengths - 1
    here = torch.stack([x_TBI[t - 3, b] for b, t in enumerate(ends)]).sum(-1)
    # The next row's input at that step, or its last.
    there = torch.stack([x_TBI[1, 1], x_TBI[1, 1] * 0, x_TBI[0, 0]])
    there[0], there[1], there[2] = x_TBI[4, 1], x_TBI[1, 2], x_TBI[5, 0]
    assert rise[3] == pytest.approx(float((there.sum(-1) - here).mean()), rel=1e-5)


class Two(nn.Module):
    """An encoder whose end begins a decoder, and one layer that takes steps one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = elman.GRU(2, 3)
        self.decoder = elman.GRU(2, 3)
        self.stepper = elman.GRU(3, 3)

    def forward(self, x_TBI: Tensor) -> Tensor:
        y_TBH, _ = self.decoder(x_TBI[:5], self.encoder(x_TBI)[1])
        state = None
        for y_BH in y_TBH:
            _, state = self.stepper(y_BH[None], state)
        return y_TBH


def test_each_layer_that_reads_whole_sequences_once() -> None:
    found = _measure_module(Two(), torch.randn(9, 4, 2))
    assert [(each.stack, each.label, max(each.lags)) for each in found] == [
        ("encoder", "encoder", 8),
        ("decoder", "decoder", 4),
    ]


def _measure_module(module: nn.Module, x: Tensor) -> list[Influence]:
    return influences(module, as_probe(module, x, None, None, None))


def test_one_row_has_nothing_to_be_replaced_by() -> None:
    assert _measure(elman.GRU(2, 3), torch.randn(9, 1, 2)) == []


def test_no_hook_is_left_behind() -> None:
    layer = elman.GRU(2, 3)
    _measure(layer, torch.randn(9, 3, 2))
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks
