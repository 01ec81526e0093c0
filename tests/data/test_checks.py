from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from elman.data.checks import check_panel
from elman.data.findings import Finding
from elman.data.panel import make_panel
from elman.data.splits import make_splits
from elman.data.table import read_table
from elman.errors import InputError

ROWS = 200
NOISE = np.random.default_rng(0).normal(size=(ROWS + 40, 4))


def check(
    columns: dict, *, inputs=(), known=(), target="y", horizon=7, lookback=14, **options
) -> list[Finding]:
    """Check a table of `columns` whose last 30 + 30 rows validate and test."""
    categories = [c for c in (*inputs, *known) if isinstance(columns[c][0], str)]
    numbers = [c for c in (*inputs, *known, target) if c not in categories]
    panel = make_panel(
        read_table(pl.DataFrame(columns)),
        numbers=numbers,
        categories=categories,
        known=known,
        **options,
    )
    splits = make_splits(panel, "30", "30", lookback=lookback, horizon=horizon)
    return check_panel(
        panel,
        splits,
        inputs=[*inputs, target],
        targets=[target],
        known=known,
        lookback=lookback,
        horizon=horizon,
    )


def noise(shift: int = 0, column: int = 0) -> np.ndarray:
    """White noise; with a shift, what it is `shift` rows later."""
    return NOISE[20 + shift : 20 + shift + ROWS, column]


def test_good_data_has_no_findings():
    columns = {
        "y": noise(),
        "x": noise(column=1),
        "day": [str(i % 7) for i in range(ROWS)],
    }
    found = check(columns, inputs=["x"], known=["day"])
    assert found == []


@pytest.mark.parametrize("k", [1, 3, 7])
def test_an_input_that_is_the_targets_future_is_an_error(k):
    (finding,) = check({"y": noise(), "x": noise(k)}, inputs=["x"])
    steps = "1 step" if k == 1 else f"{k} steps"
    assert finding.severity == "error"
    assert finding.message == (
        f"table: column 'x' equals the target 'y' {steps} later, in all {140 - k} rows compared"
    )


@pytest.mark.parametrize("k", [0, -1, -7, 8])
def test_an_input_from_the_past_or_beyond_the_horizon_is_none(k):
    assert check({"y": noise(), "x": noise(k)}, inputs=["x"]) == []


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (0, "equals the target 'y', in all 140 rows"),
        (7, "equals the target 'y' 7 steps later"),
        (-6, "equals the target 'y' 6 steps earlier, which a forecast 7 steps ahead does not"),
    ],
)
def test_a_known_column_must_not_hold_what_is_forecast(k, expected):
    (finding,) = check({"y": noise(), "x": noise(k)}, known=["x"])
    assert finding.severity == "error"
    assert expected in finding.message


def test_a_known_column_may_hold_what_lies_before_every_forecast():
    assert check({"y": noise(), "x": noise(-7)}, known=["x"]) == []


def test_a_rescaled_future_is_a_warning():
    x = 3 * noise(2) + 5 + 1e-4 * noise(column=1)
    (finding,) = check({"y": noise(), "x": x}, inputs=["x"])
    assert finding.severity == "warning"
    assert "column 'x' moves with the target 'y' 2 steps later" in finding.message


def test_two_trends_are_no_leak():
    y, x = (np.arange(ROWS) + noise(column=column) for column in (0, 1))
    assert np.corrcoef(x, y)[0, 1] > 0.999
    found = check({"y": y, "x": x}, known=["x"])
    assert [finding for finding in found if "target" in finding.message] == []


def test_a_column_that_tells_no_more_than_the_targets_own_past_is_no_leak():
    # A straight sawtooth of 5 steps: the target itself returns after 5.
    saw = np.arange(ROWS) % 5 + 0.0
    columns = {"y": saw + 1e-3 * noise(), "x": saw + 1e-3 * noise(column=1)}
    assert check(columns, inputs=["x"]) == []


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (np.full(ROWS, 4.0), "column 'x' is constant over the training span: 4"),
        (["W"] * 140 + ["U"] * 60, "column 'x' is constant over the training span: 'W'"),
        (
            np.r_[np.full(139, 4.0), noise()[139:]],
            "column 'x' is 4 in 99.3% of the training span, in all but 1 row",
        ),
    ],
)
def test_constant_columns(column, expected):
    found = check({"y": noise(), "x": column}, inputs=["x"])
    assert expected in [finding.message.removeprefix("table: ") for finding in found]


def test_outliers_name_the_row():
    x = noise(column=1).copy()
    x[[50, 99]] = 1000.0, 1e6
    (finding,) = check({"y": noise(), "x": x}, inputs=["x"])
    assert finding.message.startswith(
        "table: column 'x': 2 values more than 20 robust deviations from the median; the farthest "
        "is 1e+06 in row 100,"
    )


def test_outliers_are_judged_in_their_own_series():
    frame = pl.DataFrame(
        {
            "g": ["a"] * ROWS + ["b"] * ROWS,
            "y": np.r_[noise(), 1000 + noise(column=1)],
        }
    )
    panel = make_panel(read_table(frame), group="g", numbers=["y"])
    splits = make_splits(panel, "30", "30", lookback=14, horizon=7)
    options = {"inputs": ["y"], "targets": ["y"], "lookback": 14, "horizon": 7}
    assert check_panel(panel, splits, **options) == []


def test_rows_repeated_from_the_training_span():
    y = noise().copy()
    y[145:160] = y[20:35]
    (finding,) = check({"y": y})
    assert finding.message == (
        "table: 6 runs of 10 rows in the validation span stand in the training span as well, the "
        "first from row 146"
    )


def test_small_counts_repeat_by_chance():
    y = (np.random.default_rng(1).random(ROWS) < 0.05).astype(float)
    assert not [finding for finding in check({"y": y}) if "runs of" in finding.message]


def test_categories_first_seen_after_training():
    kinds = ["W", "U"] * 70 + ["W"] * 29 + ["A"] + ["B"] * 30
    (finding,) = check({"y": noise(), "kind": kinds}, known=["kind"])
    assert finding.message == (
        "table: column 'kind': 'A', 'B' not in the training span, but in 31 rows after it, the "
        "first is row 170"
    )


def test_a_shift_between_training_and_validation():
    y = noise() + np.where(np.arange(ROWS) < 140, 0, 5)
    (finding,) = check({"y": y})
    assert "column 'y': the mean moves from" in finding.message


def test_short_series_of_a_panel():
    frame = pl.DataFrame({"g": ["a"] * ROWS + ["b"] * 20, "y": np.r_[noise(), noise()[:20]]})
    panel = make_panel(read_table(frame), group="g", numbers=["y"])
    splits = make_splits(panel, "0.15", "0.15", lookback=14, horizon=7)
    found = check_panel(panel, splits, inputs=["y"], targets=["y"], lookback=14, horizon=7)
    assert any(
        "1 of 2 series shorter than lookback 14 + horizon 7 = 21, the first is 'b' with 20 rows"
        in finding.message
        for finding in found
    )


def test_errors_come_first_and_the_panels_own_findings_are_not_repeated():
    columns = {
        "t": 1000 + np.delete(np.arange(ROWS + 1), 50),
        "y": noise(),
        "constant": np.ones(ROWS),
        "x": noise(1),
    }
    found = check(columns, inputs=["constant", "x"], time="t")
    assert [finding.severity for finding in found] == ["error", "warning"]
    assert "equals the target" in found[0].message
    assert "is constant" in found[1].message


def test_a_column_that_was_not_read_is_refused():
    panel = make_panel(read_table(pl.DataFrame({"y": noise()})), numbers=["y"])
    splits = make_splits(panel, "30", "30", lookback=14, horizon=7)
    with pytest.raises(InputError, match="column 'z' was not read into the panel"):
        check_panel(panel, splits, inputs=["z"], targets=["y"], lookback=14, horizon=7)
