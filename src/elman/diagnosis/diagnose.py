"""A diagnosis: all that is measured of a network on some rows, what it means, and in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from elman.diagnosis.activity import activations, outputs, sampled
from elman.diagnosis.findings import Finding, Layer, Setup, findings_of
from elman.diagnosis.flow import GradientFlow, LayerFlow, as_probe, flow_of
from elman.diagnosis.influence import Influence, influences
from elman.diagnosis.jacobian import recurrent_weights, stretch
from elman.diagnosis.tape import Track
from elman.kinds.probe import Probe

FORMAT = 1
_DIGITS = 5


@dataclass(frozen=True)
class Diagnosis:
    """What was measured and found.

    Attributes:
        rows, loss: what was looked at, and whose gradient was taken, in words.
        cut: steps that longer rows were cut to; None: none was.
        layers: of each cell.
        influences: of each layer that reads whole sequences.
        findings: worst first.
    """

    rows: str
    loss: str
    cut: int | None
    layers: tuple[Layer, ...]
    influences: tuple[Influence, ...]
    findings: tuple[Finding, ...]

    @property
    def headline(self) -> str:
        """Return in a sentence how far the network remembers, by its best layer."""
        flows = [layer.flow for layer in self.layers if layer.flow.reach >= 1]
        if not flows:
            return "It reads one step: there is nothing to remember."
        if any(flow.halved is None for flow in flows if flow.curve_K[1] > 0):
            reach = max(flow.reach for flow in flows)
            return f"Gradients have not halved after {reach:,} steps, the most that was looked at."
        longest = max(flows, key=lambda flow: flow.halved or 0)
        name = f" (in {longest.place.name})" if len(flows) > 1 and longest.place.name else ""
        number = longest.halved or 1
        return (
            f"This network remembers about {number:,} step{'' if number == 1 else 's'}: after so "
            f"many, half of the gradient is left{name}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "format": FORMAT,
            "headline": self.headline,
            "rows": self.rows,
            "loss": self.loss,
            "cut": self.cut,
            "findings": [asdict(finding) for finding in self.findings],
            "layers": [_of_layer(layer) for layer in self.layers],
            "influences": [_plain(asdict(each)) for each in self.influences],
        }


def diagnose(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    batch_first: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Measure all there is to see in a network of Elman layers, and say what it means.

    Args:
        module, batch, loss, lengths, batch_first: as `gradient_flow` takes them.
        options: how the network is trained, as far as remedies are to know: `clip_norm=1.0`.

    Raises:
        InputError: as `gradient_flow`.
    """
    probe = as_probe(module, batch, loss, lengths, batch_first)
    return diagnose_probe(module, probe, Setup(options or {}))


def diagnose_probe(network: nn.Module, probe: Probe, setup: Setup) -> Diagnosis:
    """Measure a network on a probe; see `diagnose`."""
    flow, tracks = flow_of(network, probe)
    layers = tuple(_layer(each, track) for each, track in zip(flow.layers, tracks, strict=True))
    found = tuple(influences(network, probe))
    setup = replace(setup, once=_is_once(flow), influences=found)
    rows = probe.rows or f"{flow.rows:,} rows"
    loss = probe.loss or "step t"
    return Diagnosis(rows, loss, probe.cut, layers, found, tuple(findings_of(layers, setup)))


def _is_once(flow: GradientFlow) -> bool:
    return flow.questions == 1


def _layer(flow: LayerFlow, track: Track) -> Layer:
    x_NI, state = sampled(track)
    return Layer(
        type(track.cell).__name__,
        flow,
        stretch(track, x_NI, state),
        tuple(recurrent_weights(track.cell)),
        tuple(activations(track.cell, x_NI, state)),
        outputs(track),
    )


def _of_layer(layer: Layer) -> dict[str, Any]:
    flow = layer.flow
    return {
        "name": flow.place.name,
        "cell": layer.cell,
        "reach": flow.reach,
        "halved": flow.halved,
        "ratios": {str(lag): _number(flow.ratio(lag)) for lag in _told(flow.reach)},
        "curve": [_number(value) for value in flow.curve_K],
        "map": {
            "lags": flow.map_lags.tolist(),
            "asked": [_number(value) for value in flow.asked],
            "norms": [[_number(value) for value in row] for row in flow.map_QK],
        },
        "stretch": _plain(asdict(layer.stretch)),
        "weights": [_plain(asdict(each)) for each in layer.weights],
        "activations": [_plain(asdict(each)) for each in layer.activations],
        "outputs": _plain(asdict(layer.outputs)),
    }


def _told(reach: int) -> list[int]:
    return [lag for lag in sorted({1, 10, 100, 1000, reach}) if 1 <= lag <= reach]


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
        case float():
            return _number(value)
        case _:
            return value


def _number(value: float | np.floating | None) -> float | None:
    """Return a number with as many digits as are looked at; null where there is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.{_DIGITS}g}")
