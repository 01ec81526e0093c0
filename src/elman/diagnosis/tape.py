"""What each layer of Elman's did in one pass through a network, step by step.

Legend: T steps, B rows, I input features, H output features, S width of a state tensor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from elman import engines
from elman.cells import Cell, State
from elman.engines import How
from elman.errors import InputError
from elman.layers import Stack


@dataclass(frozen=True)
class Place:
    """Where a cell is: the name of its stack in the network, its layer and direction, from 0.

    `label` is what the stack is called in words: nothing where there is no other.
    """

    stack: str
    label: str
    layer: int
    direction: int
    layers: int
    directions: int

    @property
    def name(self) -> str:
        """Return it in words: `decoder, layer 2, backward`; nothing for the only cell there is."""
        words = [self.label] if self.label else []
        if self.layers > 1:
            words.append(f"layer {self.layer + 1}")
        if self.directions > 1:
            words.append(("forward", "backward")[self.direction])
        return ", ".join(words)


@dataclass
class Track:
    """What one cell did: a step is a place in these lists, in the order in which it was read.

    Attributes:
        place: which cell it is.
        cell: the cell, with the parameters it computed with.
        lengths: real steps of each row; None: all are.
        reverse: whether it read from the rows' ends.
        times: each step's place in time.
        inputs: what it read, `(B, I)`; of steps past a row's end, anything.
        before: the state before it, without its history.
        outputs: `(B, H)`, without history.
        states: the state after it, as nodes of the graph: gradients with respect to them are all
            that reaches the loss through the output and through later steps.
    """

    place: Place
    cell: Cell
    lengths: Tensor | None
    reverse: bool
    times: list[int] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    before: list[State] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.inputs[0])

    def real(self) -> Tensor:
        """Return which steps are real, `(T, B)`: in the order of reading, of each row.

        Where a decoder goes on with fewer rows, these are the first ones.
        """
        running = torch.tensor([len(x_BI) for x_BI in self.inputs])
        real_TB = torch.arange(self.rows) < running.unsqueeze(1)
        if self.lengths is not None:
            real_TB &= torch.tensor(self.times).unsqueeze(1) < self.lengths.cpu()
        return real_TB

    def ends(self) -> Tensor:
        """Return the time of each row's last step read, `(B,)`; -1 of a row without any."""
        if self.reverse:
            return torch.where(self.real().any(0), 0, -1)
        return self.real().sum(0) - 1


class Tape:
    """Keeps what every layer of a network does inside `with tape.running():`.

    Raises:
        InputError: the network has no layer of Elman's.
    """

    def __init__(self, network: nn.Module) -> None:
        # A cell bound to other tensors is another object, but shares its dictionary of parameters.
        self._places: dict[int, Place] = {}
        for name, label, stack in stacks_of(network):
            shape = (stack.num_layers, stack.num_directions)
            for index, cell in enumerate(stack.cells):
                layer, direction = divmod(index, stack.num_directions)
                self._places[id(cell._parameters)] = Place(name, label, layer, direction, *shape)
        if not self._places:
            raise InputError(
                f"{type(network).__name__}: has no recurrent layer of Elman's to look into; "
                "elman.accelerate(module) puts them in the place of torch's"
            )
        self._tracks: dict[int, Track] = {}

    @property
    def tracks(self) -> list[Track]:
        """What was kept, in the order of the network's modules, layer by layer."""
        return [self._tracks[key] for key in self._places if key in self._tracks]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep what runs inside the block; it runs in the reference engine."""
        with engines.watching(self._begin):
            yield

    def _begin(self, cell: Cell, x_TBI: Tensor, state: State, how: How) -> engines.See:
        key = id(cell._parameters)
        place = self._places.get(key)
        if place is None:  # a cell that somebody unrolls without a layer
            place = self._places[key] = Place("", type(cell).__name__, 0, 0, 1, 1)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = Track(place, cell, how.lengths, how.reverse)
        elif how.lengths is not None or track.lengths is not None:
            raise InputError(
                f"{place.name or type(cell).__name__}: runs several times over rows of different "
                "lengths; what came before what is not known; pass rows of one length"
            )
        # A decoder that is run a step at a time calls once a step.
        offset = len(track.times)
        before = tuple(part.detach() for part in state)

        def see(t: int, output_BH: Tensor, new_state: State) -> tuple[Tensor, State]:
            nonlocal before
            nodes = tuple(_node(part) for part in new_state)
            # What reads the output is to reach the loss through the node as well.
            for part, node in zip(new_state, nodes, strict=True):
                if output_BH is part:
                    output_BH = node
            track.times.append(offset + t)
            track.inputs.append(x_TBI[t].detach())
            track.before.append(before)
            track.outputs.append(output_BH.detach())
            track.states.append(nodes)
            after = tuple(node.detach() for node in nodes)
            if how.lengths is not None:  # past its end a row keeps its state
                real_B1 = (t < how.lengths).unsqueeze(1).to(x_TBI.device)
                pairs = zip(after, before, strict=True)
                after = tuple(torch.where(real_B1, new, old) for new, old in pairs)
            before = after
            return output_BH, nodes

        return see


def stacks_of(network: nn.Module) -> list[tuple[str, str, Stack]]:
    """Return a network's recurrent layers: name, name in words, and the layer."""
    named = [each for each in network.named_modules() if isinstance(each[1], Stack)]
    found = []
    for name, stack in named:
        words = [word for word in name.split(".") if word not in ("body", "recurrent")]
        label = ".".join(words)
        if re.fullmatch(r"encoders\.\d+", label):
            several = sum(".encoders." in f".{other}" for other, _ in named) > 1
            label = f"encoder {int(words[-1]) + 1}" if several else "encoder"
        found.append((name, label if len(named) > 1 else "", stack))
    return found


def _node(part: Tensor) -> Tensor:
    """Return a tensor as a node of its own, also where nothing before it has gradients."""
    return part.view_as(part) if part.requires_grad else part.detach().requires_grad_()
