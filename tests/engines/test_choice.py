"""Which engine runs: chosen, forced, refused with a reason, recorded."""

import pytest
import torch

from elman import engines
from elman.cells import Cell, GRUCell, LSTMCell, RNNCell
from elman.errors import InputError

# The native engine where this build has it, else torch's kernels.
FASTEST = next(name for name, why in engines.available_engines().items() if why is None)


class Own(Cell):
    def step(self, x_BI, state):
        (h_BH,) = state
        return h_BH + x_BI, (h_BH + x_BI,)


class Doubling(RNNCell):
    """A known cell with another step."""

    def step(self, x_BI, state):
        y, state = super().step(2 * x_BI, state)
        return y, state


class Renamed(LSTMCell):
    """A known cell with everything but the step of its own."""

    def initial_state(self, batch, **options):
        return tuple(part + 1 for part in super().initial_state(batch, **options))


def run(cell, x=None, **options):
    if x is None:
        like = next(cell.parameters(), torch.empty(0))
        x = torch.randn(4, 2, cell.input_size, dtype=like.dtype)
    return engines.unroll(cell, x, cell.initial_state(2, dtype=x.dtype), **options)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (RNNCell(3, 2), FASTEST),
        (GRUCell(3, 2), FASTEST),
        (LSTMCell(3, 2), FASTEST),
        (Renamed(3, 2), FASTEST),
        (GRUCell(3, 2, reset_after=False), "native" if FASTEST == "native" else "reference"),
        (LSTMCell(3, 2).double(), "aten"),
        (GRUCell(3, 2, reset_after=False).double(), "reference"),
        (Own(2, 2), "reference"),
        (Doubling(3, 2), "reference"),
    ],
)
def test_the_fastest_that_can_is_chosen_and_recorded(cell, name):
    with engines.record() as outer:
        with engines.record() as names:
            run(cell)
        assert names == {name}
        run(RNNCell(1, 1))
    assert outer == {name, FASTEST}
    run(cell)
    assert names == {name}


def test_a_step_set_on_the_instance_is_the_one_that_runs():
    cell = Own(2, 2)
    known = RNNCell(2, 2)
    known.step = cell.step
    x = torch.ones(3, 2, 2)
    with engines.record() as names:
        y, _ = run(known, x)
    assert names == {"reference"}
    assert y[:, 0, 0].tolist() == [1, 2, 3]


def test_forcing_holds_inside_the_block_only():
    with engines.record() as names:
        with engines.engine("reference"):
            run(LSTMCell(3, 2))
            with engines.engine("aten"):
                run(LSTMCell(3, 2))
                assert names == {"reference", "aten"}
            names.clear()
            run(LSTMCell(3, 2))
        assert names == {"reference"}
        names.clear()
        run(LSTMCell(3, 2))
    assert names == {FASTEST}


def test_a_block_left_by_an_error_forces_nothing_more():
    with pytest.raises(ZeroDivisionError), engines.engine("reference"):
        raise ZeroDivisionError
    with engines.record() as names:
        run(LSTMCell(3, 2))
    assert names == {FASTEST}


@pytest.mark.parametrize(
    ("cell", "x", "reason"),
    [
        (Own(2, 2), None, "Own has a step of its own"),
        (Doubling(2, 2), None, "Doubling has a step of its own"),
        (GRUCell(2, 2, reset_after=False), None, "resets after the matrix product"),
        (RNNCell(2, 2), torch.zeros(4, 2, 2, dtype=torch.int64), "floating-point input, got"),
        (RNNCell(2, 2), torch.zeros(4, 2, 2).double(), "the parameters are torch.float32"),
    ],
)
def test_forcing_one_that_cannot_raises_its_reason(cell, x, reason):
    with (
        engines.engine("aten"),
        pytest.raises(InputError, match=f"engine 'aten' cannot run this: .*{reason}"),
    ):
        run(cell, x)


def test_forcing_one_this_machine_cannot_run_raises_at_once(monkeypatch):
    monkeypatch.setattr(engines.aten, "unavailable", lambda: "it is Sunday")
    with (
        pytest.raises(InputError, match="engine 'aten' cannot run here: it is Sunday"),
        engines.engine("aten"),
    ):
        pass
    assert engines.available_engines()["aten"] == "it is Sunday"
    x = torch.zeros(4, 2, 2, dtype=torch.float64)
    assert engines.choose(RNNCell(2, 2).double(), x) == "reference"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'reference'"), engines.engine("refrence"):
        pass
    with pytest.raises(InputError, match="did you mean 'aten'"):
        run(RNNCell(3, 2), engine="atem")


def test_every_engine_runs_somewhere():
    reasons = engines.available_engines()
    assert list(reasons) == ["native", "aten", "scan", "reference"]
    assert reasons["aten"] is None
    assert reasons["scan"] is None
    assert reasons["reference"] is None


def test_without_the_extension_the_engine_says_why_and_others_run(monkeypatch):
    monkeypatch.setattr(engines.native, "_unavailable", "its extension module is not here")
    with (
        pytest.raises(InputError, match="'native' cannot run here: its extension module"),
        engines.engine("native"),
    ):
        pass
    assert engines.choose(LSTMCell(3, 2), torch.zeros(4, 2, 3)) == "aten"


def test_vmap_goes_through_reference():
    """torch's fused kernels have no batching rule; the choice must know."""
    cell = LSTMCell(3, 2)
    x = torch.randn(5, 4, 2, 3)
    with engines.record() as names:
        y = torch.vmap(lambda one: run(cell, one)[0])(x)
    assert names == {"reference"}
    for one, expected in zip(y, x, strict=True):
        torch.testing.assert_close(one, run(cell, expected)[0])
