"""Decoding against every sequence there is, hand-worked numbers, and the decoder's own step."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import InputError
from elman.networks import DecoderState, Memory, beam, greedy, rollout, sample, vector_decoder
from elman.networks.decoding import narrowed

from .conftest import M, V, a_decoder, options

START, END = 0, 1
S = 4
READ = torch.tensor([4, 2, 3])
B = len(READ)


def normal(*shape, seed=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def attending(**values):
    decoder = a_decoder(M, **values).eval()
    # Sharper than at random, so that beams differ.
    decoder.output.weight.data *= 2
    memory = Memory(normal(B, S, M), READ, normal(B, M))
    return decoder, decoder.begin(None, memory)


class Chain:
    """A decoder whose next token depends on the one before only: a table of log probabilities."""

    def __init__(self, probabilities):
        self.log_VV = torch.tensor(probabilities, dtype=torch.float64).log()

    def step(self, previous, state):
        return self.log_VV[previous], state

    def __call__(self, previous, state):
        return self.log_VV[previous.flatten()], state

    def begin(self, rows=1):
        return DecoderState((torch.zeros(1, rows, 1, dtype=torch.float64),))


@torch.no_grad()
def log_probability(decoder, state, row, tokens, end=END):
    """Of a whole sequence, from one pass with its elements given; and where each step looked."""
    state, total, looked = state.select(torch.tensor([row])), 0.0, []
    for before, token in itertools.pairwise([START, *tokens, *([] if end is None else [end])]):
        y, state = decoder.step(torch.tensor([before]), state)
        total += float(y.log_softmax(-1)[0, token])
        if state.weights_BS is not None:
            looked.append(state.weights_BS[0, : READ[row]].tolist())
    return total, looked[: len(tokens)]


def tells_the_truth(decoder, state, row, one):
    """A hypothesis' log probability and weights are those of its tokens."""
    total, looked = log_probability(decoder, state, row, one.tokens)
    assert math.isclose(one.log_probability, total, rel_tol=1e-9)
    assert len(one.weights) == len(looked)
    torch.testing.assert_close(one.weights, looked)


def every_sequence(longest, never=()):
    words = [token for token in range(V) if token not in (END, *never)]
    return [
        list(tokens)
        for length in range(longest + 1)
        for tokens in itertools.product(words, repeat=length)
    ]


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize(
    "values",
    [
        {"cell": "lstm"},
        {"cell": "gru", "input_feeding": True},
        {"cell": "gru", "layers": 2, "skip": "highway", "zoneout": 0.3},
    ],
    ids=str,
)
def test_a_beam_wide_enough_finds_the_best_of_every_sequence(values, penalty) -> None:
    decoder, state = attending(**values)
    never, longest = [START, 6, 5], 3
    sequences = every_sequence(longest, never)
    found = beam(
        decoder, state, start=START, end=END, longest=longest, width=4**longest,
        length_penalty=penalty, n_best=6, never=never,
    )  # fmt: skip
    assert len(found) == B
    for row, hypotheses in enumerate(found):
        scored = []
        for tokens in sequences:
            total, looked = log_probability(decoder, state, row, tokens)
            scored.append((total / (len(tokens) + 1) ** penalty, total, tokens, looked))
        best = sorted(scored, key=lambda one: -one[0])[:6]
        assert [one.tokens for one in hypotheses] == [tokens for _, _, tokens, _ in best]
        for ours, (score, total, _, looked) in zip(hypotheses, best, strict=True):
            assert math.isclose(ours.score, score, rel_tol=1e-10)
            assert math.isclose(ours.log_probability, total, rel_tol=1e-10)
            torch.testing.assert_close(ours.weights, looked)


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 5]), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_rows_are_searched_as_if_alone_and_beams_tell_the_truth(seed, width, longest) -> None:
    decoder, _ = attending(cell="gru")
    memory = Memory(normal(B, S, M, seed=seed), READ, normal(B, M, seed=seed + 1))
    state = decoder.begin(None, memory)
    how = {"start": START, "end": END, "longest": longest, "width": width, "n_best": width}
    together = beam(decoder, state, **how)
    for row, hypotheses in enumerate(together):
        (alone,) = beam(decoder, state.select(torch.tensor([row])), **how)
        assert [one.tokens for one in hypotheses] == [one.tokens for one in alone]
        assert len({tuple(one.tokens) for one in hypotheses}) == len(hypotheses)
        scores = [one.score for one in hypotheses]
        assert scores == sorted(scores, reverse=True)
        torch.testing.assert_close(scores, [one.score for one in alone])
        for one in hypotheses:
            assert len(one.tokens) <= longest
            assert END not in one.tokens
            tells_the_truth(decoder, state, row, one)
            assert math.isclose(one.score, one.log_probability / (len(one.tokens) + 1))


@given(st.integers(0, 2**32), st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_greedy_is_a_beam_of_one_and_the_likeliest_at_every_step(seed, longest) -> None:
    decoder, _ = attending(cell="lstm", input_feeding=True)
    memory = Memory(normal(B, S, M, seed=seed), READ, normal(B, M, seed=seed + 1))
    state = decoder.begin(None, memory)
    chosen = greedy(decoder, state, start=START, end=END, longest=longest, never=[START])
    searched = beam(decoder, state, start=START, end=END, longest=longest, width=1, never=[START])
    for row, ((one,), (other,)) in enumerate(zip(chosen, searched, strict=True)):
        assert one.tokens == other.tokens
        assert math.isclose(one.log_probability, other.log_probability, rel_tol=1e-9)
        tells_the_truth(decoder, state, row, one)
        assert one.score == one.log_probability
        with torch.no_grad():
            at, before = state.select(torch.tensor([row])), START
            for token in [*one.tokens, END][:longest]:
                y, at = decoder.step(torch.tensor([before]), at)
                y[0, START] = -torch.inf
                assert int(y.argmax()) == token
                before = token


def test_a_beam_finds_what_greed_misses() -> None:
    # From the start: a 0.6, b 0.4. After a: ends at 0.3, else a or b; after b: ends at 0.9.
    #               start  end   a     b
    chain = Chain([[0.0, 0.0, 0.6, 0.4], [0.25] * 4, [0.0, 0.3, 0.35, 0.35], [0.0, 0.9, 0.1, 0.0]])
    how = {"start": 0, "end": 1, "longest": 2, "length_penalty": 0.0}
    ((best, second),) = beam(chain, chain.begin(), width=4, n_best=2, **how)
    assert (best.tokens, second.tokens) == ([3], [2, 3])
    assert math.isclose(best.log_probability, math.log(0.4 * 0.9))
    assert math.isclose(second.log_probability, math.log(0.6 * 0.35 * 0.9))
    ((first,),) = beam(chain, chain.begin(), width=1, **how)
    # a, then a or b at 0.35 each; the end that has to follow is taken at its own probability.
    assert first.tokens[0] == 2
    assert len(first.tokens) == 2


def test_a_search_stops_when_nothing_can_come_to_be_better() -> None:
    #               start  end   a
    chain = Chain([[0.0, 0.9, 0.1], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]])
    steps = []
    plain = chain.step
    chain.step = lambda previous, state: steps.append(len(previous)) or plain(previous, state)
    how = {"start": 0, "end": 1, "longest": 50}
    ((best,),) = beam(chain, chain.begin(), width=5, length_penalty=0.0, **how)
    assert best.tokens == []
    assert len(steps) == 1  # the live beam has 0.1 at most, the one that ended 0.9
    steps.clear()
    ((first, second),) = beam(chain, chain.begin(), width=2, length_penalty=1.0, n_best=2, **how)
    assert (first.tokens, second.tokens) == ([], [2])
    assert len(steps) == 2  # as many have ended as the beam is wide


def test_rows_that_are_done_leave_the_batch() -> None:
    # Tokens: 1 ends; from 0 at once, from 2 after two more steps.
    chain = Chain([[0.0, 1.0, 0.0, 0.0], [0.25] * 4, [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    seen = []

    class ByRow(Chain):
        def step(self, previous, state):
            seen.append(len(previous))
            h = state.recurrent[0][0, :, 0]
            first = torch.where(h == 0, previous, torch.full_like(previous, 2))
            use = torch.where((previous == 0), first, previous)
            return self.log_VV[use], state

    by_row = ByRow([[0.25] * 4] * 4)
    by_row.log_VV = chain.log_VV
    state = DecoderState((torch.tensor([[[0.0], [1.0], [0.0]]], dtype=torch.float64),))
    for decode, wide in ((greedy, {}), (beam, {"width": 1})):
        seen.clear()
        found = decode(by_row, state, start=0, end=1, longest=9, **wide)
        assert [one.tokens for (one,) in found] == [[], [3], []]
        assert seen == [3, 1]


def test_the_end_is_forced_after_the_longest_at_its_own_probability() -> None:
    chain = Chain([[0.0, 0.1, 0.9], [0.3, 0.3, 0.4], [0.0, 0.2, 0.8]])
    ((one,),) = greedy(chain, chain.begin(), start=0, end=1, longest=2)
    assert one.tokens == [2, 2]
    assert math.isclose(one.log_probability, math.log(0.9 * 0.8 * 0.2))
    ((endless,),) = greedy(chain, chain.begin(), start=0, end=None, longest=2)
    assert endless.tokens == [2, 2]
    assert math.isclose(endless.log_probability, math.log(0.9 * 0.8))
    assert one.weights is None


def test_samples_are_as_frequent_as_the_softmax_says() -> None:
    model = a_decoder(cell="gru").eval()
    draws = 20_000
    prompt = torch.tensor([[2, 5]])
    with torch.no_grad():
        y, _ = model(prompt, model.begin(batch=1))
    probabilities = (y[-1] / 0.8).softmax(-1)
    found = sample(
        model, model.begin(batch=draws), prompt_BU=prompt.expand(draws, -1), longest=1,
        temperature=0.8, generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    drawn = torch.tensor([one.tokens for (one,) in found]).flatten()
    counts = torch.bincount(drawn, minlength=V)
    expected = probabilities * draws
    # Chi-squared of 6 degrees of freedom: below 22.5 with a probability of 0.999.
    assert float(((counts - expected) ** 2 / expected).sum()) < 22.5
    # The log probability is the model's own, whatever the temperature.
    for (one,) in found[:50]:
        assert math.isclose(one.log_probability, float(y[-1].log_softmax(-1)[one.tokens[0]]))


def test_a_seed_gives_the_same_sample_and_the_tokens_follow_each_other() -> None:
    decoder, state = attending(cell="lstm")
    how = {"start": START, "end": END, "longest": 8, "never": [START]}
    draws = [
        sample(decoder, state, generator=torch.Generator().manual_seed(seed), **how)
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    for row, (one,) in enumerate(draws[0]):
        tells_the_truth(decoder, state, row, one)
        assert START not in one.tokens
    torch.manual_seed(5)
    first = sample(decoder, state, **how)
    torch.manual_seed(5)
    assert sample(decoder, state, **how) == first


def test_one_likeliest_token_is_the_greedy_choice() -> None:
    decoder, state = attending(cell="gru")
    chosen = greedy(decoder, state, start=START, end=END, longest=6)
    for narrow in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}):
        drawn = sample(decoder, state, start=START, end=END, longest=6, **narrow)
        assert [one.tokens for (one,) in drawn] == [one.tokens for (one,) in chosen]


def test_top_k_and_top_p_by_hand() -> None:
    probabilities = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.15, 0.05]]).double()

    def kept(**narrow):
        return narrowed(probabilities.log(), **({"top_k": None, "top_p": None} | narrow)).softmax(
            -1
        )

    def expect(got, *rows):
        torch.testing.assert_close(got, torch.tensor(rows).double())

    expect(kept(top_k=2), [0, 4 / 7, 0, 3 / 7], [14 / 17, 0, 3 / 17, 0])
    expect(kept(top_k=9), *probabilities.tolist())
    # 0.4 falls short of 0.6 and 0.4 + 0.3 does not; 0.7 does not alone.
    expect(kept(top_p=0.6), [0, 4 / 7, 0, 3 / 7], [1, 0, 0, 0])
    expect(kept(top_p=0.71), [0, 4 / 9, 2 / 9, 3 / 9], [14 / 17, 0, 3 / 17, 0])
    expect(kept(top_p=1.0), *probabilities.tolist())
    # Of the two likeliest, renormalised to 4/7 and 3/7, the first is enough for a half.
    expect(kept(top_k=2, top_p=0.5), [0, 1, 0, 0], [1, 0, 0, 0])


def test_a_rollout_reads_what_it_wrote() -> None:
    decoder = vector_decoder(options(cell="lstm"), 3).double()
    state = decoder.begin(batch=2)
    start = normal(2, 3)
    rows = rollout(decoder, state, start_BW=start, steps=4, read=torch.sigmoid)
    assert rows.shape == (2, 4, 3)
    given_rows = torch.cat([start.unsqueeze(1), rows[:, :-1]], 1)
    with torch.no_grad():
        y, _ = decoder(given_rows, state)
    torch.testing.assert_close(rows.flatten(0, 1), y.sigmoid(), rtol=1e-10, atol=1e-12)


def test_what_is_refused() -> None:
    chain = Chain([[0.5, 0.5], [0.5, 0.5]])
    how = {"start": 0, "end": 1, "longest": 2}
    for options_, message in (
        ({"width": 2, "n_best": 3}, "n_best: expected 1 to 2"),
        ({"width": 2, "length_penalty": -1.0}, "length_penalty: expected at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            beam(chain, chain.begin(), **how, **options_)
    for options_, message in (
        ({"temperature": 0.0}, "temperature: expected more than 0, got 0.0; .* use greedy"),
        ({"top_k": 0}, "top_k: expected at least 1"),
        ({"top_p": 1.5}, "top_p: expected more than 0 and at most 1, got 1.5"),
        ({"prompt_BU": torch.zeros(1, 1, dtype=torch.long)}, "start or prompt_BU"),
        ({"start": None}, "start or prompt_BU"),
        ({"start": None, "prompt_BU": torch.zeros(1, 0, dtype=torch.long)}, "at least one token"),
    ):
        with pytest.raises(InputError, match=message):
            sample(chain, chain.begin(), **(how | options_))
