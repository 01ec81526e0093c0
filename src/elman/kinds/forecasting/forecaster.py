"""What a forecast model learnt of its data, and how series are cut into windows for its network.

A `Forecaster` is all that a network needs beside its weights to forecast another table; it goes
into `model.json`. A `Part` is one series, encoded or not, with the spans that it trains, validates
and tests.

Legend: T steps of a series, W windows, N horizon, C target columns, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from elman import networks
from elman.data.batch import Batch
from elman.data.findings import count
from elman.data.panel import FILLED, TIME, Panel, make_panel
from elman.data.steps import Step
from elman.data.table import Table
from elman.data.windows import Track, Windows
from elman.errors import InputError
from elman.kinds.forecasting.streamed import answers_along
from elman.kinds.inputs.series import SeriesInput
from elman.kinds.period import calendar_periods
from elman.kinds.targets.forecast import Forecast

UNSEEN = "write it as one of these, or train with it"
_WITHOUT_GRADIENTS = 512  # windows in a batch


@dataclass(frozen=True)
class Part:
    """One series as the network sees it.

    Attributes:
        key: its group.
        frame: its rows in time order, then those of its future, whose unknown columns are null.
        times: when each of these rows is; None without a time column.
        known: rows whose values are known; the rest is future.
        spans: half-open ranges of rows by the name of their split.
    """

    key: str | None
    frame: pl.DataFrame
    times: np.ndarray | None
    known: int
    spans: Mapping[str, tuple[int, int]]

    def values(self, columns: Sequence[str]) -> np.ndarray:
        """Return number columns (T, C), NaN in the future."""
        return self.frame.select(columns).to_numpy().astype(np.float64)

    def truth(self, columns: Sequence[str]) -> np.ndarray:
        """Return number columns (T, C), NaN where a value was filled in, or is not known yet."""
        values_TC = self.values(columns)
        for c, column in enumerate(columns):
            if (mark := FILLED + column) in self.frame.columns:
                values_TC[self.frame[mark].fill_null(False).to_numpy(), c] = np.nan
        return values_TC


@dataclass(frozen=True)
class Forecaster:
    """What was learnt of the data, and how windows are cut out of it.

    Attributes:
        inputs, target: how series become features, and answers forecasts.
        lookback: steps the network reads. With `tbptt` it reads a series from its beginning, and
            this is how many it must have read where it is scored, as another network would have.
        last_only: whether it answers after the last of them alone.
        period: the season in steps, 1 for none.
        mase_scale: by group, for each target column, the mean absolute error of the seasonal
            naive forecast on the training span.
        time, group: names of these columns.
        step: distance between times in the training data, if it was regular.
        missing: what becomes of missing values.
        tbptt: steps of a chunk, of a network that reads series from their beginning with the state
            carried on; None: it reads windows.
    """

    inputs: SeriesInput
    target: Forecast
    lookback: int
    last_only: bool
    period: int
    mase_scale: Mapping[str | None, np.ndarray]
    time: str | None
    group: str | None
    step: Step | None
    missing: str
    tbptt: int | None = None

    @property
    def input_size(self) -> int:
        """Features that a step reads."""
        return len(self.feature_names)

    def network(self, topology: str, options: Any, modules: Mapping[str, nn.Module]) -> nn.Module:
        """Return a new network for windows of these features."""
        return networks.build(topology, options, self.input_size, self.target.output_size)

    def summary(self) -> str:
        """Return what goes in and out at a step, in words."""
        ins, outs = count(self.input_size, "feature"), count(self.target.output_size, "value")
        return f"{ins} in, {outs} out"

    @property
    def feature_names(self) -> list[str]:
        """The features that a step reads, its own and those known ahead."""
        return self.inputs.feature_names + self.inputs.ahead_names(self.target.horizon)

    def parts(
        self,
        table: Table,
        *,
        split: str | None = None,
        ahead: bool = False,
        since: str | None = None,
        until: str | None = None,
    ) -> tuple[list[Part], Panel]:
        """Read another table as the model's own was read.

        Args:
            table: it must have the columns that the model was trained on.
            split: name of the span that all its rows make, if any.
            ahead: whether its future is to be forecast, so that what is known ahead must be there.
            since, until: the range of times to read.

        Raises:
            InputError: what the model needs is not there, or is not usable.
        """
        columns = [*self.inputs.columns, *self.inputs.known, *self.target.columns]
        absent = [name for name in dict.fromkeys(columns) if name not in table.frame.columns]
        if absent:
            raise InputError(
                f"{table.name}: lacks {', '.join(map(repr, absent))}, which the model was trained "
                f"on; it needs {', '.join(dict.fromkeys(columns))}, and this table has "
                f"{', '.join(table.frame.columns)}"
            )
        panel = make_panel(
            table,
            time=self.time,
            group=self.group,
            numbers=[*self.inputs.scaling.columns, *self.target.columns],
            categories=list(self.inputs.categories),
            known=list(self.inputs.known),
            missing=self.missing,
            since=since,
            until=until,
        )
        panel.raise_errors()
        self.must_step_alike(panel)
        parts = make_parts(panel, whole_spans(panel, split))
        if ahead:
            parts = [self._with_future(part, panel) for part in parts]
        return parts, panel

    def track(self, parts: Sequence[Part], device: str = "cpu") -> Track:
        """Encode the parts and lay them one behind the other."""
        return Track.join([self._encode(part) for part in parts], device)

    def windows(
        self, track: Track, parts: Sequence[Part], split: str, *, within: bool, score: bool
    ) -> Windows:
        """Return a split's windows to train on or, with `score`, to score at their last step."""
        origins = [
            offset + self.origins(part.spans[split], within=within)
            for part, offset in zip(parts, track.offsets[:-1], strict=True)
            if split in part.spans
        ]
        return self._cut(track, np.concatenate([np.empty(0, np.int64), *origins]), score)

    def last_windows(self, track: Track, parts: Sequence[Part]) -> Windows:
        """Return for each part the window that ends with its last known row."""
        ends = [
            offset + part.known - 1 for part, offset in zip(parts, track.offsets[:-1], strict=True)
        ]
        return self._cut(track, np.array(ends), last_only=True)

    def origins(self, span: tuple[int, int], *, within: bool) -> np.ndarray:
        """Return the last known row of each window whose forecast lies inside the span.

        `within`: the window lies inside it as well, rather than reaching back before it.
        """
        start, stop = span
        first = max(start - 1 + (self.lookback if within else 0), self.reach - 1)
        return np.arange(first, max(first, stop - self.target.horizon))

    @property
    def naive_period(self) -> int:
        """The season of the seasonal naive baseline: the one found, or the calendar's first.

        A season too short of evidence for the network's defaults still makes a baseline to beat.
        """
        usual = calendar_periods(self.step.seconds) if self.step and self.step.seconds else ()
        return self.period if self.period > 1 else next(iter(usual), 1)

    @property
    def reach(self) -> int:
        """Rows that a forecast needs: the lookback, and the season that it is anchored at."""
        return max(self.lookback, self.target.season or 1)

    @property
    def least(self) -> int:
        """Rows that a forecast needs, if it is not to be scored."""
        return self.reach if self.tbptt is None else self.target.season or 1

    def first_read(self, known: int) -> int:
        """Return the first row that is read for a forecast from the last of the known rows."""
        return known - self.lookback if self.tbptt is None else 0

    def answers(
        self, network: nn.Module, windows: Windows, precision: str
    ) -> Iterator[tuple[Any, Tensor, Batch]]:
        """Yield some windows' numbers, the output at each one's last step, and the windows.

        Args:
            network: in evaluation mode; nothing is recorded for gradients.
            windows: cut by this forecaster.
            precision: of the forward pass.

        Yields:
            Numbers (a slice or an array), `(B, 1, O)`, and a batch of them.
        """
        if self.tbptt is not None:
            yield from answers_along(network, windows, precision)
            return
        for start in range(0, len(windows), _WITHOUT_GRADIENTS):
            picks = slice(start, start + _WITHOUT_GRADIENTS)
            with torch.inference_mode():
                batch = windows.batch(picks)
                output_B1O = answer(network, batch, precision)[:, -1:]
            yield picks, output_B1O, batch

    def must_step_alike(self, panel: Panel) -> None:
        """Refuse weeks where days were learnt; business days pass for days, in a short table.

        Raises:
            InputError: the panel's step differs.
        """
        ours, theirs = self.step, panel.step
        if ours and theirs and not 0.6 < theirs.length / ours.length < 1.7:
            raise InputError(
                f"{panel.name}: its times are {theirs} apart, those that the model was trained on "
                f"{ours}; give a table with that step"
            )

    def _cut(self, track: Track, origins: np.ndarray, last_only: bool) -> Windows:
        return Windows(
            track,
            origins,
            self.lookback if self.tbptt is None else 1,
            self.target.horizon,
            last_only=last_only or self.last_only,
            season=self.target.season,
        )

    def _encode(self, part: Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x_TI, known_TK = self.inputs.encode(part.key, part.frame, part.times)
        # Windows end with the last known row, so a future row's own features are never read.
        x_TI[part.known :] = 0.0
        return x_TI, known_TK, self.target.encode(part.key, part.frame)

    def _with_future(self, part: Part, panel: Panel) -> Part:
        horizon = self.target.horizon
        given = part.frame.height - part.known
        if self.inputs.known and given < horizon:
            columns = ", ".join(map(repr, self.inputs.known))
            unknown = [c for c in self.inputs.columns if c not in self.inputs.known]
            raise InputError(
                f"{panel.name}{of_group(part.key)}: {columns} must be known for the {horizon} "
                f"steps to forecast, and {given} rows follow the last value; add rows with "
                f"{columns} filled in and {', '.join(map(repr, unknown))} left empty"
            )
        frame, times = part.frame.head(part.known + horizon), part.times
        if times is not None and given < horizon:
            past = times[: part.known]
            times = np.concatenate([past, _times_ahead(past, panel.step, horizon, panel.name)])
        elif times is not None:
            times = times[: part.known + horizon]
        missing = part.known + horizon - frame.height
        if missing > 0:
            blank = pl.DataFrame({name: [None] * missing for name in frame.columns}, frame.schema)
            frame = pl.concat([frame, blank])
        return Part(part.key, frame, times, part.known, part.spans)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes, ready for JSON."""
        return {
            "inputs": self.inputs.as_dict(),
            "target": self.target.as_dict(),
            "lookback": self.lookback,
            "last_only": self.last_only,
            "period": self.period,
            "mase_scale": [[key, scale.tolist()] for key, scale in self.mase_scale.items()],
            "time": self.time,
            "group": self.group,
            "step": [self.step.count, self.step.unit] if self.step else None,
            "missing": self.missing,
            "tbptt": self.tbptt,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the forecaster that `as_dict` described."""
        return cls(
            **{
                **data,
                "inputs": SeriesInput.from_dict(data["inputs"]),
                "target": Forecast.from_dict(data["target"]),
                "step": Step(*data["step"]) if data["step"] else None,
                "mase_scale": {key: np.array(scale) for key, scale in data["mase_scale"]},
            }
        )


def answer(network: nn.Module, batch: Batch, precision: str) -> Tensor:
    """Return the network's output (B, S, O) in float32, S being 1 if it answers once."""
    output = _in_precision(network, batch, precision)
    return output if output.dim() == 3 else output.unsqueeze(1)


def _in_precision(network: nn.Module, batch: Batch, precision: str) -> Tensor:
    context: AbstractContextManager[Any] = nullcontext()
    if precision == "bf16":
        context = torch.autocast(batch.x_BTI.device.type, torch.bfloat16)
    with context:
        return network(batch.x_BTI, lengths=batch.lengths).float()


def rolling_forecasts(
    network: nn.Module, forecaster: Forecaster, windows: Windows, keys: Sequence[str | None]
) -> np.ndarray:
    """Return the forecast at the last step of each window, (W, N, C, Q), in the targets' units.

    Args:
        network: it is put into evaluation mode.
        forecaster: how its answers are read.
        windows: each gives one forecast.
        keys: the group of each of the track's series.
    """
    network.eval()
    target = forecaster.target
    shape = (target.horizon, len(target.columns), max(1, len(target.quantiles)))
    answer_WNCQ = np.empty((len(windows), *shape))
    for picks, output_B1O, batch in forecaster.answers(network, windows, "float32"):
        answer_WNCQ[picks] = target.answer(output_B1O, batch)[:, 0].double().cpu().numpy()
    return target.decode(answer_WNCQ, [keys[index] for index in windows.series])


def make_parts(panel: Panel, spans: Sequence[Mapping[str, tuple[int, int]]]) -> list[Part]:
    """Return the panel's series as parts, in the spans given for each."""
    parts = []
    for series, own in zip(panel.series, spans, strict=True):
        future = panel.future.get(series.key)
        frame = series.frame
        if future is not None:
            frame = pl.concat([frame, future.select(frame.columns)])
        times = frame[TIME].to_numpy() if TIME in frame.columns else None
        parts.append(Part(series.key, frame, times, len(series), own))
    return parts


def whole_spans(panel: Panel, split: str | None) -> list[dict[str, tuple[int, int]]]:
    """Return for each series one span of all its rows, or none if it has no name."""
    return [{split: (0, len(series))} if split else {} for series in panel.series]


def _times_ahead(past: np.ndarray, step: Step | None, horizon: int, name: str) -> np.ndarray:
    if step is None:
        raise InputError(
            f"{name}: the times follow no regular step, so the times to forecast are not known; "
            "add them as rows with the values left empty"
        )
    return step.after(past[-1], horizon)


def of_group(key: str | None) -> str:
    """Return how messages name a group after its table; nothing for a single series."""
    return "" if key is None else f", group {key!r}"


def unseen(inputs: SeriesInput, parts: Sequence[Part]) -> list[str]:
    """Say which categories of the parts' known rows the training span did not have."""
    return inputs.unseen(pl.concat(part.frame.head(part.known) for part in parts))
