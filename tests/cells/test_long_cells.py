"""The cells for long sequences: steps worked by hand, gradients, what is drawn, what is refused."""

import math

import pytest
import torch

from elman.cells import Cell, IndRNNCell, LinearCell, LRUCell, MinGRUCell, MinLSTMCell
from elman.errors import InputError

LINEAR = {"mingru": MinGRUCell, "minlstm": MinLSTMCell, "lru": LRUCell}
ALL = LINEAR | {
    "indrnn": IndRNNCell,
    "indrnn tanh": lambda i, h: IndRNNCell(i, h, "tanh"),
    "lru without glu": lambda i, h: LRUCell(i, h, glu=False),
}
LOG_3 = math.log(3)  # σ(ln 3) = 3/4, σ(-ln 3) = 1/4


def filled(cell, **values):
    """Return the cell in float64, its parameters set row by row."""
    cell = cell.double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            numbers = torch.tensor(values[name], dtype=torch.float64)
            parameter.copy_(numbers.reshape(parameter.shape))
    return cell


def two_steps(cell, *state):
    """Return outputs and states of the inputs 1 and -1."""
    outputs, states = [], []
    now = (torch.tensor([state], dtype=torch.float64),)
    for x in (1.0, -1.0):
        y, now = cell.step(torch.tensor([[x]], dtype=torch.float64), now)
        outputs.append(y[0].tolist())
        states.append(now[0][0].tolist())
    return outputs, states


def test_mingru_by_hand():
    # z = σ(ln 3 · x), h~ = 2x + 1, h = 1:
    #   x = 1:   z = 3/4, h~ = 3,  h = 1/4 · 1 + 3/4 · 3 = 2.5
    #   x = -1:  z = 1/4, h~ = -1, h = 3/4 · 2.5 - 1/4 = 1.625
    cell = filled(MinGRUCell(1, 1), weight_ih=[LOG_3, 2.0], bias_ih=[0.0, 1.0])
    outputs, states = two_steps(cell, 1.0)
    assert outputs == states
    assert [h for (h,) in states] == pytest.approx([2.5, 1.625], abs=1e-14)


def test_minlstm_by_hand():
    # f = σ(ln 3 · x), i = 1/2, h~ = 2x + 1, h = 1:
    #   x = 1:   f' = (3/4) / (5/4) = 3/5, i' = 2/5, h~ = 3,  h = 3/5 + 6/5 = 9/5
    #   x = -1:  f' = (1/4) / (3/4) = 1/3, i' = 2/3, h~ = -1, h = 3/5 - 2/3 = -1/15
    cell = filled(MinLSTMCell(1, 1), weight_ih=[LOG_3, 0.0, 2.0], bias_ih=[0.0, 0.0, 1.0])
    outputs, states = two_steps(cell, 1.0)
    assert outputs == states
    assert [h for (h,) in states] == pytest.approx([9 / 5, -1 / 15], abs=1e-14)


ONE_LRU = {
    "nu_log": [math.log(-math.log(0.5))],  # λ = 0.5i
    "theta_log": [math.log(math.pi / 2)],
    "gamma_log": [math.log(2.0)],
    "weight_ih": [1.0, 2.0],  # B = 1 + 2i
    "weight_out": [3.0, -4.0],  # C = 3 + 4i
    "weight_skip": [5.0],
}


def test_lru_by_hand():
    # h = 1:
    #   x = 1:   h = 0.5i + 2 (1 + 2i) = 2 + 4.5i;           y = Re((3 + 4i)(2 + 4.5i)) + 5 = -7
    #   x = -1:  h = 0.5i (2 + 4.5i) - 2 - 4i = -4.25 - 3i;  y = -12.75 + 12 - 5 = -5.75
    outputs, states = two_steps(filled(LRUCell(1, 1, glu=False), **ONE_LRU), 1.0, 0.0)
    assert states[0] == pytest.approx([2, 4.5], abs=1e-14)
    assert states[1] == pytest.approx([-4.25, -3], abs=1e-14)
    assert [y for (y,) in outputs] == pytest.approx([-7, -5.75], abs=1e-13)


def test_lrus_block_by_hand():
    # y = x; u = (GELU(y), ln 3), o = GELU(y) · 3/4, with GELU(1) = Φ(1) = 0.8413447460685429
    values = ONE_LRU | {
        "weight_out": [0.0, 0.0],
        "weight_skip": [1.0],
        "weight_glu": [1.0, 0.0],
        "bias_glu": [0.0, LOG_3],
    }
    outputs, _ = two_steps(filled(LRUCell(1, 1), **values), 1.0, 0.0)
    phi = 0.8413447460685429
    assert [o for (o,) in outputs] == pytest.approx([0.75 * phi, 0.75 * (phi - 1)], abs=1e-14)


def test_indrnn_by_hand():
    # W = 2, u = -0.5, b = 1, h = 4:  relu: 2 - 2 + 1 = 1, then relu(-2 - 0.5 + 1) = 0
    #                                 tanh: t = tanh(1), then tanh(-1 - t / 2)
    values = {"weight_ih": [2.0], "weight_hh": [-0.5], "bias_ih": [1.0]}
    outputs, states = two_steps(filled(IndRNNCell(1, 1), **values), 4.0)
    assert outputs == states == [[1.0], [0.0]]
    outputs, _ = two_steps(filled(IndRNNCell(1, 1, "tanh"), **values), 4.0)
    t = math.tanh(1)
    assert [h for (h,) in outputs] == pytest.approx([t, math.tanh(-1 - t / 2)], abs=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_gradcheck_of_a_step(name):
    torch.manual_seed(1)
    cell = ALL[name](3, 4).double()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    (h,) = (torch.randn(2, size, dtype=torch.float64) for size in cell.state_sizes)
    names = [each for each, _ in cell.named_parameters()]

    def step(x, h, *weights):
        y, (new,) = cell.bind(dict(zip(names, weights, strict=True))).step(x, (h,))
        return y, new

    assert torch.autograd.gradcheck(step, (x, h.requires_grad_(), *cell.parameters()))


@pytest.mark.parametrize("value", [1e3, -1e3, torch.inf])
@pytest.mark.parametrize("kind", [MinGRUCell, MinLSTMCell])
def test_shut_and_open_gates_are_shares_still(kind, value):
    """Both of minLSTM's gates shut: f / (f + i) would be 0 / 0."""
    cell = kind(1, 3)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.fill_(value if math.isfinite(value) else 1e30)
        cell.bias_ih[-3:] = 2.0
    keep, take = cell.coefficients(torch.zeros(1, 1))
    assert torch.isfinite(keep).all()
    torch.testing.assert_close(keep + take / 2, torch.ones(1, 3))
    if kind is MinLSTMCell:
        torch.testing.assert_close(keep, torch.full((1, 3), 0.5))


@pytest.mark.parametrize("kind", [MinGRUCell, MinLSTMCell])
def test_chrono_draws_memories_up_to_so_many_steps(kind):
    torch.manual_seed(2)
    cell = kind(1, 4000, chrono=50)
    keep, _ = cell.double().coefficients(torch.zeros(1, 1, dtype=torch.float64))
    # A state is kept by u / (1 + u), u from U(1, 49).
    steps = (keep / (1 - keep)).flatten().detach()
    assert 1 <= steps.min() < 1.1
    assert 48.9 < steps.max() < 49.01
    assert steps.mean() == pytest.approx(25, abs=0.7)


def test_the_ring():
    torch.manual_seed(3)
    cell = LRUCell(1, 20_000, r_min=0.6, r_max=0.8, max_phase=1.0)
    real, imaginary = (part.detach() for part in cell.decay())
    radius, angle = torch.hypot(real, imaginary), torch.atan2(imaginary, real)
    assert 0.6 <= radius.min() < 0.601
    assert 0.799 < radius.max() <= 0.8
    # Uniform over the area: the mean of |λ|² is the middle of its bounds.
    assert radius.square().mean() == pytest.approx((0.36 + 0.64) / 2, abs=0.003)
    assert angle.min() >= 0
    assert angle.mean() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(torch.exp(cell.gamma_log.detach()), (1 - radius**2).sqrt())


def test_lrus_state_is_as_large_as_its_input_whatever_it_remembers():
    torch.manual_seed(4)
    for r_min, r_max in ((0.1, 0.2), (0.99, 0.995)):
        cell = LRUCell(16, 64, r_min, r_max)
        a, b = cell.coefficients(torch.randn(3000, 16))
        h = torch.zeros(64, dtype=b.dtype)
        squares = []
        for b_t in b.detach():
            h = a.detach() * h + b_t
            squares.append(h.abs().square().mean())
        assert torch.stack(squares[1000:]).mean() == pytest.approx(1, abs=0.3)


def test_indrnns_recurrent_weights():
    torch.manual_seed(5)
    plain, long = IndRNNCell(1, 5000).weight_hh, IndRNNCell(1, 5000, chrono=100).weight_hh
    assert 0 <= plain.min() < 0.01
    assert 0.99 < plain.max() <= 1
    powers = long.double() ** 100
    assert 0.5 <= powers.min() < 0.51
    assert 1.98 < powers.max() < 2.001


class Decay(LinearCell):
    def coefficients(self, x):
        return torch.tensor(0.5), x


def test_a_users_linear_cell_steps():
    y, (h,) = Decay(2, 2)(torch.tensor([[1.0, 2.0]]), (torch.tensor([[4.0, 0.0]]),))
    assert y.tolist() == h.tolist() == [[3.0, 2.0]]
    with pytest.raises(NotImplementedError, match="LinearCell has no coefficients"):
        LinearCell(1, 1)(torch.zeros(1, 1))


def test_whose_output_is_the_state():
    assert Cell(1, 1).output_is_state
    assert MinGRUCell(1, 1).output_is_state
    assert not LRUCell(1, 1).output_is_state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinGRUCell(2, 3, bias=1), "bias: expected True or False, got 1"),
        (lambda: MinLSTMCell(2, 3, chrono=1), "chrono: expected the longest time .* got 1"),
        (lambda: MinGRUCell(2, 3, False, chrono=9), "chrono=9 draws the gates' biases, and bias="),
        (lambda: IndRNNCell(2, 3, chrono=True), "chrono: expected .* got True"),
        (lambda: IndRNNCell(2, 3, "rleu"), "did you mean 'relu'"),
        (lambda: LRUCell(2, 3, r_max=1.0), "0 <= r_min < r_max < 1, .* got 0.9 and 1.0"),
        (lambda: LRUCell(2, 3, 0.9, 0.8), "r_min, r_max: expected 0 <= r_min < r_max < 1"),
        (lambda: LRUCell(2, 3, max_phase=7), "max_phase: expected above 0, to 2π, got 7"),
        (lambda: LRUCell(2, 3, r_min="0"), "r_min: expected a number, got '0'"),
        (lambda: LRUCell(2, 3, glu=2), "glu: expected True or False, got 2"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
