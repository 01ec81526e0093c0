"""Decoder: from the element before to the next one, with what an encoder read before its eyes.

    x_t  = [embed(previous_t); context; h~_{t-1}]          the last two where there are such
    h_t  = recurrent(x_t, h_{t-1})
    h~_t = tanh(W_c [h_t; attention(h_t, memory)])          (Luong et al., 2015); h_t without one
    y_t  = output(dropout(h~_t))

Legend: B batch (R rows of a state), U steps written, S steps of memory, N real steps of all rows,
L layers, E features of an embedded element, C of a vector fed at every step, H of the recurrent
layer, O of the output, W of an element that is a vector.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells import State
from elman.errors import InputError
from elman.layers import Attention, Stack, padded, real_steps
from elman.layers.padding import inside
from elman.layers.stack import Lengths
from elman.networks.decoder_state import Attended, DecoderState
from elman.networks.encoder import Memory
from elman.networks.packing import Packing
from elman.networks.states import bare, first_state, tupled, with_vector


class Decoder(nn.Module):
    """Write a sequence one element after the other; see the file's beginning for the equations.

    Without a memory, over tokens, it is a language model.

    Args:
        embed: from elements to vectors: of tokens `(N,)` int64 (an `nn.Embedding`) or of vectors
            `(N, W)` (an `nn.Linear`) to `(N, E)`.
        recurrent: an Elman layer made with `batch_first=True`, in one direction; its input size is
            E + `context_size`, and + H with input feeding.
        recurrent_size: features of its output, `H`.
        output: from `(N, H)` to `(N, O)`.
        attention: looks at the memory, with queries of size H; None: nothing does.
        context_size: features of the vector fed at every step, `C`; 0: there is none.
        input_feeding: whether h~ is fed to the next step. Needs attention. Training then goes
            through the steps one by one.
        dropout: share of h~ dropped before the output, in training.
        embedding_dropout: share of an embedding's features dropped in training, the same ones at
            all steps of a row (Gal and Ghahramani, 2016).

    Raises:
        InputError: the parts do not go together.
    """

    def __init__(
        self,
        embed: nn.Module,
        recurrent: Stack,
        recurrent_size: int,
        output: nn.Module,
        *,
        attention: Attention | None = None,
        context_size: int = 0,
        input_feeding: bool = False,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if recurrent.bidirectional:
            raise InputError(
                "recurrent: a decoder writes forwards, and cannot read from the end of what it has "
                "not written; use bidirectional=False"
            )
        if input_feeding and attention is None:
            raise InputError(
                "input_feeding: feeds what attention found, and there is no attention; choose "
                "additive or multiplicative, or leave input feeding out"
            )
        self.embed = embed
        self.recurrent = recurrent
        self.recurrent_size, self.context_size = recurrent_size, context_size
        self.attention = attention
        self.merge = None
        if attention is not None:
            wide = recurrent_size + attention.memory_size
            self.merge = nn.Linear(wide, recurrent_size, bias=False)
        self.input_feeding = input_feeding
        self.dropout = nn.Dropout(dropout)
        self.embedding_dropout = embedding_dropout
        self.output = output

    def begin(
        self,
        state: Tensor | State | None = None,
        memory: Memory | None = None,
        context_BC: Tensor | None = None,
        *,
        batch: int | None = None,
    ) -> DecoderState:
        """Return where writing begins.

        Args:
            state: the recurrent layer's, `(L, B, S)` or a tuple of such; None: its cells' first
                one, zeros as a rule.
            memory: what attention looks at.
            context_BC: fed at every step; if and only if there is a `context_size`.
            batch: rows, where none of these tell it.
        """
        if (context_BC is None) != (self.context_size == 0):
            got = "none" if context_BC is None else f"one of {context_BC.shape[-1]} features"
            raise InputError(f"context: expected one of {self.context_size} features, got {got}")
        if self.attention is not None and memory is None:
            raise InputError("memory: the decoder attends to one, got none; pass what was read")
        if state is None:
            told = context_BC if memory is None else memory.final_BF
            state = self._first(batch if told is None else len(told))
        parts = tupled(state)
        begun = DecoderState(parts, context_RC=context_BC)
        if self.attention is None or memory is None:
            return begun
        rows, steps = memory.states_BSM.shape[:2]
        mask_BS = None
        if memory.lengths is not None and int(memory.lengths.min()) < steps:
            mask_BS = inside(memory.lengths, steps, memory.states_BSM.device)
        return replace(
            begun,
            attended=Attended(memory.states_BSM, self.attention.keys(memory.states_BSM), mask_BS),
            fed_RH=parts[0].new_zeros(rows, self.recurrent_size) if self.input_feeding else None,
            weights_BS=parts[0].new_zeros(rows, steps),
        )

    def forward(
        self,
        previous_BU: Tensor,
        state: DecoderState,
        lengths: Lengths | None = None,
        *,
        own_share: float = 0.0,
    ) -> tuple[Tensor, DecoderState]:
        """Write sequences whose elements are known: each step is given the true one before.

        Args:
            previous_BU: the element before each step: tokens `(B, U)` or vectors `(B, U, W)`.
            state: where writing begins, of `B` rows.
            lengths: real steps of each row, from 0 to U; None: all are.
            own_share: scheduled sampling (Bengio et al., 2015): with this probability a step is
                given the decoder's own likeliest token of the step before instead. For tokens.

        Returns:
            The outputs at real steps, `y_NO`, row by row; and the state after each row's last.
        """
        if own_share and previous_BU.is_floating_point():
            raise InputError(
                f"own_share: a decoder's own choice is a token, and this one writes vectors; "
                f"expected 0, got {own_share}"
            )
        if own_share or self.input_feeding:
            return self._step_by_step(previous_BU, state, lengths, own_share)
        return self._at_once(previous_BU, state, lengths)

    def step(self, previous_B: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Write one element: the one before, `(R,)` or `(R, W)`, to `y_RO` and the new state."""
        embedded_RE = _dropped(self.embed(previous_B), self._mask(state))
        hidden_RH, state = self._advance(embedded_RE, state)
        return self._written(hidden_RH), state

    def _first(self, batch: int | None) -> State:
        """Return the cells' own first state, of all layers."""
        if batch is None:
            raise InputError("begin: nothing tells the number of rows; pass a state, or batch=")
        return first_state(self.recurrent, batch)

    def _at_once(
        self, previous_BU: Tensor, state: DecoderState, lengths: Lengths | None
    ) -> tuple[Tensor, DecoderState]:
        mask_BE = self._mask(state)
        embedded_NE = self.embed(real_steps(previous_BU, lengths))
        embedded_BUE = padded(embedded_NE, lengths, *previous_BU.shape[:2])
        embedded_BUE = _dropped(embedded_BUE, None if mask_BE is None else mask_BE.unsqueeze(1))
        x_BUI = with_vector(embedded_BUE, state.context_RC)
        hidden_BUH, parts = self.recurrent(x_BUI, bare(state.recurrent), lengths=lengths)
        state = replace(state, recurrent=tupled(parts))
        hidden_NH = real_steps(hidden_BUH, lengths)
        if state.attended is not None:
            context_BUM, weights_BUS = self._look(hidden_BUH, state.attended)
            hidden_NH = self._merged(hidden_NH, real_steps(context_BUM, lengths))
            state = replace(state, weights_BS=_last(weights_BUS, lengths, state.weights_BS))
        return self._written(hidden_NH), state

    def _step_by_step(
        self, previous_BU: Tensor, state: DecoderState, lengths: Lengths | None, own_share: float
    ) -> tuple[Tensor, DecoderState]:
        batch, steps = previous_BU.shape[:2]
        packing = Packing.of(batch, steps, lengths, previous_BU.device)
        mask_BE = self._mask(state)
        if mask_BE is not None:
            mask_BE = mask_BE.index_select(0, packing.rows_B)
        elements_N = previous_BU.flatten(0, 1).index_select(0, packing.places_N)
        # Unless it reads its own choices, all is embedded, and all outputs are made, at once.
        given_N = elements_N if own_share else self.embed(elements_N)
        begun, state = state, state.select(packing.rows_B)
        none_yet = state.recurrent[0].new_zeros(0, self.recurrent_size)
        written = [self._written(none_yet) if own_share else none_yet]
        ended: list[DecoderState] = []
        for given_R, running in zip(given_N.split(packing.running), packing.running, strict=True):
            if running < state.rows:
                ended.append(state.select(slice(running, None)))
                state = state.select(slice(running))
            if own_share:
                given_R = self.embed(_mixed(given_R, written[-1], own_share))
            embedded_RE = _dropped(given_R, None if mask_BE is None else mask_BE[:running])
            hidden_RH, state = self._advance(embedded_RE, state)
            written.append(self._written(hidden_RH) if own_share else hidden_RH)
        state = _rejoined([state, *reversed(ended)], packing, begun)
        written_N = torch.cat(written).index_select(0, packing.row_major_N)
        return written_N if own_share else self._written(written_N), state

    def _advance(self, embedded_RE: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return h~ of the next step, and the state after it."""
        inputs = [embedded_RE, state.context_RC, state.fed_RH]
        x_RI = torch.cat([part for part in inputs if part is not None], dim=-1)
        hidden_RH, parts = self.recurrent.step(x_RI, bare(state.recurrent))
        state = replace(state, recurrent=tupled(parts))
        if state.attended is None:
            return hidden_RH, state
        # Rows that share a memory are its queries.
        queries_BUH = hidden_RH.unflatten(0, (len(state.attended.states_BSM), -1))
        context_BUM, weights_BUS = self._look(queries_BUH, state.attended)
        hidden_RH = self._merged(hidden_RH, context_BUM.flatten(0, 1))
        return hidden_RH, replace(
            state,
            fed_RH=hidden_RH if self.input_feeding else None,
            weights_BS=weights_BUS.flatten(0, 1),
        )

    def _look(self, queries_BUH: Tensor, at: Attended) -> tuple[Tensor, Tensor]:
        """Return what was found, `BUM`, and where, `BUS`; the latter without gradients."""
        assert self.attention is not None
        context, weights = self.attention(
            queries_BUH, at.keys_BSA, at.states_BSM, mask_BS=at.mask_BS
        )
        return context, weights.detach()

    def _merged(self, hidden_xH: Tensor, context_xM: Tensor) -> Tensor:
        assert self.merge is not None
        return torch.tanh(self.merge(torch.cat([hidden_xH, context_xM], dim=-1)))

    def _written(self, hidden_NH: Tensor) -> Tensor:
        return self.output(self.dropout(hidden_NH))

    def _mask(self, state: DecoderState) -> Tensor | None:
        """Draw which features of each row's embeddings are kept, scaled up to make up for it."""
        if not (self.training and self.embedding_dropout):
            return None
        like = state.recurrent[0]
        size = self.recurrent.cells[0].input_size - self.context_size
        size -= self.recurrent_size if self.input_feeding else 0
        return F.dropout(like.new_ones(state.rows, size), self.embedding_dropout)


def _dropped(embedded: Tensor, mask: Tensor | None) -> Tensor:
    return embedded if mask is None else embedded * mask


def _mixed(true_R: Tensor, before_RO: Tensor, own_share: float) -> Tensor:
    """Return the true tokens, some replaced by the likeliest ones of the step before."""
    if not len(before_RO):
        return true_R
    own_R = before_RO[: len(true_R)].detach().argmax(-1)
    return torch.where(torch.rand(len(true_R), device=own_R.device) < own_share, own_R, true_R)


def _rejoined(pieces: list[DecoderState], packing: Packing, begun: DecoderState) -> DecoderState:
    """Return the state of all rows, in the batch's order, from pieces longest rows first."""

    def joined(tensors: list[Tensor], dim: int = 0) -> Tensor:
        return torch.cat(tensors, dim).index_select(dim, packing.inverse_B)

    fed = [piece.fed_RH for piece in pieces if piece.fed_RH is not None]
    weights = [piece.weights_BS for piece in pieces if piece.weights_BS is not None]
    return replace(
        begun,
        recurrent=tuple(
            joined(list(parts), dim=1)
            for parts in zip(*(piece.recurrent for piece in pieces), strict=True)
        ),
        fed_RH=joined(fed) if fed else None,
        weights_BS=joined(weights) if weights else None,
    )


def _last(weights_BUS: Tensor, lengths: Lengths | None, before_BS: Tensor | None) -> Tensor:
    """Return where each row's last real step looked; of a row without one, what was before."""
    if lengths is None:
        return weights_BUS[:, -1]
    last_B = torch.as_tensor(lengths, device=weights_BUS.device) - 1
    rows_B = torch.arange(len(last_B), device=last_B.device)
    last_BS = weights_BUS[rows_B, last_B.clamp(min=0)]
    return last_BS if before_BS is None else last_BS.where(last_B.unsqueeze(1) >= 0, before_BS)
