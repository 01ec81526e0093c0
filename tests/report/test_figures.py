"""What the figures compute before they draw, and the pages that compare runs."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from elman.report import (
    Cell,
    Section,
    Table,
    compare_forecasts,
    compare_training,
    score_table,
    write_comparison,
)
from elman.report.figures.canvas import picture, thin, tick, with_prefix
from elman.report.figures.lines import stretches
from elman.report.figures.residuals import autocorrelation, autocorrelation_words


def test_autocorrelation_by_hand():
    # Deviations -1.5 -0.5 0.5 1.5; squares sum to 5; lag 1: 0.75-0.25+0.75; lag 2: -0.75-0.75.
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert autocorrelation([values], 2) == pytest.approx([1.25 / 5, -1.5 / 5])
    # Two series pool their sums, each about its own mean; the short one has no lag 2.
    pooled = autocorrelation([values, np.array([7.0, 9.0])], 2)
    assert pooled == pytest.approx([(1.25 - 1) / 7, -1.5 / 7])
    assert autocorrelation([np.zeros(5)], 2).tolist() == [0, 0]


def test_autocorrelation_is_read_aloud():
    noise = np.full(30, 0.01)
    noise[4] = 0.12
    words = autocorrelation_words(noise, 0.1)
    assert words.startswith("1 of 30 lags lie outside the grey 95% band of ±0.1 ")
    assert "look like noise" in words
    noise[0] = -0.5
    assert "The largest, −0.5, is at lag 1: errors repeat" in autocorrelation_words(noise, 0.1)


def test_thinning_keeps_the_extremes():
    x = np.arange(50_000)
    y, z = np.zeros(50_000), np.zeros(50_000)
    y[12_345], z[33_333] = 9.0, -7.0
    x_few, y_few, z_few = thin(x, y, z, points=400)
    assert len(x_few) <= 402
    assert (y_few.max(), z_few.min()) == (9.0, -7.0)
    assert (x_few[0], x_few[-1]) == (0, 49_999)
    assert np.all(np.diff(x_few) > 0)
    assert thin(x[:400], y[:400], points=400)[0] is not None


def test_stretches_are_means():
    x, means = stretches(np.arange(6), np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0]), pieces=3)
    assert x.tolist() == [1, 3, 5]
    assert means.tolist() == [2.0, 6.0, 10.0]


@pytest.mark.parametrize(
    ("value", "text"), [(20000.0, "20,000"), (0.25, "0.25"), (-3.0, "−3"), (12e6, "12 M")]
)
def test_ticks(value, text):
    assert tick(value) == text


def test_ids_get_a_prefix_only_inside_tags():
    svg = '<g id="a"><use xlink:href="#a"/><g clip-path="url(#a)"/><text>id="a" url(#a)</text></g>'
    assert with_prefix(svg, "f1-") == (
        '<g id="f1-a"><use xlink:href="#f1-a"/><g clip-path="url(#f1-a)"/>'
        '<text>id="a" url(#a)</text></g>'
    )


def test_drawing_ignores_the_users_settings_and_leaves_them_alone():
    import matplotlib as mpl

    def draw(figure):
        figure.subplots().plot([0, 1], [0, 1])

    before = set(sys.modules)  # other tests' libraries may have loaded it
    plain = picture("t", "c", draw, size="half").svg
    with mpl.rc_context({"lines.linewidth": 9, "axes.grid": False, "svg.fonttype": "path"}):
        assert picture("t", "c", draw, size="half").svg == plain
        assert mpl.rcParams["lines.linewidth"] == 9
    assert "matplotlib.pyplot" not in set(sys.modules) - before
    assert "<style" not in plain
    assert "font-family" not in plain


ROWS = [
    {"forecaster": "last value", "kind": "baseline", "mae": 2.0, "rmse": 3.0, "n": 10},
    {"forecaster": "rnn", "kind": "model", "mae": 4.0, "rmse": 2.5, "n": 10},
    {"forecaster": "gru", "kind": "model", "mae": 2.0, "rmse": None, "n": 10},
]


def test_score_table_orders_and_marks():
    table = score_table(ROWS, "price")
    assert table.caption == "price; 10 forecasts each"
    assert list(table.columns) == ["Forecaster", "MAE", "RMSE"]
    assert table.rows == [
        [Cell("gru"), Cell("2.00", strong=True), Cell("–")],
        [Cell("rnn"), Cell("4.00"), Cell("2.50", strong=True)],
        [Cell("last value"), Cell("2.00", strong=True), Cell("3.00")],
    ]
    assert table.marked == {0, 1}


def test_coverage_is_best_when_nearest():
    rows = [dict(ROWS[0], coverage=0.95), dict(ROWS[1], coverage=0.7)]
    cells = [row[-1] for row in score_table(rows, "price", coverage=0.8).rows]
    assert cells == [Cell("70%", strong=True), Cell("95%")]


def test_several_runs_over_one_truth():
    x = np.datetime64("2004-08-19", "us") + np.arange(60) * np.timedelta64(1, "D")
    truth = np.sin(np.arange(60.0))
    seen = compare_forecasts(
        "Test span",
        x,
        truth,
        {"rnn": truth + 0.2, "gru": truth - 0.1},
        baseline=("last value", truth + 0.4),
        unit="US dollars",
    )
    assert seen.caption == (
        "60 steps from 2004-08-19 to 2004-10-17."
        " MAE of what is drawn, best first: gru 0.100; rnn 0.200; last value 0.400."
    )
    assert [key.label for key in seen.keys] == ["truth", "last value", "rnn", "gru"]
    assert seen.svg.count("stroke: var(--second)") == 1
    assert "US dollars" in seen.svg


def test_several_runs_in_training():
    epochs = np.arange(1.0, 21)
    runs = {
        "rnn": {"epoch": epochs, "valid_loss": 1 / epochs},
        "gru": {"epoch": epochs[:5], "valid_loss": np.array([5, 4, 0.5, 2, 3.0])},
        "lstm": {"epoch": epochs},
    }
    seen = compare_training("Validation loss", runs)
    assert seen.caption == (
        "Lowest validation loss (marked): rnn 0.05 at epoch 20; gru 0.5 at epoch 3."
    )
    assert [key.label for key in seen.keys] == ["rnn", "gru"]


def test_a_comparison_page(tmp_path):
    path = write_comparison(
        tmp_path / "demo.html",
        "Two series <b>",
        "An introduction.",
        [
            Section("Share price", ["A paragraph & more.", score_table(ROWS, "price")]),
            Section("Mackey-Glass", [Table(("a", "b"), [("x", "1")], "numbers", "lr")]),
        ],
    )
    text = path.read_text(encoding="utf-8")
    assert "<h1>Two series &lt;b&gt;</h1>" in text
    assert "<p>A paragraph &amp; more.</p>" in text
    assert '<td class="r">1</td>' in text
    assert re.findall(r"<h2>(.*?)</h2>", text) == ["Share price", "Mackey-Glass"]
