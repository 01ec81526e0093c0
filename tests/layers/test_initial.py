"""How parameters begin: the laws of the papers, gate by gate."""

import math

import pytest
import torch
from torch import nn

from elman.cells import GRUCell, LSTMCell
from elman.layers import GRU, LSTM, RNN, Recurrent


def gates(bias, names):
    return dict(zip(names, bias.detach().chunk(len(names)), strict=True))


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
def test_orthogonal_gate_by_gate_and_the_rest_as_torch_draws_it(layer):
    torch.manual_seed(0)
    plain = layer(3, 7, num_layers=2, bidirectional=True)
    torch.manual_seed(0)
    ours = layer(3, 7, num_layers=2, bidirectional=True, init="orthogonal")
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        if name.startswith("weight_hh"):
            for block in mine.detach().chunk(len(ours.cells[0].gates)):
                torch.testing.assert_close(block @ block.T, torch.eye(7), rtol=0, atol=1e-5)
        else:
            assert torch.equal(mine, theirs), name
    blocks = ours.weight_hh_l0.detach().chunk(len(ours.cells[0].gates))
    assert all(not torch.equal(blocks[0], other) for other in blocks[1:])


def test_orthogonal_with_a_projection_and_in_16_bits():
    layer = LSTM(3, 8, proj_size=5, init="orthogonal", dtype=torch.bfloat16)
    assert layer.weight_hh_l0.dtype == torch.bfloat16
    for block in layer.weight_hh_l0.detach().float().chunk(4):
        torch.testing.assert_close(block.T @ block, torch.eye(5), rtol=0, atol=0.05)


def test_identity_is_le_jaitly_and_hinton():
    layer = RNN(40, 50, nonlinearity="relu", init="identity", num_layers=2)
    for number in range(2):
        assert torch.equal(getattr(layer, f"weight_hh_l{number}"), torch.eye(50))
        assert (getattr(layer, f"bias_ih_l{number}") == 0).all()
        assert (getattr(layer, f"bias_hh_l{number}") == 0).all()
        spread = getattr(layer, f"weight_ih_l{number}").std().item()
        assert spread == pytest.approx(0.001, rel=0.1)
    # Without input the state stays as it is, for as long as one likes.
    h = torch.rand(2, 1, 50)
    _, last = layer(torch.zeros(500, 1, 40), h)
    torch.testing.assert_close(last[0], h[0])


def test_forget_bias_is_the_sum_of_both():
    torch.manual_seed(0)
    plain = LSTM(3, 7)
    torch.manual_seed(0)
    layer = LSTM(3, 7, forget_bias=1.5)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        mine, theirs = (gates(getattr(one, name), "ifgo") for one in (layer, plain))
        for gate in "igo":
            assert torch.equal(mine[gate], theirs[gate])
    assert (gates(layer.bias_ih_l0 + layer.bias_hh_l0, "ifgo")["f"] == 1.5).all()
    assert torch.equal(layer.weight_hh_l0, plain.weight_hh_l0)


def test_chrono_of_an_lstm():
    """b_f = log u with u uniform from 1 to T_max - 1, b_i = -b_f (Tallec and Ollivier, 2018)."""
    layer = LSTM(2, 4000, chrono=785)
    sums = gates(layer.bias_ih_l0 + layer.bias_hh_l0, "ifgo")
    assert torch.equal(sums["i"], -sums["f"])
    u = sums["f"].exp().double()
    assert u.min() >= 1 - 1e-5
    assert u.max() <= 784 + 1e-2
    for share in (0.1, 0.25, 0.5, 0.9):
        found = (u < 1 + share * 783).double().mean().item()
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / 4000)


def test_chrono_of_a_gru_keeps_by_its_update_gate():
    """Here z multiplies the old state: a unit with z = 1 - 1/u forgets in about u steps."""
    layer = GRU(2, 4000, chrono=100)
    z = gates(layer.bias_ih_l0 + layer.bias_hh_l0, "rzn")["z"]
    assert z.min() >= -1e-6
    assert z.max() <= math.log(99) + 1e-5
    assert abs(z.exp().mean().item() - 50) < 2
    kept = 1 / (1 - torch.sigmoid(z))  # 1 + u steps
    torch.testing.assert_close(kept, 1 + z.exp(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"init": "orthogonal"}, {"forget_bias": 2.0}, {"chrono": 50}, {"learn_state": True}]
)
def test_reset_parameters_begins_again_as_the_options_say(options):
    torch.manual_seed(3)
    layer = LSTM(3, 5, num_layers=2, **options)
    first = {name: value.clone() for name, value in layer.state_dict().items()}
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in layer.state_dict().items())


def test_recurrent_sets_what_is_asked_and_leaves_the_cell_otherwise():
    cell = LSTMCell(3, 5)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    Recurrent(cell, num_layers=2)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    layer = Recurrent(GRUCell(3, 5), num_layers=2, bidirectional=True, init="orthogonal", chrono=9)
    for one in layer.cells:
        block = one.weight_hh.detach()[:5]
        torch.testing.assert_close(block @ block.T, torch.eye(5), rtol=0, atol=1e-5)
        assert (gates(one.bias_hh, "rzn")["z"] == 0).all()
