"""Backpropagation through time, worked by hand on a network of one neuron and two steps."""

from __future__ import annotations

import pytest
import torch

import elman
from elman.data.batch import Batch
from elman.kinds.forecasting.forecaster import answer
from elman.kinds.scaling import Scaling
from elman.kinds.targets.forecast import Forecast
from elman.networks import SeqToSeq, SeqToVector

# One relu neuron reads x = (1, 2) with input weight w = 0.5 and recurrent weight u = 2, no bias:
#   h1 = relu(0.5 * 1 + 2 * 0)   = 0.5
#   h2 = relu(0.5 * 2 + 2 * 0.5) = 2
# The head doubles what it reads (v = 2): answers y = (1, 4), for the targets (2, 1).
# The loss is the mean squared error over both steps: ((1 - 2)^2 + (4 - 1)^2) / 2 = 5.
#   dL/dy1 = (1 - 2) = -1,  dL/dy2 = (4 - 1) = 3
#   dL/dv  = -1 * h1 + 3 * h2       = -0.5 + 6 = 5.5
#   dL/dh2 = 3 * v = 6
#   dL/dh1 = -1 * v + dL/dh2 * u    = -2 + 12 = 10      from its own answer, and through time
#   dL/dw  = dL/dh1 * x1 + dL/dh2 * x2 = 10 + 12 = 22
#   dL/du  = dL/dh2 * h1            = 3
#   dL/dx1 = dL/dh1 * w = 5,  dL/dx2 = dL/dh2 * w = 3
ALL_STEPS = {"w": 22.0, "u": 3.0, "v": 5.5, "x": [5.0, 3.0], "loss": 5.0}
# With the last answer alone in the loss, (4 - 1)^2 = 9: dL/dy2 = 6, dL/dh2 = 12, dL/dh1 = 24.
LAST_STEP = {"w": 24.0 + 24.0, "u": 6.0, "v": 12.0, "x": [12.0, 6.0], "loss": 9.0}


@pytest.mark.parametrize("engine", ["reference", "aten"])
@pytest.mark.parametrize(
    ("network_type", "expected"), [(SeqToSeq, ALL_STEPS), (SeqToVector, LAST_STEP)]
)
def test_two_steps_by_hand(engine, network_type, expected):
    recurrent = elman.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    network = network_type(recurrent, 1, 1).double()
    with torch.no_grad():
        recurrent.weight_ih_l0.fill_(0.5)
        recurrent.weight_hh_l0.fill_(2.0)
        network.head.weight.fill_(2.0)
        network.head.bias.zero_()
    x_BTI = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64, requires_grad=True)
    target_BSNC = torch.tensor([2.0, 1.0], dtype=torch.float64).reshape(1, 2, 1, 1)
    if network_type is SeqToVector:
        target_BSNC = target_BSNC[:, -1:]
    forecast = Forecast(("y",), 1, (), "mse", None, Scaling(("y",), {}))
    batch = Batch(x_BTI, target_BSNC)
    with elman.engine(engine):
        output = network(x_BTI)
        output = output if output.dim() == 3 else output.unsqueeze(1)
        loss = forecast.loss(output, batch)
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"])
    assert recurrent.weight_ih_l0.grad.item() == pytest.approx(expected["w"])
    assert recurrent.weight_hh_l0.grad.item() == pytest.approx(expected["u"])
    assert network.head.weight.grad.item() == pytest.approx(expected["v"])
    assert x_BTI.grad.flatten().tolist() == pytest.approx(expected["x"])


def test_bf16_answers_near_float32():
    torch.manual_seed(0)
    network = SeqToSeq(elman.GRU(3, 16, batch_first=True), 16, 2)
    batch = Batch(torch.randn(4, 9, 3), torch.zeros(4, 9, 1, 2))
    exact, rough = answer(network, batch, "float32"), answer(network, batch, "bf16")
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(exact, rough, rtol=0, atol=0.02)
