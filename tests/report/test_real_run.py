"""The page of a run that `Model.fit` made, and that the fixtures' runs are like it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from elman.config import Config
from elman.model import Model
from elman.report import read_run, write_report

INPUTS, TARGET = 'series:"price, EUR",rain', 'forecast:"price, EUR"'


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A run whose best baseline is the last value on validation, that of a week ago on test."""
    folder = tmp_path_factory.mktemp("real")
    rng, day = np.random.default_rng(5), np.arange(200)
    price = 100 + 200 * (day % 7 == 6) + rng.normal(0, 1, 200)
    price[140:170] = 100 + np.arange(30)
    table = folder / "prices.csv"
    pl.DataFrame({"price, EUR": price, "rain": rng.uniform(0, 1, 200)}).write_csv(table)
    model = Model(
        INPUTS, TARGET, horizon=2, lookback=8, period=7, hidden=4, epochs=2, quantiles="0.1,0.9",
        valid=30, test=30, device="cpu",
    )  # fmt: skip
    model.fit(table, run=folder / "run")
    write_report(folder / "run", series=model.series(table))
    return folder / "run"


@pytest.fixture(scope="module")
def page(real) -> str:
    text = (real / "report.html").read_text(encoding="utf-8")
    return html.unescape(text)


def test_says_what_went_in(page):
    assert f"Forecast: price, EUR, 2 steps ahead, from {INPUTS}." in page


def test_names_the_baseline_that_each_span_carries(real, page):
    frame = pl.read_csv(real / "predictions.csv")
    prices = pl.read_csv(real.parent / "prices.csv")["price, EUR"].to_numpy()
    names = {"valid": "last value", "test": "seasonal naive (7 steps)"}
    run = read_run(real)
    for split, name in names.items():
        mine = frame.filter(pl.col("split") == split)
        # Rows count from 1; a week before the step forecast, or the last step known.
        back = mine["origin"] if split == "valid" else mine["time"] - 7
        assert (mine["baseline"].to_numpy() == prices[back.to_numpy() - 1]).all()
        assert run.baseline_name(split, "price, EUR") == name
    part = page.split("<h2>Forecasts against the truth</h2>")[1].split("</section>")[0]
    said = re.findall(
        r"Forecasts 2 steps ahead on the (\w+) span.*?\(gru\), .*? \((.*?\)?)\)", part
    )
    assert set(said) == {("validation", "last value"), ("test", "seasonal naive (7 steps)")}
    # Where windows of both spans stand side by side, so do their baselines' names.
    part = page.split("<h2>Worst windows</h2>")[1].split("</section>")[0]
    shown = list(dict.fromkeys(re.findall(r"from \d+ · (validation|test): error", part)))
    assert shown
    spans = {"validation": "last value", "test": "seasonal naive (7 steps)"}
    assert f"</svg>{' or '.join(spans[span] for span in shown)}</li>" in part


def test_an_unfinished_run_knows_its_targets(real, tmp_path):
    (tmp_path / "config.yaml").write_text((real / "config.yaml").read_text())
    assert read_run(tmp_path).targets == ["price, EUR"]


def test_the_fixtures_are_like_it(real, folders):
    """A page made from what no run has would be tested in vain."""
    for name in ("single", "fortnight", "panel"):
        assert set(yaml.safe_load((folders[name] / "config.yaml").read_text())) <= set(
            Config.model_fields
        )
        made, true = (json.loads((f / "model.json").read_text()) for f in (folders[name], real))
        assert set(made) <= set(true)
        for part in ("data", "target", "network", "training"):
            assert set(made[part]) <= set(true[part]), part
        assert set().union(*made["scores"]) <= set(true["scores"][0])
        lines = [(f / "metrics.jsonl").read_text().splitlines()[0] for f in (folders[name], real)]
        assert set(json.loads(lines[0])) <= set(json.loads(lines[1]))
        heads = [(f / "predictions.csv").read_text().splitlines()[0] for f in (folders[name], real)]
        assert heads[1].startswith(heads[0])
