"""Seeing every step of an unrolling, and changing it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import elman
from elman import engines
from elman.cells import Cell, State
from elman.engines import How


class Watcher:
    """Keeps what it sees; adds `added` to each state."""

    def __init__(self, added: float = 0.0) -> None:
        self.calls: list[tuple[Cell, How]] = []
        self.seen: list[tuple[int, Tensor, State]] = []
        self.added = added

    def __call__(self, cell: Cell, x_TBI: Tensor, state: State, how: How) -> engines.See:
        self.calls.append((cell, how))

        def see(t: int, output_BH: Tensor, new_state: State) -> tuple[Tensor, State]:
            self.seen.append((t, output_BH, new_state))
            return output_BH + self.added, tuple(part + self.added for part in new_state)

        return see


@pytest.mark.parametrize("memory", ["all", "recompute", "sqrt"])
def test_each_step_of_each_layer_is_seen_once_in_the_order_of_reading(memory: str) -> None:
    layer = elman.LSTM(3, 4, num_layers=2, bidirectional=True, memory=memory)
    x_TBI, watcher = torch.randn(5, 2, 3), Watcher()
    with engines.watching(watcher):
        y_TBH, (h_LBH, c_LBH) = layer(x_TBI)
    assert [how.reverse for _, how in watcher.calls] == [False, True, False, True]
    assert [t for t, *_ in watcher.seen] == [*range(5), *range(4, -1, -1)] * 2
    wanted = layer(x_TBI)
    torch.testing.assert_close(y_TBH, wanted[0])
    torch.testing.assert_close(h_LBH, wanted[1][0])
    forward = torch.stack([output for _, output, _ in watcher.seen[10:15]])
    torch.testing.assert_close(forward, y_TBH[..., :4])
    torch.testing.assert_close(watcher.seen[14][2][1], c_LBH[2])


def test_the_run_goes_on_with_what_is_returned() -> None:
    layer = elman.RNN(3, 4)
    x_TBI = torch.randn(2, 1, 3)
    with engines.watching(Watcher(0.5)):
        y_TBH, _ = layer(x_TBI)
    first, _ = layer(x_TBI[:1])
    torch.testing.assert_close(y_TBH[:1], first + 0.5)
    second, _ = layer(x_TBI[1:], y_TBH[:1])
    torch.testing.assert_close(y_TBH[1:], second + 0.5)


def test_past_a_rows_end_nothing_that_is_returned_counts() -> None:
    layer, lengths = elman.GRU(3, 4), torch.tensor([4, 1])
    x_TBI = torch.randn(4, 2, 3)
    with engines.watching(Watcher(0.5)):
        y_TBH, h_LBH = layer(x_TBI, lengths=lengths)
    assert not y_TBH[1:, 1].any()
    torch.testing.assert_close(h_LBH[0, 1], y_TBH[0, 1])


def test_zoneout_is_done_before_a_state_is_seen() -> None:
    cell, watcher = elman.GRUCell(3, 4), Watcher()
    x_TBI, start = torch.randn(2, 1, 3), torch.randn(1, 4)
    with engines.watching(watcher):
        engines.unroll(cell, x_TBI, (start,), zoneout=(torch.ones(2, 1, 4),))
    for _, output_BH, (h_BH,) in watcher.seen:
        torch.testing.assert_close(h_BH, start)
        assert output_BH is h_BH


def test_outside_the_block_nobody_watches() -> None:
    layer, watcher = elman.GRU(3, 4), Watcher()
    x_BI, state = torch.randn(2, 3), torch.zeros(1, 2, 4)
    with torch.no_grad():
        with engines.watching(watcher):
            assert not engines.steps_natively()
            layer.step(x_BI, state)
        layer.step(x_BI, state)
    assert len(watcher.seen) == 1
