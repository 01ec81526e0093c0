"""The decoder: its ways of running agree, rows are as if alone, and the equations are Luong's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elman.errors import InputError
from elman.layers import GRU
from elman.networks import Decoder, Memory, token_decoder, vector_decoder

from .conftest import E, H, M, V, a_decoder, compare, gradients, mixed, options

B, U, S, C = 4, 5, 6, 3
LENGTHS = torch.tensor([3, 5, 0, 2])
READ = torch.tensor([6, 2, 4, 1])
KINDS = [
    {},
    {"attention": "none"},
    {"attention": "multiplicative"},
    {"input_feeding": True},
    {"input_feeding": True, "attention": "multiplicative", "layers": 2},
    {"tied": True},
    {"tied": True, "layers": 2},
]


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def tokens(batch=B, steps=U):
    return torch.randint(0, V, (batch, steps), generator=torch.Generator().manual_seed(7))


def begun(decoder, batch=B, rows=slice(None)):
    """A state with memory, context and a first state that are not zero."""
    parts = tuple(normal(decoder.recurrent.num_layers, batch, H) for _ in decoder_names(decoder))
    parts = tuple(part[:, rows] for part in parts)
    state = parts if len(parts) > 1 else parts[0]
    memory = None
    if decoder.attention is not None:
        memory = Memory(normal(batch, S, M)[rows], READ[:batch][rows], normal(batch, M)[rows])
    context = normal(batch, C)[rows] if decoder.context_size else None
    return decoder.begin(state, memory, context)


def decoder_names(decoder):
    return decoder.recurrent.cells[0].state_names


def one_by_one(decoder, state, previous):
    """Each step by `step`: `y_BUO`, and the states after each."""
    outputs, states = [], [state]
    for step in range(previous.shape[1]):
        y, state = decoder.step(previous[:, step], state)
        outputs.append(y)
        states.append(state)
    return torch.stack(outputs, 1), states


def agree(state, row, other, at):
    """A row of one state has the values of a row of another."""
    for ours, theirs in zip(state.recurrent, other.recurrent, strict=True):
        torch.testing.assert_close(ours[:, row], theirs[:, at], rtol=1e-10, atol=1e-12)
    for name in ("weights_BS", "fed_RH", "context_RC"):
        ours, theirs = getattr(state, name), getattr(other, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours[row], theirs[at], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("context", [0, C])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_all_steps_and_one_at_a_time_agree_with_states_and_gradients(kind, cell, context) -> None:
    decoder = a_decoder(M, context, cell=cell, **kind)
    previous = tokens()
    stepped, states = one_by_one(decoder, begun(decoder), previous)
    expected = torch.cat([stepped[row, :length] for row, length in enumerate(LENGTHS)])
    y, after = decoder(previous, begun(decoder), LENGTHS)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    for row, length in enumerate(LENGTHS):
        agree(after, row, states[length], row)
    compare(gradients(decoder, mixed(y)), gradients(decoder, mixed(expected)))
    # The loop that scheduled sampling needs, though it never draws its own.
    loop, after = decoder._step_by_step(previous, begun(decoder), LENGTHS, 0.0)
    torch.testing.assert_close(loop, expected, rtol=1e-10, atol=1e-12)
    for row, length in enumerate(LENGTHS):
        agree(after, row, states[length], row)
    compare(gradients(decoder, mixed(loop)), gradients(decoder, mixed(expected)))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_row_is_as_if_it_stood_alone(kind) -> None:
    decoder = a_decoder(M, cell="lstm", **kind)
    previous = tokens()
    y, _ = decoder(previous, begun(decoder), LENGTHS)
    alone = [
        decoder(previous[[row], :length], begun(decoder, rows=[row]))[0]
        for row, length in enumerate(LENGTHS)
        if length
    ]
    torch.testing.assert_close(y, torch.cat(alone), rtol=1e-10, atol=1e-12)
    compare(gradients(decoder, mixed(y)), gradients(decoder, mixed(torch.cat(alone))))


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_the_equations_of_luong_with_torch_s_own_cell(kind, input_feeding) -> None:
    decoder = a_decoder(M, C, cell="lstm", attention=kind, input_feeding=input_feeding)
    cell = nn.LSTMCell(E + C + (H if input_feeding else 0), H).double()
    named = dict(decoder.named_parameters())
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        delattr(cell, name)
        setattr(cell, name, named[f"recurrent.{name}_l0"])
    start, previous, row = begun(decoder), tokens(), 1
    memory = start.attended.states_BSM[row, : READ[row]]
    h, c = (part[0, row] for part in start.recurrent)
    fed, written = torch.zeros(H, dtype=torch.float64), []
    for token in previous[row]:
        x = [named["embed.weight"][token], start.context_RC[row]] + [fed] * input_feeding
        h, c = cell(torch.cat(x), (h, c))
        if kind == "additive":
            query, key = named["attention.score.query.weight"], named["attention.score.key.weight"]
            hidden = torch.tanh(query @ h + memory @ key.T + named["attention.score.key.bias"])
            weights = (hidden @ named["attention.score.energy.weight"][0]).softmax(0)
        else:
            weights = (memory @ named["attention.score.key.weight"].T @ h).softmax(0)
        fed = torch.tanh(named["merge.weight"] @ torch.cat([h, weights @ memory]))
        written.append(named["output.weight"] @ fed + named["output.bias"])
    expected = torch.stack(written)
    y, after = decoder(previous, begun(decoder), [0, U, 0, 0])
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(after.weights_BS[row, : READ[row]], weights)
    assert (after.weights_BS[row, READ[row] :] == 0).all()
    compare(gradients(decoder, mixed(y)), gradients(decoder, mixed(expected)))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_language_model_in_pieces_is_one_long_pass(cell) -> None:
    model = a_decoder(cell=cell, layers=2)
    previous = tokens(3, 9)
    whole, after = model(previous, model.begin(batch=3))
    pieces, state = [], model.begin(batch=3)
    for part in previous.split([4, 1, 4], dim=1):
        y, state = model(part, state)
        pieces.append(y.unflatten(0, (3, -1)))
    torch.testing.assert_close(torch.cat(pieces, 1).flatten(0, 1), whole, rtol=1e-10, atol=1e-12)
    for row in range(3):
        agree(state, row, after, row)
    assert all(part.requires_grad for part in state.recurrent)
    assert not any(part.requires_grad for part in state.detach().recurrent)
    # The model itself: embedding, torch's layer, output.
    layer = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](E, H, 2, batch_first=True).double()
    layer.load_state_dict(model.recurrent.state_dict())
    expected = model.output(layer(model.embed(previous))[0].flatten(0, 1))
    torch.testing.assert_close(whole, expected, rtol=1e-10, atol=1e-12)


def test_with_own_share_1_a_step_reads_the_likeliest_token_of_the_step_before() -> None:
    decoder = a_decoder(M, cell="gru", input_feeding=True)
    previous = tokens()
    y, after = decoder(previous, begun(decoder), LENGTHS, own_share=1.0)
    written = iter(y)
    for row, length in enumerate(LENGTHS):
        state, token = begun(decoder, rows=[row]), previous[row, :1]
        for _ in range(length):
            expected, state = decoder.step(token, state)
            torch.testing.assert_close(next(written), expected[0], rtol=1e-10, atol=1e-12)
            token = expected.argmax(-1)
        agree(after, row, state, 0)


def test_own_share_is_the_share_of_steps_and_comes_from_torch_s_generator() -> None:
    decoder = a_decoder(embedding=V, cell="rnn")
    read = []
    decoder.embed.register_forward_hook(lambda _module, args, _y: read.append(args[0]))
    batch, steps = 400, 6
    # The decoder's own choice is always token 1, the true ones are all 0.
    decoder.output.weight.data.zero_()
    decoder.output.bias.data = torch.eye(V, dtype=torch.float64)[1]
    previous = torch.zeros(batch, steps, dtype=torch.long)
    for _ in range(2):
        torch.manual_seed(3)
        decoder(previous, decoder.begin(batch=batch), own_share=0.3)
    first, again = torch.stack(read[:steps]), torch.stack(read[steps:])
    assert torch.equal(first, again)
    assert (first[0] == 0).all()
    # 2,000 draws: three standard deviations of their mean are 0.031.
    assert abs(float(first[1:].double().mean()) - 0.3) < 0.031


def test_rows_of_a_state_are_reordered_repeated_and_left_out() -> None:
    decoder = a_decoder(M, C, cell="lstm", input_feeding=True)
    previous = tokens()
    _, state = decoder(previous, begun(decoder), LENGTHS)
    rows = torch.tensor([3, 0, 0, 1, 3])
    chosen = state.select(rows)
    assert chosen.rows == 5
    y, after = decoder.step(previous[:, 0], state)
    y_chosen, after_chosen = decoder.step(previous[rows, 0], chosen)
    torch.testing.assert_close(y_chosen, y[rows])
    for place, row in enumerate(rows.tolist()):
        agree(after_chosen, place, after, row)
    view = state.select(slice(1, 3))
    assert view.rows == 2
    torch.testing.assert_close(decoder.step(previous[1:3, 0], view)[0], y[1:3])


def test_rows_that_share_a_memory_compute_as_if_each_had_its_own() -> None:
    decoder = a_decoder(M, cell="gru", input_feeding=True)
    state = begun(decoder)
    twice = torch.arange(B).repeat_interleave(2)
    shared, own = state.select(twice, memories=slice(None)), state.select(twice)
    assert len(shared.attended.states_BSM) == B
    assert len(own.attended.states_BSM) == 2 * B
    previous = torch.arange(2 * B) % V
    (y, shared), (expected, own) = decoder.step(previous, shared), decoder.step(previous, own)
    torch.testing.assert_close(y, expected)
    # Memories 2 and 0 stay, each with its rows swapped; then each row gets its own.
    rows = torch.tensor([5, 4, 1, 0])
    kept = shared.select(rows, memories=torch.tensor([2, 0]))
    expected = decoder.step(previous[rows], own.select(rows))[0]
    torch.testing.assert_close(decoder.step(previous[rows], kept)[0], expected)
    parted = shared.select(rows)
    assert len(parted.attended.states_BSM) == 4
    torch.testing.assert_close(decoder.step(previous[rows], parted)[0], expected)


def test_embedding_dropout_drops_the_same_features_at_all_steps_of_a_row() -> None:
    decoder = token_decoder(options(cell="gru"), V, 40, embedding_dropout=0.25)
    nn.init.ones_(decoder.embed.weight)
    seen = []
    decoder.recurrent.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    decoder(tokens(50), decoder.begin(batch=50))
    (x,) = seen
    assert torch.equal(x, x[:, :1].expand_as(x))
    kept = x[:, 0] != 0
    torch.testing.assert_close(x[:, 0][kept], torch.full((int(kept.sum()),), 1 / 0.75))
    # 2,000 draws: three standard deviations of their mean are 0.029.
    assert abs(float(kept.double().mean()) - 0.75) < 0.029
    decoder.eval()
    decoder(tokens(50), decoder.begin(batch=50))
    assert (seen[1] == 1).all()


def test_both_ways_drop_the_same_embedded_features() -> None:
    decoder = a_decoder(M, cell="gru")
    decoder.embedding_dropout = 0.5
    y = []
    for way in (decoder._at_once, lambda *args: decoder._step_by_step(*args, 0.0)):
        torch.manual_seed(8)
        y.append(way(tokens(), begun(decoder), LENGTHS)[0])
    torch.testing.assert_close(*y)


@pytest.mark.parametrize("embedding", [H, E])
def test_a_tied_matrix_is_one_parameter(embedding) -> None:
    decoder = a_decoder(tied=True, embedding=embedding)
    matrices = [name for name, p in decoder.named_parameters() if p.shape == (V, embedding)]
    assert matrices == ["embed.weight"]
    assert len({p.data_ptr() for p in decoder.state_dict().values()}) == len(decoder.state_dict())
    hidden = normal(3, H)
    between = hidden if embedding == H else hidden @ decoder.output[0].weight.T
    bias = (decoder.output if embedding == H else decoder.output[1]).bias
    expected = F.linear(between, decoder.embed.weight, bias)
    torch.testing.assert_close(decoder.output(hidden), expected)
    twin = copy.deepcopy(decoder)
    with torch.no_grad():
        twin.embed.weight.zero_()
    torch.testing.assert_close(twin.output(hidden), bias.expand(3, -1))
    torch.testing.assert_close(decoder.output(hidden), expected)


def test_a_lent_embedding_stays_its_owner_s() -> None:
    embed = nn.Embedding(V, E)
    decoder = token_decoder(options(tied=True), V, 99, embed=embed)
    assert not any(p is embed.weight for p in decoder.parameters())
    y, _ = decoder(tokens(), decoder.begin(batch=B))
    assert torch.autograd.grad(y.sum(), embed.weight)[0].abs().max() > 0


def test_a_decoder_of_vectors() -> None:
    decoder = vector_decoder(options(cell="gru"), 3).double()
    previous = normal(B, U, 3)
    y, after = decoder(previous, decoder.begin(batch=B), LENGTHS)
    layer = nn.GRU(H, H, batch_first=True).double()
    layer.load_state_dict(decoder.recurrent.state_dict())
    for row, (got, length) in enumerate(
        zip(y.split(LENGTHS.tolist()), LENGTHS.tolist(), strict=True)
    ):
        if length:
            hidden, state = layer(decoder.embed(previous[[row], :length]))
            torch.testing.assert_close(got, decoder.output(hidden[0]), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(after.recurrent[0][:, row], state[:, 0])
    padding = previous.clone()
    padding[0, 3:] = torch.nan
    assert torch.equal(decoder(padding, decoder.begin(batch=B), LENGTHS)[0], y)
    assert vector_decoder(options(), 3, output_size=2).output.out_features == 2


def test_what_is_refused() -> None:
    recurrent = GRU(E, H, batch_first=True, bidirectional=True)
    with pytest.raises(InputError, match="use bidirectional=False"):
        Decoder(nn.Embedding(V, E), recurrent, 2 * H, nn.Linear(2 * H, V))
    recurrent = GRU(E + H, H, batch_first=True)
    with pytest.raises(InputError, match="there is no attention"):
        Decoder(nn.Embedding(V, E), recurrent, H, nn.Linear(H, V), input_feeding=True)
    decoder = vector_decoder(options(), 3)
    with pytest.raises(InputError, match="this one writes vectors; expected 0"):
        decoder(torch.zeros(1, 2, 3), decoder.begin(batch=1), own_share=0.5)
    with pytest.raises(InputError, match="pass a state, or batch="):
        a_decoder().begin()
    with pytest.raises(InputError, match="attends to one, got none"):
        a_decoder(M).begin(batch=2)
    with pytest.raises(InputError, match="expected one of 3 features, got none"):
        a_decoder(0, C).begin(batch=2)
    with pytest.raises(InputError, match="expected one of 0 features, got one of 3"):
        a_decoder().begin(context_BC=torch.zeros(2, C))
