"""Decoding, the one place: what a decoder writes when nobody gives it the elements before.

All start from a `DecoderState` of some rows, give a list over its rows of lists of hypotheses, best
first, and record no gradients. Put the network into `eval()` first: in training it drops features.
A row that has ended leaves the batch. `decoder` is anything with `step(previous_R, state)`, as
`Decoder` has it.

Where there is an `end`, every hypothesis ends with it: one that has `longest` tokens is given it
next, at its own probability, so that all are whole sequences whose probabilities compare.

Legend: R rows, K beams of a row, V vocabulary, U steps of a prompt, S steps of memory, W of an
element that is a vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from elman.errors import InputError
from elman.networks.decoder_state import DecoderState


class Steps(Protocol):
    """What decoding needs of a decoder."""

    def step(self, previous_B: Tensor, state: DecoderState, /) -> tuple[Tensor, DecoderState]:
        """Write one element."""
        ...


class Writes(Steps, Protocol):
    """What a prompt needs besides: to be read at once."""

    def __call__(self, previous_BU: Tensor, state: DecoderState, /) -> tuple[Tensor, DecoderState]:
        """Read the prompt."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """One answer.

    Attributes:
        tokens: without start (or prompt) and end.
        log_probability: of the tokens and, if there is one, the end; as the decoder gives it,
            whatever the temperature.
        score: what hypotheses are ranked by.
        weights: where each token's step looked, `weights[token][step read]`; None without
            attention.
    """

    tokens: list[int]
    log_probability: float
    score: float
    weights: list[list[float]] | None


Choose = Callable[[Tensor], Tensor]
"""From log probabilities `(R, V)` to a token a row `(R,)`."""


@torch.no_grad()
def greedy(
    decoder: Steps,
    state: DecoderState,
    *,
    start: int,
    end: int | None,
    longest: int,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Write the likeliest token at every step: one hypothesis a row.

    Args:
        decoder: writes a step.
        state: where writing begins.
        start: the token before the first.
        end: the token that ends a sequence; None: all have `longest` tokens.
        longest: most tokens, the end apart.
        never: tokens that are not to be written.
    """
    first = torch.full((state.rows,), start, device=state.recurrent[0].device)
    return _one_by_one(
        decoder, *decoder.step(first, state), lambda log_RV: log_RV.argmax(-1), end, longest, never
    )


@torch.no_grad()
def sample(
    decoder: Writes,
    state: DecoderState,
    *,
    start: int | None = None,
    prompt_BU: Tensor | None = None,
    end: int | None = None,
    longest: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Draw each token from the decoder's distribution: one hypothesis a row.

    Args:
        decoder: writes a step.
        state: where writing begins; for several draws, a row each (`state.select`).
        start: the token before the first.
        prompt_BU: in its place the tokens before the first, `(R, U)`, which are read at once.
        end: the token that ends a sequence; None: all have `longest` tokens.
        longest: most tokens, the end apart.
        temperature: below 1, likely tokens become likelier still; above, less so.
        top_k: draw from so many likeliest tokens only (Fan et al., 2018).
        top_p: draw from the fewest likeliest tokens only that have this probability together
            (Holtzman et al., 2020), after `temperature` and `top_k`.
        generator: where randomness comes from, on the state's device; None: torch's own.
        never: tokens that are not to be written.

    Raises:
        InputError: an option is out of range.
    """
    if (start is None) == (prompt_BU is None):
        raise InputError("sample: expected start or prompt_BU, one of them")
    if not temperature > 0:
        raise InputError(
            f"temperature: expected more than 0, got {temperature}; for the likeliest, use greedy"
        )
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k: expected at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p: expected more than 0 and at most 1, got {top_p}")
    if prompt_BU is None:
        prompt_BU = torch.full((state.rows, 1), start or 0, device=state.recurrent[0].device)
    steps = prompt_BU.shape[1]
    if not steps:
        raise InputError("prompt_BU: expected at least one token, got none")
    output_NV, state = decoder(prompt_BU, state)

    def draw(log_RV: Tensor) -> Tensor:
        probabilities_RV = narrowed(log_RV / temperature, top_k, top_p).softmax(-1)
        return probabilities_RV.multinomial(1, generator=generator).squeeze(1)

    return _one_by_one(decoder, output_NV[steps - 1 :: steps], state, draw, end, longest, never)


def narrowed(logits_RV: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Return logits with all but the likeliest tokens at -inf; see `sample`."""
    if top_k is not None and top_k < logits_RV.shape[-1]:
        least_R1 = logits_RV.topk(top_k).values[:, -1:]
        logits_RV = logits_RV.masked_fill(logits_RV < least_R1, -torch.inf)
    if top_p is not None and top_p < 1:
        sorted_RV, order_RV = logits_RV.softmax(-1).sort(descending=True, stable=True)
        # What is likelier than a token has to fall short of top_p for it to be kept.
        outside_RV = sorted_RV.cumsum(-1) - sorted_RV >= top_p
        outside_RV = outside_RV.scatter(-1, order_RV, outside_RV)
        logits_RV = logits_RV.masked_fill(outside_RV, -torch.inf)
    return logits_RV


@torch.no_grad()
def beam(
    decoder: Steps,
    state: DecoderState,
    *,
    start: int,
    end: int,
    longest: int,
    width: int,
    length_penalty: float = 1.0,
    n_best: int = 1,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Search for the likeliest sequences, `width` at a time in each row.

    A hypothesis' score is its log probability over (its tokens, the end among them) to the power of
    `length_penalty`. A row is done when `width` hypotheses have ended, each of which was among the
    `width` best of its step, or when no live one can come to be better than the `n_best` that have.

    Args:
        decoder: writes a step.
        state: where writing begins.
        start: the token before the first.
        end: the token that ends a sequence.
        longest: most tokens, the end apart.
        width: beams of each row; 1 is the greedy choice.
        length_penalty: 0 ranks by probability alone, which favours short ones.
        n_best: hypotheses to return of each row.
        never: tokens that are not to be written.

    Raises:
        InputError: an option is out of range.
    """
    if not 1 <= n_best <= width:
        raise InputError(f"n_best: expected 1 to {width}, the width of the beam, got {n_best}")
    if length_penalty < 0:
        raise InputError(f"length_penalty: expected at least 0, got {length_penalty}")
    found: list[list[Hypothesis]] = [[] for _ in range(state.rows)]
    sources, read = list(range(state.rows)), _read(state)
    history = _History.begin(state)
    scores_BK = state.recurrent[0].new_zeros(state.rows, 1)
    previous_R = torch.full((state.rows,), start, device=scores_BK.device)
    for step in range(longest + 1):
        output_RV, state = decoder.step(previous_R, state)
        log_RV = _forbidding(output_RV.log_softmax(-1), never)
        if step == longest:
            log_RV = _forbidding(log_RV, [t for t in range(log_RV.shape[1]) if t != end])
        best = _Candidates.of(log_RV, scores_BK, 2 * width, end)
        for place, row, total in best.ended(width):
            source, score = sources[place], total / (step + 1) ** length_penalty
            found[source].append(history.hypothesis(row, total, score, read[source]))
        scores_BK, going_BK = best.going(width)
        # Log probabilities only fall, and the longest hypothesis divides by the most.
        highest_B = (scores_BK[:, 0] / (longest + 1) ** length_penalty).tolist()
        going = [
            place
            for place, (source, highest) in enumerate(zip(sources, highest_B, strict=True))
            if not _done(found[source], highest, width, n_best)
        ]
        if not going:
            break
        sources = [sources[place] for place in going]
        keep_B = torch.tensor(going, device=scores_BK.device)
        scores_BK, going_BK = scores_BK[keep_B], going_BK[keep_B]
        rows_R = best.rows_BC[keep_B].gather(1, going_BK).flatten()
        previous_R = best.tokens_BC[keep_B].gather(1, going_BK).flatten()
        every = len(going) == len(highest_B)
        state = state.select(rows_R, memories=slice(None) if every else keep_B)
        history = history.select(rows_R).extended(previous_R, state.weights_BS)
    return [sorted(each, key=lambda one: -one.score)[:n_best] for each in found]


@dataclass(frozen=True)
class _Candidates:
    """The likeliest continuations of each row's beams, `C` of them, likeliest first."""

    scores_BC: Tensor
    rows_BC: Tensor  # of the beam that each continues
    tokens_BC: Tensor
    ends_BC: Tensor

    @classmethod
    def of(cls, log_RV: Tensor, scores_BK: Tensor, most: int, end: int) -> _Candidates:
        (batch, beams), vocabulary = scores_BK.shape, log_RV.shape[1]
        log_BX = (log_RV.unflatten(0, (batch, beams)) + scores_BK.unsqueeze(-1)).flatten(1)
        scores_BC, index_BC = log_BX.topk(min(most, log_BX.shape[1]))
        first_B1 = beams * torch.arange(batch, device=log_RV.device).unsqueeze(1)
        tokens_BC = index_BC % vocabulary
        return cls(scores_BC, first_B1 + index_BC // vocabulary, tokens_BC, tokens_BC == end)

    def ended(self, width: int) -> list[tuple[int, int, float]]:
        """Return place, row and log probability of those of the first `width` that end."""
        ended_BC = (self.ends_BC & self.scores_BC.isfinite())[:, :width]
        at_E2 = ended_BC.nonzero()
        rows, totals = self.rows_BC[*at_E2.T].tolist(), self.scores_BC[*at_E2.T].tolist()
        return list(zip(at_E2[:, 0].tolist(), rows, totals, strict=True))

    def going(self, width: int) -> tuple[Tensor, Tensor]:
        """Return scores and indices of the first `width` that do not end, `BK`.

        Each beam has one continuation that ends, so that of twice as many enough are left.
        """
        going_BC = self.scores_BC.masked_fill(self.ends_BC, -torch.inf)
        return going_BC.topk(min(width, going_BC.shape[1]))


def _done(found: list[Hypothesis], highest: float, width: int, n_best: int) -> bool:
    """Whether a row's search is over, whose live beams can come to a score of `highest` at most."""
    if len(found) >= width or highest == -math.inf:
        return True
    scores = sorted((one.score for one in found), reverse=True)
    return len(scores) >= n_best and scores[n_best - 1] >= highest


def _one_by_one(
    decoder: Steps,
    output_RV: Tensor,
    state: DecoderState,
    choose: Choose,
    end: int | None,
    longest: int,
    never: Sequence[int],
) -> list[list[Hypothesis]]:
    """Go on from the first step's output, choosing a token a row at every step."""
    rows, read = list(range(state.rows)), _read(state)
    found: dict[int, Hypothesis] = {}
    history = _History.begin(state)
    total_R = output_RV.new_zeros(len(rows))
    for step in range(longest if end is None else longest + 1):
        true_RV = output_RV.log_softmax(-1)
        if step < longest:
            chosen_R = choose(_forbidding(true_RV, never))
        else:
            chosen_R = torch.full((len(rows),), end or 0, device=total_R.device)
        total_R = total_R + true_RV.gather(1, chosen_R.unsqueeze(1)).squeeze(1)
        ended_R = torch.zeros_like(chosen_R, dtype=torch.bool) if end is None else chosen_R == end
        for place in ended_R.nonzero().flatten().tolist():
            total = float(total_R[place])
            found[rows[place]] = history.hypothesis(place, total, total, read[rows[place]])
        going_R = (~ended_R).nonzero().flatten()
        if len(going_R) < len(rows):
            rows = [rows[place] for place in going_R.tolist()]
            chosen_R, total_R = chosen_R[going_R], total_R[going_R]
            state, history = state.select(going_R), history.select(going_R)
        if not rows:
            break
        history = history.extended(chosen_R, state.weights_BS)
        if end is not None or step + 1 < longest:
            output_RV, state = decoder.step(chosen_R, state)
    for place, (row, total) in enumerate(zip(rows, total_R.tolist(), strict=True)):
        found[row] = history.hypothesis(place, total, total, read[row])
    return [[found[row]] for row in sorted(found)]


@dataclass(frozen=True)
class _History:
    """What rows have written: tokens, and where each one's step looked."""

    tokens_RU: Tensor
    looked_RUS: Tensor | None

    @classmethod
    def begin(cls, state: DecoderState) -> _History:
        tokens_RU = torch.empty(state.rows, 0, dtype=torch.long, device=state.recurrent[0].device)
        looked = state.weights_BS
        return cls(
            tokens_RU, None if looked is None else looked.new_empty(len(looked), 0, looked.shape[1])
        )

    def select(self, rows_R: Tensor) -> _History:
        looked = self.looked_RUS
        return _History(
            self.tokens_RU.index_select(0, rows_R),
            None if looked is None else looked.index_select(0, rows_R),
        )

    def extended(self, tokens_R: Tensor, weights_RS: Tensor | None) -> _History:
        looked = None
        if self.looked_RUS is not None and weights_RS is not None:
            looked = torch.cat([self.looked_RUS, weights_RS.unsqueeze(1)], dim=1)
        return _History(torch.cat([self.tokens_RU, tokens_R.unsqueeze(1)], dim=1), looked)

    def hypothesis(self, row: int, log_probability: float, score: float, read: int) -> Hypothesis:
        looked = self.looked_RUS
        weights = None if looked is None else looked[row, :, :read].tolist()
        return Hypothesis(self.tokens_RU[row].tolist(), log_probability, score, weights)


@torch.no_grad()
def rollout(
    decoder: Steps,
    state: DecoderState,
    *,
    start_BW: Tensor,
    steps: int,
    read: Callable[[Tensor], Tensor] = lambda output_RO: output_RO,
) -> Tensor:
    """Write vectors: each step is given what the one before wrote.

    Args:
        decoder: writes a step.
        state: where writing begins.
        start_BW: the element before the first.
        steps: how many to write.
        read: from an output `(R, O)` to the element `(R, W)` that it means, such as `torch.sigmoid`
            of logits.

    Returns:
        The elements, `(R, steps, W)`.
    """
    elements = [start_BW]
    for _ in range(steps):
        output_RO, state = decoder.step(elements[-1], state)
        elements.append(read(output_RO))
    return torch.stack(elements[1:], dim=1)


def _forbidding(log_xV: Tensor, never: Sequence[int]) -> Tensor:
    if not never:
        return log_xV
    return log_xV.index_fill(-1, torch.tensor(never, device=log_xV.device), -torch.inf)


def _read(state: DecoderState) -> list[int]:
    """Return how many steps of memory are real, of each row."""
    found = state.attended
    if found is None:
        return [0] * state.rows
    if found.mask_BS is None:
        return [found.states_BSM.shape[1]] * state.rows
    return found.mask_BS.sum(1).tolist()
