"""What a cell is: gates, the names and sizes of its state, and one step in tensor arithmetic.

Shapes: B batch, I input features, H hidden features.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from elman.errors import InputError

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """A recurrence: the new state and the output, from one step's input and the state before it.

    Subclass it, write `step`, and every layer and engine can run it:

        class Leaky(Cell):
            def __init__(self, input_size: int, hidden_size: int):
                super().__init__(input_size, hidden_size)
                self.mix = nn.Linear(input_size + hidden_size, hidden_size)

            def step(self, x_BI, state):
                (h_BH,) = state
                h_BH = 0.9 * h_BH + 0.1 * torch.tanh(self.mix(torch.cat([x_BI, h_BH], dim=-1)))
                return h_BH, (h_BH,)

    Args:
        input_size: number of features in one step's input.
        hidden_size: number of hidden units; 1 makes a single neuron.

    A subclass with more than one state tensor sets `state_names`, and `state_sizes` where they
    are not all `hidden_size` wide; the output is as wide as the first state unless it overrides
    `output_size`.

    Raises:
        InputError: if a size is not a positive integer.
    """

    gates: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ("h",)
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the cell and note the arguments, so that `fresh` asks nothing of a subclass."""
        cell = super().__new__(cls)
        cell.__dict__["_arguments"] = (args, kwargs)
        return cell

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or size < 1:
                raise InputError(f"{name}: expected a positive integer, got {size!r}")
        self.input_size = input_size
        self.hidden_size = hidden_size

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but no parameter or module that the class would hide."""
        if isinstance(value, nn.Module | nn.Parameter) and hasattr(type(self), name):
            raise InputError(
                f"{type(self).__name__}.{name}: every cell has something of that name, which would "
                f"hide this {type(value).__name__}; choose another name"
            )
        super().__setattr__(name, value)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each state tensor, in the order of `state_names`."""
        return (self.hidden_size,) * len(self.state_names)

    @property
    def output_size(self) -> int:
        """The width of the output."""
        return self.state_sizes[0]

    @property
    def output_is_state(self) -> bool:
        """Whether the output is the first state tensor, as it is unless a cell says otherwise."""
        return True

    def initial_state(
        self,
        batch: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """Return the state before the first step: zeros of shape (batch, size), one a name."""
        return tuple(
            torch.zeros(batch, size, device=device, dtype=dtype) for size in self.state_sizes
        )

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output (B, output_size) and the state after reading `x_BI` in `state`."""
        raise NotImplementedError(f"{type(self).__name__} has no step(x_BI, state)")

    def forward(self, x_BI: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Take one step, from the initial state if none is given."""
        if state is None:
            state = self.initial_state(x_BI.shape[0], device=x_BI.device, dtype=x_BI.dtype)
        return self.step(x_BI, state)

    def fresh(self, input_size: int | None = None) -> Self:
        """Return a new cell made with the same arguments, its parameters drawn anew.

        It lies on this cell's device, in this cell's dtype.

        Args:
            input_size: the new cell's input size, if it is to differ.

        Raises:
            InputError: if another input size is asked for and the constructor takes no
                `input_size`.
        """
        args, kwargs = self._arguments
        if input_size is not None:
            call = inspect.signature(self.__init__).bind(*args, **kwargs)
            if "input_size" not in call.arguments:
                raise InputError(
                    f"{type(self).__name__}: its constructor has no argument input_size, which a "
                    "second layer needs; name its first argument input_size, or use num_layers=1"
                )
            call.arguments["input_size"] = input_size
            args, kwargs = call.args, call.kwargs
        cell = type(self)(*args, **kwargs)
        like = next(self.parameters(), None)
        return cell if like is None else cell.to(device=like.device, dtype=like.dtype)

    def bind(self, tensors: Mapping[str, Tensor]) -> Self:
        """Return this cell computing with `tensors` in place of its parameters of those names.

        Nothing is copied, and this cell stays as it is: a layer that keeps the parameters under
        names of its own hands them to its cells this way.
        """
        cell = object.__new__(type(self))
        # Attributes of the instance are found before nn.Module looks among its parameters.
        cell.__dict__.update(self.__dict__)
        cell.__dict__.update(tensors)
        return cell

    def extra_repr(self) -> str:
        """Return the sizes, for `repr`."""
        return f"{self.input_size}, {self.hidden_size}"
