"""The whole diagnosis of networks that fail in known ways, and what its JSON holds."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.diagnosis import diagnose


class AtEnd(nn.Module):
    """Answers after the last step, as a seq-to-vector network does."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.recurrent = layer
        self.head = nn.Linear(8, 1)

    def forward(self, x_BTI: Tensor) -> Tensor:
        return self.head(self.recurrent(x_BTI)[0][:, -1])[:, 0]


def _adding(steps: int) -> tuple[Tensor, Tensor]:
    """Return the adding problem: the sum of the two numbers that are marked (Hochreiter 1997)."""
    x_BTI = torch.rand(8, steps, 2)
    x_BTI[..., 1] = 0
    x_BTI[:, [3, steps // 2 + 3], 1] = 1
    return x_BTI, (x_BTI[..., 0] * x_BTI[..., 1]).sum(1)


def test_a_tanh_rnn_on_200_steps_cannot_learn_and_is_told_what_can() -> None:
    x_BTI, truth_B = _adding(200)
    network = AtEnd(elman.RNN(2, 8, batch_first=True))
    found = diagnose(network, x_BTI, lambda y_B: (y_B - truth_B).square())
    worst = found.findings[0]
    assert (worst.rule, worst.severity) == ("vanishing", "warning")
    assert "--cell lstm" in worst.options
    assert found.headline.startswith("This network remembers about ")
    assert found.layers[0].flow.halved is not None
    assert found.layers[0].flow.halved < 20


def test_an_identity_of_rectified_units_keeps_its_gradient() -> None:
    layer = elman.RNN(2, 8, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        nn.init.eye_(layer.weight_hh_l0)
        nn.init.constant_(layer.weight_ih_l0, 0.01)
        nn.init.zeros_(layer.bias_ih_l0)
        nn.init.zeros_(layer.bias_hh_l0)
    x_BTI, truth_B = _adding(100)
    found = diagnose(AtEnd(layer), x_BTI, lambda y_B: (y_B - truth_B).square())
    assert found.layers[0].flow.ratio(99) == pytest.approx(1, rel=1e-4)
    assert found.layers[0].stretch.growth == pytest.approx(0, abs=1e-4)
    assert "have not halved after 99 steps" in found.headline
    assert not [each for each in found.findings if "vanish" in each.rule]


def test_weights_that_are_too_large_explode() -> None:
    layer = elman.RNN(2, 8, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1.2 * torch.eye(8))
        layer.weight_ih_l0.abs_()
        layer.bias_ih_l0.abs_()
        layer.bias_hh_l0.abs_()
    x_BTI, truth_B = _adding(60)
    found = diagnose(
        AtEnd(layer), x_BTI, lambda y_B: (y_B - truth_B).square(), options={"clip_norm": 0.0}
    )
    (finding,) = [each for each in found.findings if each.rule == "exploding"]
    assert "--clip-norm 1" in finding.options
    assert found.layers[0].stretch.growth == pytest.approx(0.1823, abs=1e-3)  # ln 1.2


def test_json_holds_all_of_it() -> None:
    layer = elman.LSTM(2, 8, num_layers=2, bidirectional=True)
    found = diagnose(layer, torch.randn(30, 4, 2))
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["headline"] == found.headline
    names = ["layer 1, forward", "layer 1, backward", "layer 2, forward", "layer 2, backward"]
    assert [layer["name"] for layer in document["layers"]] == names
    first = document["layers"][0]
    assert first["cell"] == "LSTMCell"
    assert len(first["curve"]) == first["reach"] + 1 == 30
    assert len(first["map"]["norms"]) == len(first["map"]["asked"]) == 8
    assert first["activations"][0]["name"] == "forget gate"
    assert set(first["ratios"]) == {"1", "10", "29"}
    assert document["influences"][0]["lags"][:3] == [0, 1, 2]
    assert [each["gate"] for each in first["weights"]] == ["i", "f", "g", "o"]


def test_one_step_has_nothing_to_remember() -> None:
    found = diagnose(elman.GRU(2, 3), torch.randn(1, 4, 2))
    assert found.headline == "It reads one step: there is nothing to remember."
    assert found.findings == ()


class Leaky(elman.Cell):
    """A cell of a user's, without gates."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x_BI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        (h_BH,) = state
        h_BH = 0.9 * h_BH + 0.1 * torch.tanh(self.mix(torch.cat([x_BI, h_BH], dim=-1)))
        return h_BH, (h_BH,)


def test_a_users_cell() -> None:
    found = diagnose(elman.Recurrent(Leaky(3, 4), num_layers=2), torch.randn(25, 4, 3))
    assert [layer.cell for layer in found.layers] == ["Leaky", "Leaky"]
    (tanh,) = found.layers[0].activations
    assert (tanh.name, tanh.kind) == ("tanh", "tanh")
    assert found.layers[0].weights == ()
    assert found.layers[0].stretch.radius is not None
