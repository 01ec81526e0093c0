"""Forecasts with `tbptt`: gradients, states and forecasts beside networks that read in one go."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from elman.data.table import read_table
from elman.errors import InputError
from elman.kinds.forecasting import streamed
from elman.kinds.forecasting.forecaster import rolling_forecasts
from elman.kinds.forecasting.use import evaluate, predict
from elman.model import Model


@pytest.fixture
def panel(rides) -> pl.DataFrame:
    """Three series of different lengths."""
    parts = [
        rides(days, seed).with_columns(place=pl.lit(name))
        for seed, (name, days) in enumerate([("a", 120), ("b", 75), ("c", 93)])
    ]
    return pl.concat(parts)


OPTIONS = {
    "inputs": "series:y,rain", "time": "day", "known": "kind", "group": "place", "horizon": 2,
    "tbptt": 7, "batch_size": 2, "valid": 0.2, "test": 0.2,
}  # fmt: skip


def batches(task, seed: int = 1, batch_size: int = 2) -> Iterator:
    names = task.order(batch_size, torch.Generator().manual_seed(seed))
    task.begin_epoch(0.0)
    for name in names:
        yield task.batch(name)


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def encoded(job, key) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A series of the panel in float64: what each step reads, its truth, and what is added."""
    forecaster = job.forecaster
    part = next(part for part in job.parts if part.key == key)
    N = forecaster.target.horizon
    track = forecaster.track([part])
    rows = torch.arange(part.spans["train"][0], part.known - N)
    ahead = rows[:, None] + torch.arange(1, N + 1)
    x = torch.cat([track.x_TI[rows], track.known_TK[ahead].flatten(1)], dim=1).double()
    return x, track.y_TC[ahead].double(), track.y_TC[rows][:, None].expand(-1, N, -1).double()


def reference_loss(job, network, key, length: int, steps: int, first: int) -> Iterator:
    """Losses of chunks of a training span, by torch's GRU in float64, detached at each edge."""
    theirs = nn.GRU(network.recurrent.input_size, 6, batch_first=True).double()
    theirs.load_state_dict({k: v.double() for k, v in network.recurrent.state_dict().items()})
    head = nn.Linear(6, network.head.out_features).double()
    head.load_state_dict({k: v.double() for k, v in network.head.state_dict().items()})
    x, truth, anchor = encoded(job, key)
    state, start = None, 0
    while start < length:
        stop = min(length, start + (steps if start else first))
        theirs.zero_grad(), head.zero_grad()
        hidden, state = theirs(x[None, start:stop], state)
        state = state.detach()
        answer = head(hidden)[0].unflatten(-1, (2, 1)) + anchor[start:stop]
        loss = (answer - truth[start:stop]).abs().mean()
        loss.backward()
        found = {f"recurrent.{name}": p.grad for name, p in theirs.named_parameters()}
        found |= {f"head.{name}": p.grad for name, p in head.named_parameters()}
        yield loss, found
        start = stop


@pytest.mark.parametrize("steps", [1, 7, 30, 1000])
def test_gradients_are_those_of_a_truncated_reference(make_job, make_network, panel, steps) -> None:
    """With chunks as long as the span (1000), those of full backpropagation through time."""
    alone = panel.filter(pl.col("place") == "a")
    job = make_job(alone, **OPTIONS | {"tbptt": steps})
    network = make_network(job).train()
    task = job.task("cpu", "float32")
    chunks = list(batches(task, batch_size=1))
    length = sum(len(chunk) for chunk in chunks)
    start, stop = job.parts[0].spans["train"]
    assert length == stop - start - 2
    assert all(len(chunk) <= steps for chunk in chunks)
    expected = reference_loss(job, network, "a", length, steps, len(chunks[0]))
    for chunk, (loss, theirs) in zip(chunks, expected, strict=True):
        network.zero_grad()
        ours = task.loss(network, chunk)
        ours.backward()
        assert ours.item() == pytest.approx(loss.item(), rel=1e-5)
        assert gradients(network).keys() == theirs.keys()
        for name, gradient in gradients(network).items():
            torch.testing.assert_close(gradient.double(), theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_each_series_is_read_with_its_own_state(make_job, make_network, panel, batch_size) -> None:
    """The losses of all chunks are those of each series, or piece of one, read in one go."""
    job = make_job(panel, **OPTIONS | {"tbptt": 7})
    network, task = make_network(job), job.task("cpu", "float32")
    total, steps, pieces = 0.0, 0, {}
    with torch.no_grad():
        for number, chunk in enumerate(batches(task, batch_size=batch_size)):
            total += float(task.loss(network, chunk)) * len(chunk)
            steps += len(chunk)
            laid = task._streams[number]
            for row in range(len(laid)):
                if laid.begins[row]:
                    pieces[int(laid.sequences[row]), int(laid.starts[row])] = 0
                here = (int(laid.sequences[row]), int(laid.starts[row]))
                piece = max(each for each in pieces if each[0] == here[0] and each <= here)
                pieces[piece] += int(laid.lengths[row])
    assert (
        len(pieces) == {1: 3, 2: 3, 5: 7}[batch_size]
    )  # of five, they are cut in three, two and two
    expected = 0.0
    for (sequence, start), length in pieces.items():
        x, truth, anchor = encoded(job, job.parts[sequence].key)
        at = slice(start, start + length)
        with torch.no_grad():
            answer = network(x[None, at].float())[0].unflatten(-1, (2, 1)).double() + anchor[at]
        expected += float((answer - truth[at]).abs().mean(dim=(1, 2)).sum())
    spans = [part.spans["train"] for part in job.parts]
    assert steps == sum(stop - start - 2 for start, stop in spans)
    assert total == pytest.approx(expected, rel=1e-5)


def test_the_state_ends_with_a_series_and_goes_on_within_one(make_job, make_network, panel) -> None:
    """Other values before reach every later chunk of their series, and no other series."""
    job = make_job(panel, **OPTIONS | {"tbptt": 20, "relative": "none"})
    network, task = make_network(job), job.task("cpu", "float32")
    losses = []
    for _ in range(2):
        with torch.no_grad():
            each = [float(task.loss(network, chunk)) for chunk in batches(task, batch_size=1)]
        losses.append(np.array(each))
        laid = [task._streams[number] for number in range(len(each))]
        task.track.x_TI[0] += 1.0  # the first step of the first series
    sequences, begins = (
        np.array([getattr(chunk, name)[0] for chunk in laid]) for name in ("sequences", "begins")
    )
    assert set(sequences) == {0, 1, 2}
    differs = losses[0] != losses[1]
    assert not differs[sequences != 0].any()
    # The second chunk of the first series has only the state to tell it.
    assert differs[sequences == 0][:2].tolist() == [True, True]
    assert begins[sequences == 0][:2].tolist() == [True, False]


@pytest.mark.parametrize("relative", ["last", "season", "none"])
@pytest.mark.parametrize("chunk", [3, 10_000])
def test_forecasts_are_those_of_series_read_in_one_go(
    make_job, make_network, panel, monkeypatch, relative, chunk
) -> None:
    monkeypatch.setattr(streamed, "_STEPS", chunk)
    monkeypatch.setattr(streamed, "_STREAMS", 2)  # of three series: one has to wait
    job = make_job(panel, **OPTIONS | {"relative": relative, "period": 7, "quantiles": "0.1,0.9"})
    forecaster, network = job.forecaster, make_network(job)
    track = forecaster.track(job.parts)
    windows = forecaster.windows(track, job.parts, "test", within=False, score=True)
    keys = [part.key for part in job.parts]
    ours = rolling_forecasts(network, forecaster, windows, keys)
    assert ours.shape == (len(windows), 2, 1, 3)
    for number in (0, 5, len(windows) - 1):
        origin, series = int(windows.origins[number]), int(windows.series[number])
        first = int(track.offsets[series])
        rows = torch.arange(first, origin + 1)
        known = track.known_TK[rows[:, None] + torch.arange(1, 3)].flatten(1)
        with torch.no_grad():
            y = network(torch.cat([track.x_TI[rows], known], 1)[None])[:, -1:]
        batch = windows.batch(slice(number, number + 1))
        answer = forecaster.target.answer(y, batch)[:, 0].double().numpy()
        expected = forecaster.target.decode(answer, [keys[series]])
        np.testing.assert_allclose(ours[number], expected[0], rtol=1e-5)


def test_the_same_origins_are_scored_as_of_windows(make_job, make_network, panel) -> None:
    """So that scores with and without tbptt compare; the baselines' are the same numbers."""
    whole = make_job(panel, **OPTIONS)
    cut = make_job(panel, **{k: v for k, v in OPTIONS.items() if k != "tbptt"})
    assert whole.forecaster.lookback == cut.forecaster.lookback
    assert "lookback" not in whole.chosen
    found = []
    for job in (whole, cut):
        network = make_network(job)
        evaluation = job.evaluate(network, "gru", job.task("cpu", "float32"))
        frame = evaluation.frame()
        places = frame.select("split", "group", "origin", "step", "time", "target", "truth")
        baselines = [row for row in evaluation.scores if row["kind"] == "baseline"]
        found.append((places, baselines, frame["forecast"]))
    assert found[0][0].equals(found[1][0])
    assert found[0][1] == found[1][1]
    assert not found[0][2].equals(found[1][2])


def test_another_table(make_job, make_network, rides) -> None:
    """A table too short for a window is enough to forecast from; scores begin where windows' do."""
    more = {k: v for k, v in OPTIONS.items() if k != "group"}
    job = make_job(rides(), **more)
    forecaster, network = job.forecaster, make_network(job)
    short = rides(9, seed=5)
    ahead = short.tail(2).with_columns(
        pl.col("day") + pl.duration(days=2),
        y=pl.lit(None, pl.Float64),
        rain=pl.lit(None, pl.Float64),
    )
    assert forecaster.lookback > 9
    frame, _ = predict(network, forecaster, read_table(pl.concat([short, ahead])))
    part, _ = forecaster.parts(read_table(pl.concat([short, ahead])), ahead=True)
    track = forecaster.track(part)
    rows = torch.arange(9)
    known = track.known_TK[rows[:, None] + torch.arange(1, 3)].flatten(1)
    with torch.no_grad():
        y = network(torch.cat([track.x_TI[rows], known], 1)[None])[0, -1]
    anchor = track.y_TC[8]
    expected = forecaster.target.decode((y + anchor).double().numpy().reshape(1, 2, 1, 1), [None])
    np.testing.assert_allclose(frame["forecast"].to_numpy(), expected.ravel(), rtol=1e-5)
    with pytest.raises(InputError, match="give a longer table"):
        evaluate(network, forecaster, "gru", read_table(short))
    evaluation, _ = evaluate(network, forecaster, "gru", read_table(rides(60, seed=5)))
    origins = evaluation.frame()["origin"].n_unique()
    assert origins == 60 - 2 - forecaster.lookback + 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"topology": "seq-to-vector"}, "answers once, when all was read"),
        ({"bidirectional": True}, "bidirectional: with tbptt a stream's later chunks"),
        ({"lookback": 20}, "lookback: with tbptt a series is read from its beginning"),
        ({"windows": "within"}, "windows: with tbptt the state that is carried into a span"),
        ({"tbptt": 0}, "tbptt: expected a value greater than or equal to 1, got 0"),
    ],
)
def test_what_does_not_go_with_it_is_refused(more, reason) -> None:
    with pytest.raises(InputError, match=reason):
        Model(**{"inputs": "series:y", "target": "forecast:y", "tbptt": 5} | more)


def test_a_model_goes_from_fit_to_predict(rides, tmp_path) -> None:
    table = rides()
    options = {k: v for k, v in OPTIONS.items() if k != "group"} | {"epochs": 2, "hidden": 5}
    model = Model(target="forecast:y", **options).fit(table, run=tmp_path / "run")
    assert model.config.lookback is None
    again = Model.load(tmp_path / "run")
    assert again._learnt.tbptt == 7
    ahead = (
        rides(122).tail(2).with_columns(y=pl.lit(None, pl.Float64), rain=pl.lit(None, pl.Float64))
    )
    known = pl.concat([table, ahead])
    assert again.predict(known).equals(model.predict(known))
    assert again.evaluate(rides(60, seed=3)).scores
