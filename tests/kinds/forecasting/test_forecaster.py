"""How windows are cut from a table, told by name; and that nothing after an origin is read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.table import read_table
from elman.errors import InputError
from elman.kinds.forecasting.forecaster import Forecaster, Part, rolling_forecasts
from elman.kinds.inputs.series import SeriesInput
from elman.kinds.scaling import Scaling
from elman.kinds.targets.forecast import Forecast


def forecaster(lookback=3, horizon=2, season=None, last_only=False) -> Forecaster:
    scaling = Scaling(("y",), {"": np.array([[0.0], [1.0]])})
    return Forecaster(
        SeriesInput(("y",), (), (), {}, scaling),
        Forecast(("y",), horizon, (), "mae", season, scaling),
        lookback, last_only, 1, {None: np.array([1.0])}, None, None, None, "error",
    )  # fmt: skip


@given(st.integers(0, 12), st.integers(0, 20), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_origins_are_those_whose_window_and_forecast_fit(start, length, lookback, horizon, within):
    stop = start + length
    got = forecaster(lookback, horizon).origins((start, stop), within=within)
    expected = [
        origin
        for origin in range(-1, stop)
        if origin - lookback + 1 >= (start if within else 0)
        and start <= origin + 1
        and origin + horizon < stop
    ]
    assert got.tolist() == expected


def test_windows_of_a_split_lie_in_the_spans_of_each_part() -> None:
    def part(key, n, **spans):
        return Part(key, pl.DataFrame({"y": np.arange(float(n))}), None, n, spans)

    own = forecaster(lookback=3, horizon=2)
    parts = [
        part("a", 12, train=(0, 6), valid=(6, 9), test=(9, 12)),
        part("b", 4, train=(0, 2), valid=(2, 4)),
        part("c", 9, valid=(0, 9)),
    ]
    track = own.track(parts)

    def origins(split, **options):
        windows = own.windows(track, parts, split, **options)
        return list(
            zip(
                windows.series, windows.origins.numpy() - track.offsets[windows.series], strict=True
            )
        )

    train = origins("train", within=True, score=False)
    # a: rows 2 + 2 ahead and 3 + 2 ahead; b has too few rows.
    assert train == [(0, 2), (0, 3)]
    across = origins("valid", within=False, score=True)
    assert across == [(0, 5), (0, 6)] + [(2, origin) for origin in range(2, 7)]
    assert origins("valid", within=True, score=True) == [(2, origin) for origin in range(2, 7)]
    assert origins("test", within=False, score=True) == [(0, 8), (0, 9)]
    ends = own.last_windows(track, parts)
    assert (ends.origins.numpy() - track.offsets[:-1]).tolist() == [11, 3, 8]


def test_each_feature_holds_what_its_name_says(make_job, rides) -> None:
    table = rides(60)
    job = make_job(
        table, inputs="series:y,rain", time="day", known="kind,rain", calendar="weekday",
        horizon=3, lookback=8, test="0",
    )  # fmt: skip
    own = job.forecaster
    track = own.track(job.parts)
    windows = own.windows(track, job.parts, "train", within=True, score=False)
    batch = windows.batch(slice(None))
    assert batch.x_BTI.shape == (len(windows), 8, own.input_size)
    assert own.input_size == len(own.feature_names) == len(set(own.feature_names))
    train = table[: job.splits.of("train")[0][1]]
    columns = {
        name: ((table[name] - train[name].mean()) / train[name].std(ddof=0)).to_numpy()
        for name in ("y", "rain")
    }
    columns |= {f"kind={v}": (table["kind"] == v).to_numpy() * 1.0 for v in ("end", "week")}
    columns |= {f"weekday[{i}]": (table["day"].dt.weekday() == i + 1).to_numpy() for i in range(7)}
    for index, feature in enumerate(own.feature_names):
        name, _, ahead = feature.partition(", ")
        shift = int(ahead.removesuffix(" ahead")) if ahead else 0
        for w, origin in enumerate(windows.origins.tolist()):
            expected = columns[name][origin - 7 + shift : origin + 1 + shift]
            np.testing.assert_allclose(batch.x_BTI[w, :, index], expected, atol=1e-5)


@pytest.mark.parametrize("shops", [1, 2])
def test_each_target_is_its_own_column(make_job, rides, shops) -> None:
    frames = [rides(60, seed=s).with_columns(shop=pl.lit(f"shop {s}")) for s in range(shops)]
    job = make_job(
        pl.concat(frames), inputs="series:y", target="forecast:y,rain", time="day", group="shop",
        horizon=3, lookback=8, scaling="none", relative="season", period=7, test="0",
    )  # fmt: skip
    own = job.forecaster
    windows = own.windows(own.track(job.parts), job.parts, "train", within=True, score=False)
    batch = windows.batch(slice(None))
    for w, (origin, shop) in enumerate(zip(windows.origins.tolist(), windows.series, strict=True)):
        values = frames[shop].select("y", "rain").to_numpy()
        origin -= 60 * shop
        for s, step in enumerate(range(origin - 7, origin + 1)):
            ahead = np.arange(step + 1, step + 4)
            season = np.where(ahead >= 7, ahead - 7, step)
            np.testing.assert_allclose(batch.target[w, s], values[ahead], rtol=1e-6)
            np.testing.assert_allclose(batch.anchor[w, s], values[season], rtol=1e-6)


def test_json_there_and_back_cuts_the_same_windows(make_job, make_network, rides) -> None:
    job = make_job(
        rides(80), time="day", known="kind", horizon=2, lookback=9, relative="season",
        quantiles="0.1,0.5", calendar="month",
    )  # fmt: skip
    again = Forecaster.from_dict(json.loads(json.dumps(job.forecaster.as_dict())))
    assert again.as_dict() == job.forecaster.as_dict()
    assert again.feature_names == job.forecaster.feature_names
    assert again.mase_scale[None].tolist() == job.forecaster.mase_scale[None].tolist()
    parts, _ = again.parts(read_table(rides(80)), split="table")
    batches = [
        own.windows(own.track(parts), parts, "table", within=True, score=True).batch(slice(None))
        for own in (job.forecaster, again)
    ]
    for name in ("x_BTI", "target", "anchor"):
        assert torch.equal(getattr(batches[0], name), getattr(batches[1], name))


@pytest.mark.parametrize("relative", ["none", "last", "season"])
@pytest.mark.parametrize("topology", ["seq-to-seq", "seq-to-vector"])
def test_a_forecast_reads_nothing_after_its_origin(
    make_job, make_network, rides, topology, relative
) -> None:
    """All that is not known ahead is poisoned after one origin; its forecast keeps its bits."""
    table = rides(90)
    job = make_job(
        table, inputs="series:y,rain", target="forecast:y,rain", time="day", known="kind",
        horizon=3, lookback=10, topology=topology, relative=relative, quantiles="0.2,0.5,0.8",
    )  # fmt: skip
    own, network = job.forecaster, make_network(job)

    def forecasts(parts):
        windows = own.windows(own.track(parts), parts, "test", within=False, score=True)
        return windows.origins, rolling_forecasts(network, own, windows, [None])

    origins, clean = forecasts(job.parts)
    assert clean.shape == (len(origins), 3, 2, 3)
    for poison in (np.nan, 1e30):
        for w in (0, 4, len(origins) - 1):
            row = pl.int_range(pl.len()) > int(origins[w])
            spoilt = [
                replace(part, frame=part.frame.with_columns(
                    pl.when(row).then(poison).otherwise(pl.col("y", "rain")).name.keep()
                ))
                for part in job.parts
            ]  # fmt: skip
            _, dirty = forecasts(spoilt)
            # Windows of one batch are computed together: compare the same rows.
            np.testing.assert_array_equal(dirty[: w + 1], clean[: w + 1])
            if w + 1 < len(origins):
                assert not np.array_equal(dirty[w + 1], clean[w + 1], equal_nan=True)


def test_rolling_forecasts_are_those_of_each_window_alone(make_job, make_network, rides) -> None:
    table = rides(70)
    job = make_job(table, time="day", horizon=2, lookback=9, relative="last")
    own, network = job.forecaster, make_network(job)
    windows = own.windows(own.track(job.parts), job.parts, "valid", within=False, score=True)
    got = rolling_forecasts(network, own, windows, [None])
    y = table["y"].to_numpy()
    train = y[: job.splits.of("train")[0][1]]
    shift, scale = train.mean(), train.std()
    with torch.no_grad():
        for w, origin in enumerate(windows.origins.tolist()):
            past = (y[origin - 8 : origin + 1] - shift) / scale
            answer = network(torch.tensor(past[None, :, None], dtype=torch.float32))[0, -1]
            expected = answer.double().numpy() * scale + y[origin]
            np.testing.assert_allclose(got[w, :, 0, 0], expected, rtol=1e-6)


def test_a_table_without_the_models_columns_is_refused(make_job, rides) -> None:
    own = make_job(rides(60), inputs="series:y,rain", time="day", known="kind").forecaster
    with pytest.raises(InputError, match=r"lacks 'rain', 'kind', which the model was trained on; "
                       r"it needs y, rain, kind, and this table has day, y$"):  # fmt: skip
        own.parts(read_table(rides(60).select("day", "y")))
    with pytest.raises(InputError, match="'day'"):
        own.parts(read_table(rides(60).drop("day")))


class TestFuture:
    def ahead(self, own, frame):
        (part,), _ = own.parts(read_table(frame), ahead=True)
        return part

    def test_times_go_on_by_the_tables_step(self, make_job, rides) -> None:
        own = make_job(rides(60), time="day", horizon=3, lookback=5).forecaster
        part = self.ahead(own, rides(40))
        assert (part.known, part.frame.height) == (40, 43)
        assert part.times[-4:].astype("M8[D]").tolist() == [
            date(2020, 2, 14) + timedelta(k) for k in range(4)
        ]
        assert part.frame["y"][-3:].null_count() == 3

    def test_what_is_known_ahead_must_be_there(self, make_job, rides) -> None:
        own = make_job(rides(60), time="day", horizon=3, lookback=5, known="kind").forecaster
        blank = rides(42).with_columns(y=pl.when(pl.int_range(pl.len()) < 40).then("y"))
        with pytest.raises(InputError, match=r"'kind' must be known for the 3 steps to forecast, "
                           r"and 2 rows follow the last value"):  # fmt: skip
            self.ahead(own, blank)
        # More than the horizon is no harm.
        blank = rides(50).with_columns(y=pl.when(pl.int_range(pl.len()) < 40).then("y"))
        part = self.ahead(own, blank)
        assert (part.known, part.frame.height, len(part.times)) == (40, 43, 43)
        assert part.frame["kind"].to_list() == rides(43)["kind"].to_list()

    def test_where_no_step_is_regular_the_times_must_be_given(self, make_job, rides) -> None:
        own = make_job(rides(60), time="day", horizon=2, lookback=5).forecaster
        rng = np.random.default_rng(1)
        days = np.datetime64("2020-01-01") + np.cumsum(rng.integers(1, 30, 22))
        uneven = pl.DataFrame({"day": days, "y": np.arange(22.0)})
        with pytest.raises(InputError, match="follow no regular step, so the times to forecast"):
            self.ahead(own, uneven)
        given = uneven.with_columns(y=pl.when(pl.int_range(pl.len()) < 20).then("y"))
        part = self.ahead(own, given)
        assert part.known == 20
        assert part.times.astype("M8[D]").tolist() == days.tolist()

    def test_without_times_rows_are_added(self, make_job, rides) -> None:
        own = make_job(rides(60).drop("day"), horizon=2, lookback=5).forecaster
        part = self.ahead(own, rides(30).drop("day"))
        assert (part.known, part.frame.height, part.times) == (30, 32, None)
