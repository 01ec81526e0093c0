"""Encoder, bridge and decoder together, against torch's layers row by row; values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from elman.errors import InputError
from elman.networks import (
    Encoder,
    EncoderDecoder,
    Memory,
    VectorToSeq,
    beam,
    greedy,
    recurrent_layer,
    rollout,
    sample,
    vector_decoder,
)

from .conftest import H, V, a_decoder, compare, gradients, mixed, options

B, T, U, I, F = 4, 6, 5, 3, 2  # noqa: E741
READ = [torch.tensor([6, 1, 4, 3]), torch.tensor([2, 5, 1, 0])]
WRITTEN = torch.tensor([3, 5, 0, 2])
TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def normal(*shape, seed=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def poisoned(x, lengths):
    """The batch with NaN wherever nothing may be read."""
    x = x.clone()
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan
    return x


def an_encoder(input_size=I, **values):
    values = {"bidirectional": True} | values
    layer = recurrent_layer(options(**values), input_size)
    return Encoder(layer, H * (2 if values["bidirectional"] else 1)).double()


def by_torch(encoder, cell, x):
    """States and final output of one row, `(T, M)` and `(M,)`, by torch's own layer."""
    ours = encoder.recurrent
    layer = TORCH[cell](
        ours.input_size, H, ours.num_layers, bidirectional=ours.bidirectional
    ).double()
    for name, parameter in ours.named_parameters():
        layer._parameters[name] = parameter
    states, _ = layer(x)
    if not ours.bidirectional:
        return states, states[-1]
    return states, torch.cat([states[-1, :H], states[0, H:]])


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", TORCH)
def test_an_encoder_keeps_every_step_and_the_end(cell, bidirectional, layers) -> None:
    encoder = an_encoder(I + F, cell=cell, bidirectional=bidirectional, layers=layers)
    x, also = normal(B, T, I), normal(B, F, seed=7)
    memory = encoder(poisoned(x, READ[0]), READ[0], also)
    assert memory.lengths.tolist() == READ[0].tolist()
    for row, length in enumerate(READ[0]):
        appended = torch.cat([x[row, :length], also[row].expand(length, -1)], -1)
        states, final = by_torch(encoder, cell, appended)
        torch.testing.assert_close(memory.states_BSM[row, :length], states)
        assert (memory.states_BSM[row, length:] == 0).all()
        torch.testing.assert_close(memory.final_BF[row], final)


def test_memories_are_joined_row_by_row() -> None:
    parts = [
        Memory(normal(B, T, 4, seed=k).requires_grad_(), READ[k], normal(B, 2 + k))
        for k in range(2)
    ]
    joined = Memory.joined(parts)
    assert joined.lengths.tolist() == [8, 6, 5, 3]
    assert joined.states_BSM.shape == (B, 8, 4)
    for row in range(B):
        rows = [part.states_BSM[row, : part.lengths[row]] for part in parts]
        assert torch.equal(joined.states_BSM[row, : joined.lengths[row]], torch.cat(rows))
        assert (joined.states_BSM[row, joined.lengths[row] :] == 0).all()
    assert torch.equal(joined.final_BF, torch.cat([part.final_BF for part in parts], -1))
    full = Memory.joined([Memory(parts[0].states_BSM, None, parts[0].final_BF), parts[1]])
    assert full.lengths.tolist() == (READ[1] + T).tolist()
    assert Memory.joined(parts[:1]) is parts[0]


def network(**values):
    torch.manual_seed(2)
    decoder = a_decoder(2 * H, **values)
    made = EncoderDecoder([an_encoder(**values)], decoder).double()
    nn.init.normal_(made.bridge.linear.weight, std=0.5)
    return made


@pytest.mark.parametrize(
    "values",
    [
        {"cell": "gru"},
        {"cell": "lstm", "layers": 2, "attention": "multiplicative"},
        {"cell": "lstm", "input_feeding": True},
        {"cell": "rnn", "attention": "none"},
    ],
    ids=str,
)
def test_each_row_is_as_if_it_stood_alone(values) -> None:
    made = network(**values)
    x, previous = normal(B, T, I), torch.randint(0, V, (B, U))
    y = made([poisoned(x, READ[0])], [READ[0]], previous, WRITTEN)
    alone = []
    for row, (read, written) in enumerate(zip(READ[0], WRITTEN, strict=True)):
        states, final = by_torch(made.encoders[0], values["cell"], x[row, :read])
        start = torch.tanh(made.bridge.linear(final))
        layers = values.get("layers", 1)
        parts = start.view(-1, layers, 1, H)  # of an LSTM h, then c; each by layer
        state = tuple(parts) if values["cell"] == "lstm" else parts[0]
        memory = Memory(states.unsqueeze(0), None, final.unsqueeze(0))
        if written:
            state = made.decoder.begin(state, memory)
            alone.append(made.decoder(previous[[row], :written], state)[0])
    alone = torch.cat(alone)
    torch.testing.assert_close(y, alone, rtol=1e-10, atol=1e-12)
    compare(gradients(made, mixed(y)), gradients(made, mixed(alone)))


def test_several_encoders_and_a_vector() -> None:
    values = {"cell": "lstm"}
    decoder = a_decoder(2 * H, **values)
    made = EncoderDecoder([an_encoder(I, **values), an_encoder(4, **values)], decoder, F).double()
    xs, also = [normal(B, T, I), normal(B, T - 1, 4, seed=8)], normal(B, F, seed=7)
    previous = torch.randint(0, V, (B, U))
    padded = [poisoned(x, lengths) for x, lengths in zip(xs, READ, strict=True)]
    y = made(padded, READ, previous, WRITTEN, also)
    rows = [row for row in range(B - 1) if WRITTEN[row]]  # the last has nothing to read in one
    alone = [
        made(
            [x[[row], : lengths[row]] for x, lengths in zip(xs, READ, strict=True)],
            [None, None],
            previous[[row], : WRITTEN[row]],
            None,
            also[[row]],
        )
        for row in rows
    ]
    by_row = y.split(WRITTEN.tolist())
    for got, wanted in zip([by_row[row] for row in rows], alone, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    assert by_row[-1].isfinite().all()
    state = made.begin(padded, READ, also)
    y_first, state = decoder.step(previous[:, 0], state)
    torch.testing.assert_close(y_first[0], by_row[0][0])
    # Row 0 reads six steps of the one, and two of the other.
    assert (state.weights_BS[0] > 0).tolist() == [True] * 8
    finals = [e(x, n).final_BF for e, x, n in zip(made.encoders, padded, READ, strict=True)]
    start = torch.tanh(made.bridge.linear(torch.cat([*finals, also], -1)))
    begun = made.begin(padded, READ, also).recurrent
    torch.testing.assert_close(torch.cat(begun, -1)[0], start)


def test_all_of_it_runs_where_its_parameters_are(device) -> None:
    values = {"cell": "gru", "layers": 2}
    encoders = [an_encoder(I, **values), an_encoder(4, **values)]
    xs = [normal(B, T, I).float().to(device), normal(B, T - 1, 4).float().to(device)]
    also, previous = normal(B, F).float().to(device), torch.randint(0, V, (B, U), device=device)
    for more in ({}, {"input_feeding": True}, {"attention": "multiplicative", "tied": True}):
        decoder = a_decoder(2 * H, **values, **more)
        made = EncoderDecoder(encoders, decoder, F).float().to(device)
        for share in (0.0, 0.5):
            y = made(xs, READ, previous, WRITTEN, also, share)
            assert y.shape == (int(WRITTEN.sum()), V)
            assert all(g.isfinite().all() for g in gradients(made, y.square().mean()).values())
        made.eval()
        state = made.begin(xs, READ, also)
        how = {"start": 0, "end": 1, "longest": 5}
        chosen = greedy(decoder, state, **how)
        searched = beam(decoder, state, width=1, **how)
        assert [one.tokens for (one,) in chosen] == [one.tokens for (one,) in searched]
        assert len(beam(decoder, state, width=3, n_best=2, **how)) == B
        assert len(sample(decoder, state, top_k=3, top_p=0.9, **how)) == B
        made.train()
    vectors = vector_decoder(options(**values), 3, context_size=F)
    drawn = VectorToSeq(F, vectors).to(device)
    assert drawn(also, normal(B, U, 3).float().to(device), WRITTEN).shape == (10, 3)
    start = torch.zeros(B, 3, device=device)
    assert rollout(vectors, drawn.begin(also), start_BW=start, steps=2).shape == (B, 2, 3)


@pytest.mark.parametrize("start_with", ["state", "every-step", "both"])
def test_a_vector_starts_a_sequence(start_with) -> None:
    fed = start_with != "state"
    decoder = a_decoder(0, F if fed else 0, cell="lstm", layers=2)
    made = VectorToSeq(F, decoder, start_with).double()
    v, previous = normal(B, F), torch.randint(0, V, (B, U))
    y = made(v, previous, WRITTEN)
    layer = nn.LSTM(decoder.recurrent.input_size, H, 2, batch_first=True).double()
    for name, parameter in decoder.recurrent.named_parameters():
        layer._parameters[name] = parameter
    zeros = torch.zeros(2, 2, 1, H, dtype=torch.float64)
    written = []
    for row, length in enumerate(WRITTEN):
        if not length:
            continue
        h, c = zeros
        if start_with != "every-step":
            h, c = torch.tanh(made.bridge.linear(v[row])).view(2, 2, 1, H)
        x = decoder.embed(previous[row, :length])
        if fed:
            x = torch.cat([x, v[row].expand(length, -1)], -1)
        hidden, _ = layer(x.unsqueeze(0), (h.contiguous(), c.contiguous()))
        written.append(decoder.output(hidden[0]))
    expected = torch.cat(written)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    compare(gradients(made, mixed(y)), gradients(made, mixed(expected)))
    assert made.begin(v).rows == B


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="its context_size has to be 2, got 0"):
        VectorToSeq(F, a_decoder(), "both")
    with pytest.raises(InputError, match="its context_size has to be 0, got 2"):
        VectorToSeq(F, a_decoder(0, F), "state")
    with pytest.raises(InputError, match="did you mean 'every-step'"):
        VectorToSeq(F, a_decoder(), "every step")
