"""The forecasts a network has to beat: last value, seasonal naive, mean, and ARIMA and ETS.

T time, N origins, K horizon steps, C target columns, Q quantiles. All answer one interface:
`fit` on the training spans, one array a series, then `forecast` from any origin t, knowing the
values up to and including t and nothing after, for the steps t+1 to t+K.

ARIMA and ETS (extra `stats`) are chosen and fitted once on the training span, then rolled forward
over the origins with their parameters kept. Their time is bounded: a fit sees the last
`MAX_POINTS` points at most, all fits of a panel `TOTAL_POINTS`, and a season longer than
`LONGEST_SEASON` steps is left out of the model.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from elman.errors import InputError, MissingExtraError

MAX_POINTS = 1_000
TOTAL_POINTS = 20_000
MAX_FITS = 50  # a fit is one target column of one series
MIN_POINTS = 20
LONGEST_SEASON = 24  # as in Hyndman's ets(): beyond, seasonal states cost more than they tell
RESIDUALS = 500  # origins at the training span's end whose errors give the quantiles


class Baseline(ABC):
    """A forecast that needs no network; `name` is what the scores and the report call it.

    `notes` says in words where something simpler had to stand in for what the name promises.
    """

    name: str

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._histories: list[np.ndarray] = []
        self._elsewhere: frozenset[int] = frozenset()

    def fit(self, histories: Sequence[np.ndarray], elsewhere: Iterable[int] = ()) -> Self:
        """Learn from each series' training span, and return the baseline itself.

        Args:
            histories: a `(T, C)` array for each series.
            elsewhere: the series whose values do not begin with their history, being of another
                table: what is rolled forward over them begins at their own first row.
        """
        self.notes = []
        self._histories = [np.asarray(history, dtype=np.float64) for history in histories]
        self._elsewhere = frozenset(elsewhere)
        self._fit()
        return self

    def forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int = 0
    ) -> np.ndarray:
        """Return the forecasts of steps t+1 to t+K from each origin t, `(N, K, C)`.

        Args:
            values_TC: the whole series; no value after an origin has a part in its forecast.
            origins_N: the rows of the last known values.
            horizon: K.
            series: which of the fitted series this is.

        Raises:
            ValueError: an origin is not a row of the values.
        """
        values_TC = np.asarray(values_TC, dtype=np.float64)
        origins_N = np.asarray(origins_N, dtype=np.int64)
        if len(origins_N) and not (origins_N.min() >= 0 and origins_N.max() < len(values_TC)):
            raise ValueError(f"origins must be rows 0 to {len(values_TC) - 1}, got {origins_N}")
        forecast_NKC = _last_value(values_TC, origins_N, horizon)
        ready_N = origins_N >= self._ready(series)
        if ready_N.any():
            forecast_NKC[ready_N] = self._forecast(values_TC, origins_N[ready_N], horizon, series)
        return forecast_NKC

    def forecast_quantiles(
        self,
        values_TC: np.ndarray,
        origins_N: np.ndarray,
        horizon: int,
        quantiles: Sequence[float],
        series: int = 0,
    ) -> np.ndarray:
        """Return quantile forecasts, `(N, K, C, Q)`: the forecast plus quantiles of its own errors.

        The errors are those of each step on the training span, so a baseline's pinball loss can be
        set beside a network's. A step for which the span is too short gets the forecast itself.
        """
        known_TC = self._histories[series]
        first = max(self._ready(series), len(known_TC) - 1 - RESIDUALS)
        past_M = np.arange(first, len(known_TC) - 1)
        past_MKC = self.forecast(known_TC, past_M, horizon, series)
        offsets_QKC = np.zeros((len(quantiles), horizon, known_TC.shape[1]))
        for k in range(min(horizon, len(past_M))):
            usable = len(past_M) - k
            error_MC = known_TC[past_M[:usable] + k + 1] - past_MKC[:usable, k]
            offsets_QKC[:, k] = np.quantile(error_MC, quantiles, axis=0)
        forecast_NKC = self.forecast(values_TC, origins_N, horizon, series)
        return forecast_NKC[..., None] + np.moveaxis(offsets_QKC, 0, -1)

    def _fit(self) -> None:  # noqa: B027 - not every baseline learns
        """Learn from `_histories`."""

    def _ready(self, series: int) -> int:
        """Return the first origin that has what the forecast needs; earlier ones: last value."""
        return 0

    @abstractmethod
    def _forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int
    ) -> np.ndarray:
        """Return `(N, K, C)` for origins that are ready."""


def _last_value(values_TC: np.ndarray, origins_N: np.ndarray, horizon: int) -> np.ndarray:
    return np.repeat(values_TC[origins_N][:, None, :], horizon, axis=1)


class LastValue(Baseline):
    """Everything stays as it is at the origin."""

    name = "last value"

    def _forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int
    ) -> np.ndarray:
        return _last_value(values_TC, origins_N, horizon)


class SeasonalNaive(Baseline):
    """Each step is what it was a season ago, as last known; before a season is known, last value.

    Args:
        period: the season's length in steps.
        unit: the steps' name for the baseline's, as "days" in "seasonal naive (7 days)".
    """

    def __init__(self, period: int, unit: str = "") -> None:
        super().__init__()
        self.period = period
        self.name = f"seasonal naive ({f'{period} {unit}'.strip()})"

    def _ready(self, series: int) -> int:
        return self.period - 1

    def _forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int
    ) -> np.ndarray:
        ahead_K = np.arange(horizon) % self.period
        return values_TC[origins_N[:, None] - self.period + 1 + ahead_K]


class Mean(Baseline):
    """Each series' mean over its training span, whatever the origin."""

    name = "mean"

    def _fit(self) -> None:
        self._means = [history_TC.mean(axis=0) for history_TC in self._histories]

    def _forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int
    ) -> np.ndarray:
        mean_C = self._means[series]
        return np.broadcast_to(mean_C, (len(origins_N), horizon, len(mean_C))).copy()


class _Statistical(Baseline):
    """A model of statsforecast for every series and column, fitted once; needs extra `stats`."""

    def __init__(self, period: int) -> None:
        super().__init__()
        _models()
        self.period = period if period <= LONGEST_SEASON else 1

    @abstractmethod
    def _fit_column(self, y_T: np.ndarray) -> Any:
        """Return the model fitted to one column of one series."""

    @abstractmethod
    def _roll(self, model: Any, y_T: np.ndarray, origins_N: np.ndarray, horizon: int) -> np.ndarray:
        """Return `(N, K)`; `y_T` and the origins begin where the fit's points began."""

    def _fit(self) -> None:
        num_fits = sum(history_TC.shape[1] for history_TC in self._histories)
        if num_fits > MAX_FITS:
            raise InputError(
                f"baseline {self.name}: {num_fits} fits (series times targets) take too long; "
                f"expected at most {MAX_FITS}; leave this baseline out"
            )
        points = min(MAX_POINTS, TOTAL_POINTS // max(num_fits, 1))
        self._firsts = []
        self._fitted: list[list[Any]] = []
        for series, history_TC in enumerate(self._histories):
            recent_TC = history_TC[-points:]
            cut = len(history_TC) - len(recent_TC)
            self._firsts.append(0 if series in self._elsewhere else cut)
            self._fitted.append([self._try(y_T, series, c) for c, y_T in enumerate(recent_TC.T)])

    def _try(self, y_T: np.ndarray, series: int, column: int) -> Any:
        where = f"{self.name}, series {series + 1}, target {column + 1}"
        if len(y_T) < MIN_POINTS:
            reason = f"{len(y_T)} training points, expected at least {MIN_POINTS}"
        else:
            try:
                # Its optimisers warn of every candidate they drop; the one chosen is what counts.
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    return self._fit_column(np.ascontiguousarray(y_T))
            except Exception as error:  # a baseline that fails must not cost a trained model
                reason = f"{type(error).__name__}: {error}"
        self.notes.append(f"{where}: could not be fitted, last value stands in ({reason})")
        return None

    def _ready(self, series: int) -> int:
        # The longest past of an ARIMA here: p = 5 and d = 2, and 2 + 1 seasons.
        return self._firsts[series] + 7 + 3 * self.period

    def _forecast(
        self, values_TC: np.ndarray, origins_N: np.ndarray, horizon: int, series: int
    ) -> np.ndarray:
        forecast_NKC = _last_value(values_TC, origins_N, horizon)
        first = self._firsts[series]
        known_TC = values_TC[first : origins_N.max() + 1]
        for c, model in enumerate(self._fitted[series]):
            if model is None:
                continue
            with np.errstate(all="ignore"):
                rolled_NK = self._roll(
                    model, np.ascontiguousarray(known_TC[:, c]), origins_N - first, horizon
                )
            finite_NK = np.isfinite(rolled_NK)
            if not finite_NK.all():
                self.notes.append(
                    f"{self.name}, series {series + 1}, target {c + 1}: "
                    f"{int((~finite_NK).sum())} forecasts are not finite, last value stands in"
                )
            forecast_NKC[..., c] = np.where(finite_NK, rolled_NK, forecast_NKC[..., c])
        return forecast_NKC


@dataclass(frozen=True)
class _Polynomials:
    """A seasonal ARIMA multiplied out: ar(B) z(t) = ma(B) e(t), y(t) = z(t) + mean + drift t."""

    ar: np.ndarray
    ma: np.ndarray
    mean: float
    drift: float


class Arima(_Statistical):
    """The ARIMA with the lowest AICc of a stepwise search (Hyndman & Khandakar 2008)."""

    name = "ARIMA"

    def _fit_column(self, y_T: np.ndarray) -> _Polynomials:
        model = _models().AutoARIMA(season_length=self.period, approximation=True).fit(y_T).model_
        p, q, seasonal_p, seasonal_q, m, d, seasonal_d = model["arma"]
        coefficients = {name: float(value) for name, value in model["coef"].items()}

        def polynomial(name: str, order: int, sign: float, lag: int) -> np.ndarray:
            terms = np.zeros(order * lag + 1)
            terms[0] = 1.0
            terms[lag::lag] = [sign * coefficients[f"{name}{i + 1}"] for i in range(order)]
            return terms

        ar = np.convolve(polynomial("ar", p, -1, 1), polynomial("sar", seasonal_p, -1, m))
        for lag in [1] * d + [m] * seasonal_d:
            difference = np.zeros(lag + 1)
            difference[0], difference[-1] = 1.0, -1.0
            ar = np.convolve(ar, difference)
        return _Polynomials(
            ar=ar,
            ma=np.convolve(polynomial("ma", q, 1, 1), polynomial("sma", seasonal_q, 1, m)),
            mean=coefficients.get("intercept", 0.0),
            drift=coefficients.get("drift", 0.0),
        )

    def _roll(
        self, model: _Polynomials, y_T: np.ndarray, origins_N: np.ndarray, horizon: int
    ) -> np.ndarray:
        # statsforecast filters the whole past again for each origin; one pass does for all of them,
        # with innovations of 0 for the P steps before the first that has its past.
        P, Q = len(model.ar) - 1, len(model.ma) - 1
        z_T = y_T - model.mean - model.drift * np.arange(len(y_T))
        e_T = np.concatenate([np.zeros(Q + P), np.convolve(z_T, model.ar, "valid")])
        backwards_Q = model.ma[:0:-1]
        for t in range(Q + P, len(e_T)):
            e_T[t] -= backwards_Q @ e_T[t - Q : t]
        z_NP = z_T[origins_N[:, None] - np.arange(P)]
        e_NQ = e_T[origins_N[:, None] + Q - np.arange(Q)]
        forecast_NK = np.empty((len(origins_N), horizon))
        for k in range(horizon):
            z_N = e_NQ @ model.ma[1:] - z_NP @ model.ar[1:]
            z_NP = np.column_stack([z_N, z_NP])[:, :P]
            e_NQ = np.column_stack([np.zeros_like(z_N), e_NQ])[:, :Q]
            forecast_NK[:, k] = z_N + model.mean + model.drift * (origins_N + k + 1)
        return forecast_NK


class Ets(_Statistical):
    """The exponential smoothing with the lowest AICc (Hyndman, Koehler, Ord & Snyder 2008)."""

    name = "ETS"

    def _fit_column(self, y_T: np.ndarray) -> Any:
        return _models().AutoETS(season_length=self.period).fit(y_T)

    def _roll(self, model: Any, y_T: np.ndarray, origins_N: np.ndarray, horizon: int) -> np.ndarray:
        return np.stack([model.forward(y_T[: t + 1], h=horizon)["mean"] for t in origins_N])


def _models() -> Any:
    try:
        from statsforecast import models
    except ImportError as error:
        raise MissingExtraError(
            "the ARIMA and ETS baselines need statsforecast: pip install 'elman[stats]'"
        ) from error
    return models


def default_baselines(
    period: int, *, stats: bool = False, num_fits: int = 1, unit: str = ""
) -> list[Baseline]:
    """Return the baselines every score stands beside, not yet fitted.

    Args:
        period: the season in steps; 1 for none, then there is no seasonal naive forecast.
        stats: whether to add ARIMA and ETS.
        num_fits: series times target columns; above `MAX_FITS` ARIMA and ETS are left out.
        unit: the steps' name for the seasonal naive forecast's.

    Raises:
        MissingExtraError: `stats` without statsforecast installed.
    """
    baselines: list[Baseline] = [LastValue()]
    if period > 1:
        baselines.append(SeasonalNaive(period, unit))
    baselines.append(Mean())
    if stats and num_fits <= MAX_FITS:
        baselines += [Arima(period), Ets(period)]
    return baselines
