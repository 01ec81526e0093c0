"""Rules, on measurements that are made up, one thing wrong at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from elman.config import Config
from elman.diagnosis.activity import Activation, Outputs
from elman.diagnosis.findings import RULES, Finding, Layer, Setup, findings_of
from elman.diagnosis.flow import LayerFlow
from elman.diagnosis.influence import Influence
from elman.diagnosis.jacobian import Stretch
from elman.diagnosis.tape import Place


def _flow(ratio: float, steps: int = 200, **place: Any) -> LayerFlow:
    at = {"stack": "recurrent", "label": "", "layer": 0, "direction": 0} | place
    curve = ratio ** np.arange(-1, steps - 1, dtype=float)
    nothing = np.zeros((1, 1))
    place_ = Place(**at, layers=1 + at["layer"], directions=1)
    return LayerFlow(place_, False, curve, nothing, np.zeros(1), np.zeros(1))


def _gate(name: str, kind: str = "sigmoid", low: float = 0.0, high: float = 0.0) -> Activation:
    return Activation(name, kind, low, high, (1,), (0.0, 1.0))


def _layer(cell: str = "LSTMCell", ratio: float = 0.99, **changes: Any) -> Layer:
    fine = Layer(
        cell,
        _flow(ratio),
        Stretch(-0.01, 0.9, 1.1),
        (),
        (_gate("forget gate"), _gate("input gate"), _gate("candidate", "tanh")),
        Outputs(100, 0.0, 0.0, (1,), (0.0, 1.0)),
    )
    return replace(fine, **changes)


def _found(layer: Layer, once: bool = True, **options: Any) -> dict[str, Finding]:
    return {each.rule: each for each in findings_of([layer], Setup(options, once))}


def test_of_a_sound_layer_nothing_is_said() -> None:
    assert findings_of([_layer()], Setup({}, once=True)) == []


def test_vanishing_where_the_answer_is_at_the_end() -> None:
    found = _found(_layer("RNNCell", 0.5, stretch=Stretch(-0.69, 0.5, 0.6)))
    assert list(found) == ["vanishing"]
    finding = found["vanishing"]
    assert finding.severity == "warning"
    assert finding.message == (
        "gradients vanish: halved after 2 steps, 2e-30 of it left after 100 (−0.69 nats a step "
        "along the data)"
    )
    assert finding.options == ("--cell lstm", "--init orthogonal")
    assert str(finding).startswith("gradients vanish: ")
    assert str(finding).endswith(finding.remedy)


def test_where_each_step_has_a_loss_vanishing_is_a_note() -> None:
    finding = _found(_layer("GRUCell", 0.5), once=False)["vanishing far back"]
    assert finding.severity == "note"
    assert finding.options == ("--chrono 200", "--init orthogonal")


def test_what_is_set_already_is_not_advised() -> None:
    plain = _found(_layer(ratio=0.5))["vanishing"].options
    assert plain == ("--chrono 200", "--forget-bias 1", "--init orthogonal")
    fewer = _found(_layer(ratio=0.5), chrono=300, init="orthogonal")["vanishing"].options
    assert fewer == ()
    pooled = _found(_layer(ratio=0.5), topology="seq-to-vector", pooling="last", chrono=9)
    assert "--pooling attention" in pooled["vanishing"].options
    bare = _found(_layer(ratio=0.5), topology="encoder-decoder", attention="none", chrono=9)
    assert "--attention additive" in bare["vanishing"].options


def test_short_or_slow_ones_do_not_vanish() -> None:
    assert _found(replace(_layer(), flow=_flow(0.2, 15))) == {}
    assert _found(_layer(ratio=0.9)) == {}  # 0.9^100 = 3e-5


def test_exploding() -> None:
    layer = _layer(ratio=1.05, stretch=Stretch(0.05, 1.1, 1.2))
    finding = _found(layer, clip_norm=0.0)["exploding"]
    assert finding.severity == "warning"
    assert finding.message == (
        "gradients explode: 2e+04 times as large after 199 steps, +0.05 nats a step along the data"
    )
    assert finding.options[0] == "--clip-norm 1"
    assert "--clip-norm 1" not in _found(layer, clip_norm=1.0)["exploding"].options


def test_no_gradient_at_all_is_an_error_and_comes_first() -> None:
    flow = replace(_flow(0.5), curve_K=np.array([1.0, 0.0, 0.0]))
    dead = Outputs(10, 0.9, 0.9, (1,), (0.0, 1.0))
    layer = _layer("RNNCell", flow=flow, activations=(_gate("units", "relu"),), outputs=dead)
    found = findings_of([layer], Setup({}, once=True))
    assert [(each.rule, each.severity) for each in found] == [
        ("no gradient", "error"),
        ("dead relu", "warning"),
    ]
    assert "90% of 10 units are 0 at every step" in found[1].message
    assert "--nonlinearity tanh" in found[1].options


def test_gates() -> None:
    dropped = _found(_layer(activations=(_gate("forget gate", low=0.6),)))["forgetting"]
    assert "forget gate is below 0.1 in 60% of cases" in dropped.message
    assert dropped.options[0] == "--forget-bias 1"
    dropped = _found(_layer("GRUCell", activations=(_gate("update gate", low=0.6),)))["forgetting"]
    assert dropped.options[0] == "--chrono 200"
    kept = _layer(activations=(_gate("forget gate", high=1.0),))
    assert _found(kept) == {}  # a memory that keeps is what it is for
    shut = _found(_layer(activations=(_gate("output gate", low=0.8),)))["shut gate"]
    assert shut.severity == "note"
    for high, told in ((0.1, True), (0.9, False)):
        gates = (_gate("forget gate", high=high), _gate("input gate", low=0.9))
        assert ("shut gate" in _found(_layer(activations=gates))) == told
    flat = _found(_layer(activations=(_gate("candidate", "tanh", 0.3, 0.4),)))["saturated"]
    assert "tanh of the candidate is saturated (beyond ±0.95) in 70%" in flat.message
    assert flat.options[0] == "--layer-norm"


def test_dead_units() -> None:
    finding = _found(_layer(outputs=Outputs(100, 0.4, 0.0, (1,), (0.0, 1.0))))["dead"]
    assert finding.message.startswith("40% of 100 units hardly vary")
    assert "a smaller --hidden" in finding.options


@pytest.mark.parametrize(("reach", "told"), [(8, True), (128, False)])
def test_a_past_that_is_not_used(reach: int, told: bool) -> None:
    lags = (0, 1, 8, 128)
    changed = tuple(0.5 if lag <= reach else 0.01 for lag in lags)
    influence = Influence("recurrent", "", lags, changed, (0.0,) * 4, 1.0)
    setup = Setup({"lookback": 200}, once=True, influences=(influence,))
    found = findings_of([_layer()], setup)
    assert [each.rule for each in found] == ["unused past"] * told
    if told:
        assert found[0].message.startswith("answers depend on the last 9 steps of 200")
        assert found[0].options == ("a smaller --lookback",)


def test_layers_that_have_the_same_are_told_together() -> None:
    layers = [replace(_layer(), flow=_flow(0.5, label="encoder", layer=n)) for n in range(2)]
    (finding,) = findings_of(layers, Setup({}, once=True))
    assert finding.message.startswith("encoder: gradients vanish")
    assert finding.message.endswith("(and of encoder, layer 2)")


def test_every_option_that_is_named_exists() -> None:
    known = {f"--{name.replace('_', '-')}" for name in Config.model_fields}
    named = {
        word
        for rule in RULES
        for remedy in rule.remedies
        for word in remedy.option.split()
        if word.startswith("--")
    }
    assert named - known == set()
    cells = {
        remedy.option.removeprefix("--cell ")
        for rule in RULES
        for remedy in rule.remedies
        if remedy.option.startswith("--cell ")
    }
    assert cells <= set(get_args(Config.model_fields["cell"].annotation))
