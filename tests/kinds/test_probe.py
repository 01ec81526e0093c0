"""Rows for a diagnosis: their losses are those of training and scoring, however they are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import elman
from elman.kinds.probe import Probe, evenly, most_rows


def test_evenly() -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly(9, 3).tolist() == [0, 4, 8]
    assert evenly(1, 3).tolist() == [0]


def test_memory_bounds_rows() -> None:
    assert (most_rows(10, 256, 1000), most_rows(1000, 256, 1000), most_rows(9000, 9, 10)) == (
        100, 1, 1,
    )  # fmt: skip


def _fitted(table: Any, **options: Any) -> elman.Model:
    small = {"hidden": 4, "epochs": 1, "batch_size": 4}
    return elman.Model(**(small | options)).fit(table)


def _probe(model: elman.Model, table: Any = None, steps: int = 100) -> tuple[Probe, np.ndarray]:
    probe = model.probe(table, rows=8, steps=steps, most=10_000)
    assert model.network is not None
    with torch.no_grad():
        return probe, probe.losses(model.network).numpy()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"loss": "mae"}, (8, 12)),
        ({"loss": "mse", "topology": "seq-to-vector"}, (8, 1)),
        ({"quantiles": (0.1, 0.9)}, (8, 12)),
    ],
)
def test_forecasts(weekly: Path, options: dict[str, Any], shape: tuple[int, int]) -> None:
    model = _fitted(
        weekly, inputs="series:rides,rain", target="forecast:rides", time="date", horizon=2,
        lookback=12, **options,
    )  # fmt: skip
    probe, losses_BS = _probe(model)
    assert (losses_BS.shape, probe.cut) == (shape, None)
    # The mean over steps is what training takes, of the same windows.
    job = model._prepare(_table(model), None, [])
    windows = job.forecaster.windows(
        job.forecaster.track(job.parts), job.parts, "valid", within=False, score=False
    )
    batch = windows.batch(torch.from_numpy(evenly(len(windows), 8)))
    assert model.network is not None
    with torch.no_grad():
        output = model.network(batch.x_BTI, lengths=None)
        output = output if output.dim() == 3 else output.unsqueeze(1)
        wanted = job.forecaster.target.loss(output, batch)
    assert losses_BS.mean() == pytest.approx(wanted.item(), rel=1e-5)
    cut, losses_BS = _probe(model, steps=5)
    assert (losses_BS.shape[1], cut.cut) == (min(5, shape[1]), 5)


def test_of_chunks_as_many_steps_as_lie_before_the_span(weekly: Path) -> None:
    model = _fitted(
        weekly, inputs="series:rides", target="forecast:rides", time="date", tbptt=4
    )  # fmt: skip
    job = model._prepare(_table(model), None, [])
    ((start, _),) = [part.spans["valid"] for part in job.parts]
    _, losses_BS = _probe(model, steps=1000)
    assert losses_BS.shape == (8, start - 1)
    cut, losses_BS = _probe(model, steps=9)
    assert (losses_BS.shape, cut.cut) == ((8, 9), 9)


def _table(model: elman.Model) -> Any:
    from elman.data.table import read_table

    return read_table(model.config.table)


TEXT = {"split": "part", "embedding": 4, "min_count": 1}


def test_one_answer_a_row(examples: Path) -> None:
    model = _fitted(examples, inputs="text:text", target="category:label", **TEXT)
    probe, losses_B1 = _probe(model)
    assert (losses_B1.shape, probe.lengths, probe.answers) == ((6, 1), None, None)
    assert losses_B1.mean() == pytest.approx(_scored(model, examples, "valid"), rel=1e-5)


def test_an_answer_a_step(examples: Path) -> None:
    model = _fitted(examples, inputs="text:text", target="tags:tags", **TEXT)
    probe, losses_BT = _probe(model)
    assert probe.lengths is not None
    real = np.arange(losses_BT.shape[1]) < probe.lengths.numpy()[:, None]
    assert not losses_BT[~real].any()
    job = model._prepare(_table(model), None, [])
    assert model.network is not None
    with torch.no_grad():
        wanted, _ = job.task("cpu", "float32").validate(model.network)
    assert losses_BT[real].mean() == pytest.approx(wanted, rel=1e-5)
    cut, losses_BT = _probe(model, steps=2)
    assert (losses_BT.shape[1], cut.cut) == (2, 2)


def test_a_sequence_written(examples: Path) -> None:
    model = _fitted(examples, inputs="text:text", target="text:caption", **TEXT)
    probe, losses_BU = _probe(model)
    assert probe.answers == "body.decoder"
    assert probe.lengths is not None
    lengths = probe.lengths.tolist()
    assert lengths == sorted(lengths, reverse=True)  # a decoder drops rows from behind
    real = np.arange(losses_BU.shape[1]) < np.array(lengths)[:, None]
    job = model._prepare(_table(model), None, [])
    assert model.network is not None
    with torch.no_grad():
        wanted, _ = job.task("cpu", "float32").validate(model.network)
    assert losses_BU[real].mean() == pytest.approx(wanted, rel=1e-5)


def test_text_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("the king is here\nthe queen is gone\n" * 12)
    model = _fitted(
        path, inputs="text", target="next", embedding=4, min_count=1, level="character", tbptt=5,
        batch_size=2,
    )  # fmt: skip
    probe, losses_BT = _probe(model)
    assert losses_BT.shape == (8, 15)
    assert "15 tokens each" in probe.rows
    from elman.kinds.generation.use import nats_of

    job = model._prepare(_table(model), None, [])
    tokens = job.streams["valid"].tokens[:16]
    np.testing.assert_allclose(losses_BT[0], nats_of(model.network, tokens), rtol=1e-4)


def _scored(model: elman.Model, table: Path, split: str) -> float:
    job = model._prepare(_table(model), None, [])
    assert model.network is not None
    with torch.no_grad():
        return job.task("cpu", "float32").validate(model.network)[0]


def test_another_table_and_none(weekly: Path) -> None:
    frame = pl.read_csv(weekly, try_parse_dates=True)
    model = _fitted(frame, inputs="series:rides", target="forecast:rides", time="date", lookback=12)
    with pytest.raises(elman.InputError, match="fitted on a table in memory; name a table"):
        model.probe(rows=8, steps=9, most=100)
    assert _probe(model, weekly)[1].shape == (8, 12)
    with pytest.raises(elman.InputError, match="not fitted"):
        elman.Model("series:rides", "forecast:rides").probe(rows=8, steps=9, most=100)
