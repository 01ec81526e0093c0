"""accelerate: swap torch.nn's recurrent layers inside any model for Elman's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrize

from elman.layers.rnn import GRU, LSTM, RNN, DropIn

COMMON = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional")
# For each of torch's layers: Elman's, and the arguments to make it with.
REPLACEMENTS: dict[type[nn.Module], tuple[Callable[..., DropIn], tuple[str, ...]]] = {
    nn.RNN: (RNN, (*COMMON, "nonlinearity")),
    nn.GRU: (GRU, COMMON),
    nn.LSTM: (LSTM, (*COMMON, "proj_size")),
}
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def accelerate(module: nn.Module, *, say: Callable[[str], object] = print) -> nn.Module:
    """Replace every torch.nn.RNN, GRU and LSTM inside a model by Elman's layer, in place.

    The new layers hold the very same parameters, so optimizers go on as they were, and results
    stay the same to rounding. What cannot be replaced without changing what it does (a
    subclass, a module with hooks, parametrized, quantized or scripted) is left.

    Args:
        module: any model; or a recurrent layer itself, which is then not changed, but returned
            anew.
        say: called with one line for each recurrent layer, replaced or left and why.

    Returns:
        The model, or the new layer if `module` was itself one to be replaced.
    """
    # By identity: a layer registered in several places is replaced by one, and reported once.
    done: dict[nn.Module, nn.Module] = {}
    lines = 0

    def tell(line: str) -> None:
        nonlocal lines
        lines += 1
        say(line)

    def visit(child: nn.Module, name: str) -> nn.Module:
        if child in done:
            return done[child]
        done[child] = child
        label = f"{name or 'the module itself'} ({type(child).__name__})"
        if isinstance(child, torch.jit.ScriptModule):
            # Nothing inside can be replaced: report here, and do not go in.
            if any(_is_recurrent(inner) for inner in child.modules()):
                tell(f"{label}: left, it is compiled by TorchScript")
        elif _is_recurrent(child):
            reason = _reason_to_leave(child)
            if reason is None:
                done[child] = _replacement(child)
            tell(f"{label}: " + ("replaced" if reason is None else f"left, {reason}"))
        else:
            for key, inner in child._modules.items():
                if inner is not None:
                    child._modules[key] = visit(inner, f"{name}.{key}".lstrip("."))
        return done[child]

    result = visit(module, "")
    if not lines:
        say("no torch.nn.RNN, GRU or LSTM found")
    return result


def _is_recurrent(module: nn.Module) -> bool:
    """Whether a reader of the model would call this one of torch's recurrent layers."""
    if isinstance(module, torch.jit.ScriptModule):
        return module.original_name in ("RNN", "GRU", "LSTM")
    quantized = type(module).__module__.startswith(("torch.ao.", "torch.nn.quant"))
    return isinstance(module, nn.RNNBase) or (
        quantized and type(module).__name__ in ("RNN", "GRU", "LSTM")
    )


def _reason_to_leave(module: nn.Module) -> str | None:
    if parametrize.is_parametrized(module):
        return "it is parametrized; remove the parametrization first"
    if not isinstance(module, nn.RNNBase):
        return "it is quantized"
    if type(module) not in REPLACEMENTS:
        return f"{type(module).__qualname__} is a subclass, which may compute something else"
    if any(getattr(module, hooks, None) for hooks in HOOKS):
        return "it has hooks, which may change what it computes"
    if "forward" in module.__dict__:
        return "its forward was replaced"
    if list(module._parameters) != module._flat_weights_names:
        return "its parameters are not the ones torch gave it"
    return None


def _replacement(module: nn.Module) -> DropIn:
    """Return Elman's layer with the module's options, its training mode and its parameters."""
    make, names = REPLACEMENTS[type(module)]
    options = {name: getattr(module, name) for name in names}
    # On "meta" nothing is allocated, and no random numbers are used up.
    layer = make(**options, device="meta")
    # Set afterwards, for the warning about dropout in one layer was given when torch's was made.
    layer.dropout = module.dropout  # pyright: ignore[reportAttributeAccessIssue]
    layer.training = module.training
    layer._parameters.update(module._parameters)
    return layer
