"""Both topologies against torch.nn with a Linear on top: outputs and gradients by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from elman.layers import GRU, LSTM, RNN, LayerOptions
from elman.layers.pooling import POOLINGS
from elman.networks import NETWORKS, SeqToSeq, SeqToVector, build, output_width, recurrent_layer
from elman.networks.options import NetworkOptions
from elman.networks.states import carried_of, carry_on, first_state

from .conftest import M, a_decoder, compare, gradients, mixed

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
B, T, I, H, O = 4, 7, 3, 5, 2  # noqa: E741


def options(**values) -> NetworkOptions:
    return NetworkOptions.parse({"hidden": H} | values, "test")


def twins(topology, cell, **values):
    """Return our network in float64, and torch's layer and head with the same parameters."""
    torch.manual_seed(1)
    ours = build(topology, options(cell=cell, **values), I, O).double()
    layers, both = values.get("layers", 1), values.get("bidirectional", False)
    extra = {"nonlinearity": values["nonlinearity"]} if "nonlinearity" in values else {}
    layer = CELLS[cell](I, H, layers, batch_first=True, bidirectional=both, **extra).double()
    head = nn.Linear(H * (2 if both else 1), O).double()
    layer.load_state_dict(ours.recurrent.state_dict())
    head.load_state_dict(ours.head.state_dict())
    return ours, layer, head


def inputs():
    return torch.randn(B, T, I, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def compare_gradients(ours, layer, head):
    theirs = dict(layer.named_parameters()) | {
        f"head.{name}": parameter for name, parameter in head.named_parameters()
    }
    for name, parameter in ours.named_parameters():
        expected = theirs[name.removeprefix("recurrent.")].grad
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_seq_to_seq_answers_at_every_step(cell, layers) -> None:
    ours, layer, head = twins("seq-to-seq", cell, layers=layers)
    x = inputs()
    y, expected = ours(x), head(layer(x)[0])
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    weights = torch.arange(float(B * T * O), dtype=torch.float64).reshape(B, T, O)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    compare_gradients(ours, layer, head)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_seq_to_vector_answers_from_the_final_states_of_the_top_layer(
    cell, layers, bidirectional
) -> None:
    ours, layer, head = twins("seq-to-vector", cell, layers=layers, bidirectional=bidirectional)
    x = inputs()
    y = ours(x)
    states, _ = layer(x)
    # What each direction has read last: the end forwards, the beginning backwards.
    final = states[:, -1]
    if bidirectional:
        final = torch.cat([states[:, -1, :H], states[:, 0, H:]], dim=1)
    expected = head(final)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    (y**2).sum().backward()
    (expected**2).sum().backward()
    compare_gradients(ours, layer, head)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_with_lengths_each_row_is_as_if_it_stood_alone(cell, bidirectional) -> None:
    x, lengths = inputs(), torch.tensor([7, 1, 4, 6])
    x_poisoned = x.clone()
    for row, length in enumerate(lengths):
        x_poisoned[row, length:] = torch.nan
    vector, layer, head = twins("seq-to-vector", cell, bidirectional=bidirectional)
    y = vector(x_poisoned, lengths=lengths)
    for row, length in enumerate(lengths):
        states, _ = layer(x[row : row + 1, :length])
        final = states[:, -1]
        if bidirectional:
            final = torch.cat([states[:, -1, :H], states[:, 0, H:]], dim=1)
        torch.testing.assert_close(y[row], head(final)[0], rtol=1e-12, atol=1e-12)
    sequence, layer, head = twins("seq-to-seq", cell, bidirectional=bidirectional)
    y = sequence(x_poisoned, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = head(layer(x[row : row + 1, :length])[0])[0]
        torch.testing.assert_close(y[row, :length], alone, rtol=1e-12, atol=1e-12)


def test_an_answer_of_seq_to_seq_does_not_see_what_comes_later() -> None:
    network, _, _ = twins("seq-to-seq", "lstm", layers=2)
    x = inputs()
    later = x.clone()
    later[:, 4:] = 1e6
    assert torch.equal(network(x)[:, :4], network(later)[:, :4])
    assert not torch.equal(network(x)[:, 4:], network(later)[:, 4:])


def test_relu_is_handed_to_the_plain_cell() -> None:
    ours, layer, head = twins("seq-to-seq", "rnn", nonlinearity="relu")
    torch.testing.assert_close(ours(inputs()), head(layer(inputs())[0]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("topology", NETWORKS)
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_acts_before_the_head_and_between_layers_in_training_alone(
    topology, layers
) -> None:
    network = build(topology, options(cell="gru", dropout=0.5, layers=layers), I, O)
    assert network.recurrent.dropout == (0.5 if layers > 1 else 0.0)
    x = inputs().float()
    network.eval()
    plain = network(x)
    assert torch.equal(network(x), plain)
    hidden, state = network.recurrent(x)
    wanted = hidden if topology == "seq-to-seq" else state[-1]
    torch.testing.assert_close(network.head(wanted), plain)
    network.train()
    torch.manual_seed(0)
    first = network(x)
    assert not torch.equal(network(x), first)
    torch.manual_seed(0)
    assert torch.equal(network(x), first)


def test_what_build_makes() -> None:
    network = build("seq-to-vector", options(cell="lstm", layers=3, bidirectional=True), I, O)
    assert isinstance(network, SeqToVector)
    assert isinstance(network.recurrent, LSTM)
    assert network.head.weight.shape == (O, 2 * H)
    assert isinstance(build("seq-to-seq", options(cell="gru"), I, O), SeqToSeq)
    assert isinstance(build("seq-to-seq", options(cell="gru"), I, O).recurrent, GRU)
    assert isinstance(build("seq-to-seq", options(cell="rnn"), I, O).recurrent, RNN)


@pytest.mark.parametrize("cell", CELLS)
def test_real_steps_alone_are_answered_row_by_row(cell) -> None:
    torch.manual_seed(4)
    network = build("seq-to-seq", options(cell=cell, bidirectional=True), I + 2, O).double()
    x, lengths = inputs(), torch.tensor([7, 0, 4, 1])
    also = torch.randn(B, 2, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan
    y = network.real_steps(x, lengths, also)
    alone = torch.cat(
        [
            network(torch.cat([x[[row], :length], also[row].expand(1, length, -1)], -1))[0]
            for row, length in enumerate(lengths)
            if length
        ]
    )
    torch.testing.assert_close(y, alone, rtol=1e-12, atol=1e-12)
    compare(gradients(network, mixed(y)), gradients(network, mixed(alone)))
    without = build("seq-to-seq", options(cell=cell), I, O).double()
    whole = inputs()
    torch.testing.assert_close(without.real_steps(whole), without(whole).flatten(0, 1))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_several_sequences_and_a_vector_are_pooled_side_by_side(pooling) -> None:
    torch.manual_seed(4)
    layers = [
        LSTM(I, H, batch_first=True, bidirectional=True, dtype=torch.float64),
        GRU(2, 4, batch_first=True, dtype=torch.float64),
    ]
    network = SeqToVector(layers, [2 * H, 4], O, pooling=pooling, also_size=2).double()
    xs = [inputs(), torch.randn(B, 5, 2, dtype=torch.float64)]
    lengths, also = [torch.tensor([7, 3, 1, 6]), None], torch.randn(B, 2, dtype=torch.float64)
    y = network(xs, lengths, also)
    pooled = []
    for row in range(B):
        parts = []
        for layer, pool, x, real in zip(layers, network.pooling, xs, lengths, strict=True):
            hidden, state = layer(x[[row], : T if real is None else real[row]])
            final = torch.cat([*state[0][-2:]], -1) if layer.bidirectional else state[-1]
            parts.append(pool(hidden, final, None)[0])
        pooled.append(torch.cat([*parts, also[row]]))
    expected = network.head(torch.stack(pooled))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    compare(gradients(network, mixed(y)), gradients(network, mixed(expected)))
    torch.testing.assert_close(network(xs, None, also)[0], expected[0])


def test_pooling_of_the_options_and_the_names_that_saved_forecasters_have() -> None:
    network = build("seq-to-vector", options(), I, O)
    layer = {f"recurrent.{name}_l0" for name in GRU(1, 1).cells[0].weight_names}
    assert set(network.state_dict()) == layer | {"head.weight", "head.bias"}
    assert build("seq-to-vector", options(pooling="mean"), I, O).pooling[0].kind == "mean"


def test_a_layer_as_the_options_say_or_otherwise() -> None:
    given = options(cell="lstm", layers=2, dropout=0.25, bidirectional=True)
    layer = recurrent_layer(given, I)
    assert isinstance(layer, LSTM)
    assert (layer.num_layers, layer.dropout, layer.batch_first) == (2, 0.25, True)
    assert output_width(layer) == 2 * H
    other = recurrent_layer(given, I, bidirectional=False, hidden=3, layers=1)
    assert (other.num_layers, other.dropout, output_width(other)) == (1, 0.0, 3)


def test_what_goes_around_the_cells_reaches_the_layer() -> None:
    around = {
        "input_dropout": 0.1, "recurrent_dropout": 0.2, "zoneout": 0.3, "zoneout_cell": 0.4,
        "weight_drop": 0.5, "skip": "residual", "learn_state": True, "init": "orthogonal",
        "forget_bias": 1.5, "memory": "sqrt",
    }  # fmt: skip
    layer = recurrent_layer(options(cell="lstm", layers=2, **around), I)
    assert dict(layer.options) == around | {"chrono": None}
    assert recurrent_layer(options(cell="gru", chrono=9), I).options.chrono == 9
    assert set(around) | {"chrono"} == set(LayerOptions.model_fields)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("skip", ["residual", "highway"])
def test_with_skips_a_sequence_ends_with_its_last_output(skip, bidirectional) -> None:
    """Its last state knows nothing of what went past the layer."""
    torch.manual_seed(3)
    given = options(cell="gru", layers=2, skip=skip, bidirectional=bidirectional)
    network = build("seq-to-vector", given, I, O).double()
    x, lengths = torch.randn(3, 6, I, dtype=torch.float64), [6, 2, 4]
    y = network(x, lengths)
    for row, length in enumerate(lengths):
        hidden_TH, _ = network.recurrent(x[row, :length].unsqueeze(0))
        last = hidden_TH[0, -1]
        if bidirectional:
            last = torch.cat([last[:H], hidden_TH[0, 0, H:]])
        torch.testing.assert_close(y[row], network.head(last), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network(x[:1])[0], y[0], rtol=1e-12, atol=1e-12)


def test_a_learnt_state_begins_every_sequence_and_a_bridge_leaves_none_to_learn() -> None:
    generator = a_decoder(cell="lstm", learn_state=True)
    assert generator.recurrent.h_0.shape == (1, H)
    begun = generator.begin(batch=3)
    for part, learnt in zip(begun.recurrent, ("h_0", "c_0"), strict=True):
        assert torch.equal(part, generator.recurrent.get_parameter(learnt).expand(1, 3, H))
    assert "h_0" not in dict(a_decoder(M, learn_state=True).recurrent.named_parameters())
    first = first_state(generator.recurrent, 2)
    state = carry_on(generator.recurrent, carried_of(first), np.array([True, False]))
    assert all(torch.equal(part, learnt) for part, learnt in zip(state, first, strict=True))


class TestCarriedOn:
    """A sequence in chunks, the state carried from one to the next, is the sequence in one go."""

    def network(self, layer) -> SeqToSeq:
        torch.manual_seed(0)
        return SeqToSeq(layer(3, 5, num_layers=2, batch_first=True), 5, 2).double()

    @pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
    def test_outputs(self, layer) -> None:
        network, x_BTI = self.network(layer), torch.randn(2, 11, 3, dtype=torch.float64)
        expected_BTO = network(x_BTI)
        parts, carried = [], {}
        for start, stop in ((0, 4), (4, 5), (5, 11)):
            begins = np.full(2, start == 0)
            state = carry_on(network.recurrent, carried, begins)
            assert (state is None) == (start == 0)
            y_NO, state = network.advance(x_BTI[:, start:stop], state)
            parts.append(y_NO.unflatten(0, (2, stop - start)))
            carried = carried_of(state)
            assert not any(part.requires_grad for part in carried.values())
        torch.testing.assert_close(torch.cat(parts, dim=1), expected_BTO, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("layer", [GRU, LSTM])
    def test_a_row_that_begins_has_the_first_state_and_a_row_that_ended_is_left_out(
        self, layer
    ) -> None:
        network = self.network(layer)
        x_BTI = torch.randn(3, 4, 3, dtype=torch.float64)
        _, state = network.advance(x_BTI)
        later_BTI = torch.randn(2, 6, 3, dtype=torch.float64)
        begun = carry_on(network.recurrent, carried_of(state), np.array([False, True]))
        y_NO, _ = network.advance(later_BTI, begun)
        y_BTO = y_NO.unflatten(0, (2, 6))
        went_on = network(torch.cat([x_BTI[:1], later_BTI[:1]], dim=1))[:, 4:]
        torch.testing.assert_close(y_BTO[:1], went_on, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(y_BTO[1:], network(later_BTI[1:]), rtol=1e-12, atol=1e-12)
