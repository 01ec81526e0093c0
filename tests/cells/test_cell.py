"""The base class: what a user's own cell gets from it."""

import copy
import pickle

import pytest
import torch
from torch import nn

from elman.cells import Cell, GRUCell, LSTMCell
from elman.errors import InputError


class Leaky(Cell):
    """A user's cell, with nothing in it but its own recurrence."""

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.1):
        super().__init__(input_size, hidden_size)
        self.leak = leak
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x_BI, state):
        (h_BH,) = state
        new_BH = torch.tanh(self.mix(torch.cat([x_BI, h_BH], dim=-1)))
        h_BH = (1 - self.leak) * h_BH + self.leak * new_BH
        return h_BH, (h_BH,)


class Fixed(Cell):
    """A cell that chooses its own input size."""

    def __init__(self, width):
        super().__init__(width, width)

    def step(self, x_BI, state):
        return x_BI, state


def test_a_cell_is_called_as_one_step_from_zeros():
    cell = Leaky(2, 3)
    x = torch.randn(4, 2)
    expected = 0.1 * torch.tanh(cell.mix(torch.cat([x, torch.zeros(4, 3)], dim=-1)))
    y, (h,) = cell(x)
    torch.testing.assert_close(y, expected)
    assert torch.equal(y, h)


def test_state_sizes_follow_the_names():
    assert Leaky(2, 3).state_sizes == (3,)
    lstm = LSTMCell(2, 5, proj_size=3)
    assert lstm.state_sizes == (3, 5)
    assert lstm.output_size == 3
    h, c = lstm.initial_state(4, dtype=torch.float64)
    assert torch.equal(h, torch.zeros(4, 3, dtype=torch.float64))
    assert torch.equal(c, torch.zeros(4, 5, dtype=torch.float64))


@pytest.mark.parametrize(
    "again", [lambda c: c, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_fresh_keeps_the_arguments_and_draws_anew(again):
    cell = again(Leaky(2, 3, leak=0.5).double())
    other = cell.fresh(input_size=7)
    assert (other.input_size, other.hidden_size, other.leak) == (7, 3, 0.5)
    assert other.mix.weight.dtype == torch.float64
    same = cell.fresh()
    assert same.mix.weight.shape == cell.mix.weight.shape
    assert not torch.equal(same.mix.weight, cell.mix.weight)


def test_fresh_finds_a_size_given_by_position_or_by_name():
    for cell in (
        GRUCell(2, 3, True, False),
        GRUCell(hidden_size=3, input_size=2, reset_after=False),
    ):
        other = cell.fresh(5)
        assert (other.input_size, other.hidden_size, other.reset_after) == (5, 3, False)


def test_fresh_says_when_the_constructor_has_no_input_size():
    assert Fixed(3).fresh().input_size == 3
    with pytest.raises(InputError, match="Fixed: its constructor has no argument input_size"):
        Fixed(3).fresh(4)


def test_bind_computes_with_other_tensors_and_leaves_the_cell():
    torch.manual_seed(0)
    one, two = GRUCell(2, 3), GRUCell(2, 3)
    x = torch.randn(4, 2)
    bound = one.bind({name: getattr(two, name) for name in two.weight_names})
    assert torch.equal(bound(x)[0], two(x)[0])
    assert not torch.equal(one(x)[0], two(x)[0])
    assert type(bound) is GRUCell
    bound(x)[0].sum().backward()
    assert two.weight_ih.grad is not None
    assert one.weight_ih.grad is None


def test_a_cell_without_a_step_says_so():
    with pytest.raises(NotImplementedError, match="Cell has no step"):
        Cell(1, 1)(torch.zeros(1, 1))


def test_a_module_hidden_by_the_class_is_refused():
    class Hidden(Cell):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.gates = torch.nn.Linear(input_size, hidden_size)

    with pytest.raises(InputError, match=r"Hidden\.gates.*choose another name"):
        Hidden(2, 3)
