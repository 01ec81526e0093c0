"""How a cell's parameters begin, where it is not as torch draws them.

    orthogonal    each gate's block of W_hh is orthogonal                  Saxe et al. (2014)
    identity      W_hh = I, b = 0, W_ih ~ N(0, 0.001²), with relu          Le, Jaitly, Hinton (2015)
    forget bias   b_f = the number asked for                               Gers et al. (2000)
    chrono        b_f = log u, b_i = -b_f, u ~ U(1, T_max - 1)             Tallec, Ollivier (2018)
                  of a GRU's update gate b_z = log u, as z keeps the state

Where a cell adds two biases, these are what `bias_ih` holds, and the other's part is zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell, GatedCell, GRUCell, LSTMCell, RNNCell
from elman.errors import InputError
from elman.layers.options import LayerOptions

_SMALL = 0.001  # Le et al.'s standard deviation of what is not recurrent


def refusal(options: LayerOptions, cell: Cell) -> InputError | None:
    """Return why these options mean nothing to a cell, or None."""
    kind = type(cell).__name__
    gated = isinstance(cell, GatedCell)
    only_lstm = "only an LSTM has one"
    problems = {
        "recurrent_dropout": (not gated, f"of {kind} it is not known what meets recurrent weights"),
        "weight_drop": (not gated, f"of {kind} it is not known which weights are recurrent"),
        "zoneout": (
            cell.output_size != cell.state_sizes[0],
            f"the output of {kind} is not its state {cell.state_names[0]}",
        ),
        "zoneout_cell": (
            "c" not in cell.state_names[1:],
            f"{kind} has no state c beside its first one; for that there is zoneout",
        ),
        "forget_bias": (not isinstance(cell, LSTMCell), f"{kind} has no forget gate; {only_lstm}"),
        "chrono": (
            not isinstance(cell, LSTMCell | GRUCell),
            f"{kind} has no gates of LSTM or GRU; MinGRU, MinLSTM and IndRNN take it as cells",
        ),
    }
    fields = type(options).model_fields
    for name, (wrong, why) in problems.items():
        value = getattr(options, name)
        if wrong and value != fields[name].default:
            return InputError(f"{name}={value}: {why}; leave it out")
    for name in ("forget_bias", "chrono"):
        if getattr(options, name) is not None and not cell.bias:
            return InputError(f"{name}: a bias, and the cell has none; use bias=True")
    if options.forget_bias is not None and options.chrono is not None:
        return InputError("forget_bias: chrono sets the same biases; leave one of them out")
    if options.init == "orthogonal" and not gated:
        return InputError(
            f"init='orthogonal': of {kind} it is not known which weights are recurrent"
        )
    relu = isinstance(cell, RNNCell) and cell.nonlinearity == "relu"
    if options.init == "identity" and not relu:
        what = "RNNCell with tanh" if isinstance(cell, RNNCell) else kind
        return InputError(
            f"init='identity': for a plain RNN with nonlinearity='relu', got {what}; "
            "init='orthogonal' is for every cell"
        )
    return None


@torch.no_grad()
def initialise(cell: Any, options: LayerOptions) -> None:
    """Set what the options ask for in a cell whose parameters were drawn as torch draws them."""
    if options.init == "orthogonal":
        for block in cell.weight_hh.chunk(len(cell.gates)):
            # In float32, for there is no QR decomposition in 16 bits.
            block.copy_(nn.init.orthogonal_(torch.empty(block.shape, device=block.device)))
    elif options.init == "identity":
        nn.init.eye_(cell.weight_hh)
        nn.init.normal_(cell.weight_ih, 0.0, _SMALL)
        for bias in (cell.bias_ih, cell.bias_hh) if cell.bias else ():
            nn.init.zeros_(bias)
    if options.forget_bias is not None:
        _set_bias(cell, "f", options.forget_bias)
    if options.chrono is not None:
        keeps = "z" if isinstance(cell, GRUCell) else "f"
        drawn_H = torch.empty(cell.hidden_size, device=cell.weight_hh.device)
        drawn_H = drawn_H.uniform_(1, options.chrono - 1).log()
        _set_bias(cell, keeps, drawn_H)
        if keeps == "f":
            _set_bias(cell, "i", -drawn_H)


def _set_bias(cell: Any, gate: str, value: float | Tensor) -> None:
    place = cell.gates.index(gate)
    for bias, number in ((cell.bias_ih, value), (cell.bias_hh, 0.0)):
        bias.chunk(len(cell.gates))[place].copy_(torch.as_tensor(number))
