"""What measurements mean, in words: a table of rules, each with its remedy and the option for it.

A rule says what it found in a layer, or nothing; the remedies whose condition holds are told with
it, so that nobody is told to take an LSTM who has one. Adding a rule is adding it to `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from elman.diagnosis.activity import Activation, Outputs
from elman.diagnosis.flow import LayerFlow
from elman.diagnosis.influence import Influence
from elman.diagnosis.jacobian import Stretch, Weights

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")

# Fewer steps than these are no long sequence: whatever shrinks over them can still be learnt.
_LONG = 20
# Adam divides a gradient by its usual size, so a small one counts as long as it is told from the
# rounding of float32 (6e-8) in the sum with those of later steps.
_LOST = 1e-6
# Beyond this, one row decides the direction of a whole mini-batch's step.
_EXPLODED = 1e3
_RARELY_OPEN, _MOSTLY, _OFTEN = 0.75, 0.5, 0.25


@dataclass(frozen=True)
class Layer:
    """All that was measured of one cell.

    Attributes:
        cell: its class, such as `LSTMCell`.
        flow: how far gradients reach.
        stretch: what a step does to its state.
        weights: of each gate, where they are known.
        activations: in the order in which its step calls them.
        outputs: what its units answered.
    """

    cell: str
    flow: LayerFlow
    stretch: Stretch
    weights: tuple[Weights, ...]
    activations: tuple[Activation, ...]
    outputs: Outputs

    @property
    def name(self) -> str:
        """Return where it is, in words; never empty."""
        return self.flow.place.name or "the layer"

    def gate(self, name: str) -> Activation | None:
        """Return what a gate gave, if the cell has it."""
        return next((each for each in self.activations if each.name == name), None)


@dataclass(frozen=True)
class Setup:
    """How a network came about, as far as it is known.

    Attributes:
        options: those of a run; empty for a module that was made by hand.
        once: whether a row is answered once, at its end.
        influences: what replaced inputs did, by layer.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False
    influences: tuple[Influence, ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        """Return an option's value; the default where it is not known."""
        return self.options.get(name, default)


@dataclass(frozen=True)
class Finding:
    """One thing noticed.

    Attributes:
        rule: its name in `RULES`.
        severity: error, warning or note.
        message: where, and what was measured.
        remedy: what to do.
        options: the options that do it, as the command line has them.
    """

    rule: str
    severity: Severity
    message: str
    remedy: str = ""
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return message and remedy in one line."""
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


Said = Callable[[Layer, Setup], str | None]
Holds = Callable[[Layer, Setup], bool]


@dataclass(frozen=True)
class Remedy:
    """What helps: the option, why in a few words, and where it applies."""

    option: str
    why: str
    holds: Holds = lambda layer, setup: True


@dataclass(frozen=True)
class Rule:
    """What is told of a layer: how bad, what was measured (None: nothing to tell), what helps."""

    name: str
    severity: Severity
    found: Said
    remedies: tuple[Remedy, ...] = ()


def findings_of(layers: Sequence[Layer], setup: Setup) -> list[Finding]:
    """Return what the rules find, worst first; a rule that finds several layers tells the first."""
    found = []
    for rule in RULES:
        told = [(layer, text) for layer in layers if (text := rule.found(layer, setup))]
        if not told:
            continue
        layer, text = told[0]
        others = [each.name for each, _ in told[1:]]
        where = f"{layer.flow.place.name}: " if layer.flow.place.name else ""
        more = f" (and of {', '.join(others)})" if others else ""
        remedies = [each for each in rule.remedies if each.holds(layer, setup)]
        steps = layer.flow.reach + 1
        options = tuple(each.option.format(steps=steps) for each in remedies)
        words = [f"{option} {each.why}" for option, each in zip(options, remedies, strict=True)]
        found.append(
            Finding(rule.name, rule.severity, where + text + more, _listed(words), options)
        )
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def _listed(words: Sequence[str]) -> str:
    return ", or ".join(words)


# What the rules ask.


def _is(*cells: str) -> Holds:
    return lambda layer, setup: layer.cell in {f"{cell}Cell" for cell in cells}


def _unset(option: str, *values: Any) -> Holds:
    """Hold where an option has one of these values; also where it is not known."""
    return lambda layer, setup: setup.get(option, values[0]) in values


def _both(*conditions: Holds) -> Holds:
    return lambda layer, setup: all(each(layer, setup) for each in conditions)


def _left(layer: Layer, lag: int) -> str:
    ratio = layer.flow.ratio(lag)
    return "none" if not ratio else f"{ratio:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _reaches(layer: Layer) -> str:
    flow = layer.flow
    lag = min(100, flow.reach)
    halved = flow.halved
    begins = "never halved" if halved is None else f"halved after {_steps(halved)}"
    rate = layer.stretch.growth
    told = "" if rate is None else f" ({rate:+.2f} nats a step along the data)".replace("-", "−")
    return f"{begins}, {_left(layer, lag)} of it left after {lag}{told}"


def _steps(number: int) -> str:
    return f"{number:,} step{'' if number == 1 else 's'}"


def _no_gradient(layer: Layer, setup: Setup) -> str | None:
    flow = layer.flow
    if flow.reach < 1 or flow.curve_K[1] > 0:
        return None
    return "no gradient at all reaches the step before: what was read earlier cannot be learnt"


def _vanishes_where_needed(layer: Layer, setup: Setup) -> str | None:
    return f"gradients vanish: {_reaches(layer)}" if _vanishes(layer) and setup.once else None


def _vanishes_somewhere(layer: Layer, setup: Setup) -> str | None:
    if not _vanishes(layer) or setup.once:
        return None
    return (
        f"gradients vanish beyond some steps: {_reaches(layer)}; each step's own loss trains what "
        "lies nearer"
    )


def _vanishes(layer: Layer) -> bool:
    flow = layer.flow
    if flow.reach < _LONG:
        return False
    # Half way back: of the very first steps few rows may tell.
    ratio = flow.ratio(flow.reach // 2)
    return ratio is not None and ratio < _LOST


def _explodes(layer: Layer, setup: Setup) -> str | None:
    flow = layer.flow
    ratios = [ratio for lag in range(1, flow.reach + 1) if (ratio := flow.ratio(lag)) is not None]
    most = max(ratios, default=0.0)
    if most < _EXPLODED:
        return None
    lag = 1 + ratios.index(most)
    rate = layer.stretch.growth
    told = "" if rate is None else f", {rate:+.2f} nats a step along the data".replace("-", "−")
    return f"gradients explode: {most:.0e} times as large after {_steps(lag)}{told}"


def _dead_relu(layer: Layer, setup: Setup) -> str | None:
    rectified = any(each.kind == "relu" for each in layer.activations)
    share = layer.outputs.zero
    if not rectified or share <= 0.1:
        return None
    return f"{share:.0%} of {layer.outputs.units} units are 0 at every step: they learn no more"


def _dead(layer: Layer, setup: Setup) -> str | None:
    share = layer.outputs.dead
    if share <= _OFTEN or _dead_relu(layer, setup):
        return None
    return (
        f"{share:.0%} of {layer.outputs.units} units hardly vary over the data (by less than a "
        "thousandth of the layer's range)"
    )


def _forgets(layer: Layer, setup: Setup) -> str | None:
    for name in ("forget gate", "update gate"):
        gate = layer.gate(name)
        if gate is not None and gate.low > _MOSTLY:
            return f"the {name} is below 0.1 in {gate.low:.0%} of cases: what was read is dropped"
    return None


def _shut(layer: Layer, setup: Setup) -> str | None:
    forget = layer.gate("forget gate")
    keeps = forget is not None and forget.high > _OFTEN  # a long memory takes little in at a step
    for name in ("output gate",) if keeps else ("input gate", "output gate"):
        gate = layer.gate(name)
        if gate is not None and gate.low > _RARELY_OPEN:
            return f"the {name} is below 0.1 in {gate.low:.0%} of cases: it lets little through"
    return None


def _flat(layer: Layer, setup: Setup) -> str | None:
    flat = [each for each in layer.activations if each.kind == "tanh" and each.saturated > _MOSTLY]
    if not flat:
        return None
    worst = max(flat, key=lambda each: each.saturated)
    return (
        f"the tanh of the {worst.name} is saturated (beyond ±0.95) in {worst.saturated:.0%} of "
        "cases: hardly any gradient passes there"
    )


def _unused(layer: Layer, setup: Setup) -> str | None:
    """Say so where a network reads much further back than its answers depend on."""
    place = layer.flow.place
    # Inputs were replaced below all layers; of several networks the others may look further.
    if place.layer or place.directions > 1 or place.label:
        return None
    for influence in setup.influences:
        if influence.stack != place.stack or layer.flow.reach < _LONG:
            continue
        reach = influence.reach(0.05)
        if reach is not None and reach < layer.flow.reach / 4:
            return (
                f"answers depend on the last {_steps(reach + 1)} of {layer.flow.reach + 1:,}: "
                "replacing an input further back changes the output by less than 5%"
            )
    return None


_GATED = Remedy("--cell lstm", "keeps what was read behind gates", _is("RNN"))
_CHRONO = Remedy(
    "--chrono {steps}",
    "starts gates so that they remember that long",
    _both(_is("LSTM", "GRU"), _unset("chrono", None)),
)
_ORTHOGONAL = Remedy(
    "--init orthogonal",
    "starts with weights that keep lengths",
    _both(_is("RNN", "GRU", "LSTM"), _unset("init", "uniform")),
)
_FORGET_BIAS = Remedy(
    "--forget-bias 1",
    "starts with a memory that keeps",
    _both(_is("LSTM"), _unset("forget_bias", None), _unset("chrono", None)),
)
_CLIP = Remedy("--clip-norm 1", "limits each step", _unset("clip_norm", None, 0, 0.0))
_SLOWER = Remedy("a lower --learning-rate", "keeps weights from being thrown about")
_NORMED = Remedy(
    "--layer-norm",
    "keeps the sums where activations are not flat",
    _both(_is("RNN", "GRU", "LSTM"), _unset("layer_norm", False)),
)
_POOLED = Remedy(
    "--pooling attention",
    "leads straight to every step",
    _both(lambda layer, setup: setup.once and setup.get("topology") == "seq-to-vector",
          _unset("pooling", "last")),
)  # fmt: skip
_ATTEND = Remedy(
    "--attention additive",
    "leads straight to every step read",
    lambda layer, setup: (
        setup.get("topology") == "encoder-decoder" and setup.get("attention") == "none"
    ),
)
_LINEAR = Remedy(
    "--cell lru",
    "has a memory made for so many steps",
    lambda layer, setup: layer.flow.reach >= 300 and not _is("LRU")(layer, setup),
)

RULES: tuple[Rule, ...] = (
    Rule("no gradient", "error", _no_gradient, (_SLOWER, _GATED, _CLIP)),
    Rule(
        "vanishing", "warning", _vanishes_where_needed,
        (_GATED, _CHRONO, _FORGET_BIAS, _ORTHOGONAL, _POOLED, _ATTEND, _LINEAR),
    ),
    Rule("exploding", "warning", _explodes, (_CLIP, _GATED, _ORTHOGONAL, _SLOWER)),
    Rule(
        "dead relu", "warning", _dead_relu,
        (Remedy("--nonlinearity tanh", "has no such end", _is("RNN")), _SLOWER, _CLIP),
    ),
    Rule("forgetting", "warning", _forgets, (_FORGET_BIAS, _CHRONO, _NORMED, _SLOWER)),
    Rule("shut gate", "note", _shut, (_NORMED, _SLOWER)),
    Rule(
        "saturated", "note", _flat,
        (_NORMED, _SLOWER, Remedy("--weight-decay 0.0001", "keeps weights small",
                                  _unset("weight_decay", 0.0))),
    ),
    Rule(
        "vanishing far back", "note", _vanishes_somewhere,
        (_GATED, _CHRONO, _FORGET_BIAS, _ORTHOGONAL, _LINEAR),
    ),
    Rule(
        "dead", "note", _dead,
        (Remedy("a smaller --hidden", "may do as well"),
         Remedy("--layer-norm", "wakes them", _both(_is("RNN", "GRU", "LSTM"),
                                                    _unset("layer_norm", False)))),
    ),
    Rule(
        "unused past", "note", _unused,
        (Remedy("a smaller --lookback", "is faster and answers alike",
                lambda layer, setup: setup.get("lookback") is not None),),
    ),
)  # fmt: skip
