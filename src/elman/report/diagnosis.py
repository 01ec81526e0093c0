"""The section of the diagnosis: how far the network remembers, where `elman diagnose` looked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elman.report.blocks import (
    Block,
    Gallery,
    Heading,
    Paragraph,
    Remark,
    Remarks,
    Section,
    Table,
    Tone,
    Verdict,
)
from elman.report.figures.diagnosis import (
    activation_pictures,
    flow_picture,
    influence_picture,
    layers_picture,
    map_picture,
)
from elman.report.formats import MISSING, number, percent
from elman.report.run_data import RunData, as_float, listed, part

_MOST_GATES = 12  # histograms drawn; the table has all
_MOST_MAPS = 2


def diagnosis(run: RunData) -> Section | None:
    """What was found, how far gradients reach, what gates and units do; None if nobody asked."""
    found = run.diagnosis
    if not found:
        return None
    layers = [layer for layer in listed(found, "layers") if isinstance(layer, dict)]
    names = [str(layer.get("name") or _cell(layer)) for layer in layers]
    blocks: list[Block | str] = [Verdict(str(found.get("headline", "")), _tone(found))]
    if found.get("weights_sha256") != run.model.get("weights_sha256"):
        text = "The network was trained on since it was looked at: ask `elman diagnose` again."
        blocks.append(Paragraph(text, "warning"))
    blocks.append(_what(found))
    remarks = [
        Remark(each["severity"], each["message"], each["remedy"])
        for each in listed(found, "findings")
    ]
    if remarks:
        blocks.append(Remarks(remarks))
    else:
        blocks.append("Nothing was found that stands in the way of learning.")
    pictures = [flow_picture(layers, names), layers_picture(layers, names)]
    pictures += [
        map_picture(layer, name if len(layers) > 1 else "")
        for layer, name in list(zip(layers, names, strict=True))[-_MOST_MAPS:]
    ]
    influences = listed(found, "influences")
    pictures.append(influence_picture(influences))
    blocks += [each for each in pictures if each is not None]
    blocks += [_stretches(layers, names), _STRETCH_WORDS]
    gates = [
        drawn
        for layer, name in zip(layers, names, strict=True)
        for drawn in activation_pictures(layer, f"{name}: " if len(layers) > 1 else "")
    ]
    if gates:
        blocks.append(Heading("What gates and units gave"))
        blocks.append(Gallery("", gates[:_MOST_GATES], _GATES_WORDS))
    blocks.append(_saturation(layers, names))
    return Section("Diagnosis", blocks)


_STRETCH_WORDS = (
    "Nats a step: mean log growth of a gradient carried back along the data, below 0 it shrinks. "
    "Radius and largest: spectral radius and largest singular value of the Jacobian of a step, "
    "medians over the data. Weights: spectral radius of each gate's recurrent weights. Dead units "
    "vary by less than a thousandth of the layer's range."
)
_GATES_WORDS = (
    "Shares of all values over units, steps and rows. Low and high are below 0.1 and above 0.9 of "
    "a sigmoid, beyond ±0.95 of a tanh; of a relu, low is 0."
)


def _cell(layer: Mapping[str, Any]) -> str:
    return str(layer.get("cell", "")).removesuffix("Cell")


def _tone(found: Mapping[str, Any]) -> Tone:
    severities = {each.get("severity") for each in listed(found, "findings")}
    if "error" in severities:
        return "bad"
    return "warning" if "warning" in severities else ""


def _what(found: Mapping[str, Any]) -> str:
    words = (
        f"Loss: {found.get('loss')}; {found.get('rows')}. The norm of its gradient with respect to "
        "the state some steps before was measured, in evaluation mode, row by row."
    )
    cut = found.get("cut")
    return words + (f" Longer rows were cut to {cut:,} steps." if cut else "")


def _stretches(layers: list[dict[str, Any]], names: list[str]) -> Table:
    rows = []
    for name, layer in zip(names, layers, strict=True):
        stretch, outputs = part(layer, "stretch"), part(layer, "outputs")
        halved = layer.get("halved")
        weights = [
            f"{each['gate']} {number(each['radius'], 2)}" for each in listed(layer, "weights")
        ]
        rows.append(
            [
                name,
                MISSING if halved is None else f"{halved:,}",
                *(
                    number(as_float(stretch.get(key)), 2)
                    for key in ("growth", "radius", "singular")
                ),
                ", ".join(weights) or MISSING,
                percent(as_float(outputs.get("dead"))),
            ]
        )
    columns = (
        "layer",
        "halved at lag",
        "nats a step",
        "radius",
        "largest",
        "weights",
        "dead units",
    )
    return Table(columns, rows, "What a step does to the state", "lrrrrlr")


def _saturation(layers: list[dict[str, Any]], names: list[str]) -> Table:
    rows = [
        [name, each["name"], each["kind"], percent(each["low"]), percent(each["high"])]
        for name, layer in zip(names, layers, strict=True)
        for each in listed(layer, "activations")
    ]
    return Table(("layer", "what", "function", "low", "high"), rows, "Saturation", "lllrr")
