"""Rates of liquidation by class of leverage, fitted month by month on the days before, and their score: numpy only, no chance.

The map itself is SQL (int_liquidation_exposure_daily); here is how much of what it holds is liquidated, and whether it is better
than distance alone. Nothing of a month enters its own rates.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipelines.contract.ddl import polars_type
from pipelines.core.progress import Progress, no_progress
from pipelines.evidence.errors_of_series import ewc_error, t_quantile, terms
from pipelines.evidence.panel import DIGITS, instant
from pipelines.storage.query import transaction

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

RECIPE: Final = "gamma-Poisson rates by class, 1"
SIDES: Final = ("long", "short")
TRAINING_DAYS_MIN: Final = 90
"""Fewest days with outcomes before rates are fitted."""
STEPS: Final = 150
CHANGE: Final = 1e-5
"""The fit ends after so many steps, or once no rate changes by more than this part."""
FEEDS: Final = ("full", "throttled", "sampled")
SKILL_DAYS_SHOWN: Final = 30

KERNEL: Final = (
    "asset", "side", "class_no", "valid_from", "distance", "opening_weight", "beta", "beta_distance", "phi", "calibration_factor",
    "calibration_distance", "training_days", "training_rows", "feed_completeness", "available_at", "input_digest",
)  # fmt: skip
SKILL: Final = (
    "asset", "side", "trade_date", "assets", "realized_share", "expected_map_share", "expected_distance_share",
    "expected_climatology_share", "loss_map", "loss_distance", "loss_climatology", "skill_180d", "skill_low", "skill_high",
    "skill_days", "available_at",
)  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One side of all assets, days by assets: shares reached by class, move, and what was liquidated of open interest on the next
    day (NaN where not known). `feed` is a number of FEEDS; `available` when the outcome was known, microseconds since 1970."""

    first: date
    assets: tuple[str, ...]
    reached: Floats
    move: Floats
    liquidated: Floats
    feed: NDArray[np.int8]
    available: NDArray[np.int64]

    @property
    def days(self) -> int:
        return int(self.move.shape[0])


@dataclass(frozen=True)
class Rules:
    """Numbers of dim_threshold and the seed."""

    distances: tuple[float, ...]
    weights: tuple[float, ...]
    churn: float
    prior: float
    map_weight: float
    window: int
    window_min: int


@dataclass(frozen=True)
class Kernel:
    """Rates valid in one month: `rates` and `rates_distance` of class 0 and the classes; factors by asset, NaN without."""

    valid_from: date
    rates: Floats
    rates_distance: Floats
    factors: Floats
    factors_distance: Floats
    training_days: int
    training_rows: int
    available: int


@dataclass(frozen=True)
class Fitted:
    """Rows of the kernel there are, months fitted now, rows of skill, seconds."""

    kernel_rows: int
    months: int
    skill_rows: int
    seconds: float


def fit_rates(reached: Floats, y: Floats, *, prior: float) -> Floats:
    """Rates that make reached · rates the mean of y: Poisson with a gamma prior, by steps that only grow the likelihood.

    `reached` has a column per class, the first of ones; `y` is relative to the mean of its asset.
    """
    import numpy as np

    totals = reached.sum(axis=0)
    start = y.mean() / max(float(reached.mean(axis=0).sum()), 1e-300)
    rates = np.full(reached.shape[1], start)
    below = totals + prior / start
    for _ in range(STEPS):
        expected = reached @ rates
        renewed = (rates * (reached.T @ (y / expected)) + prior) / below
        settled = float(np.abs(renewed / rates - 1).max()) < CHANGE
        rates = renewed
        if settled:
            break
    found: Floats = rates
    return found


def distance_only(move: Floats, distances: Sequence[float]) -> Floats:
    """What would be reached if every position had been entered at the last close: 1 for classes up to the move."""
    import numpy as np

    found: Floats = (move[..., None] >= np.array(distances)).astype(np.float64)
    return found


def with_background(reached: Floats) -> Floats:
    """The classes with one of ones before them."""
    import numpy as np

    found: Floats = np.concatenate([np.ones((*reached.shape[:-1], 1)), reached], axis=-1)
    return found


def fit_month(side: Side, month: date, rules: Rules) -> Kernel | None:
    """Rates for a month from outcomes before it; None where too few days have any."""
    import numpy as np

    # The outcome of day t is that of t + 1, which must lie before the month.
    end = (month - side.first).days - 1
    if end <= 0:
        return None
    y = side.liquidated[:end]
    known = np.isfinite(y) & np.isfinite(side.move[:end])
    counts = known.sum(axis=0)
    means = np.where(known, y, 0.0).sum(axis=0) / np.maximum(counts, 1)
    chosen = (counts >= rules.window_min) & (means > 0)
    rows = known & chosen[None, :]
    days = int(rows.any(axis=1).sum())
    if days < TRAINING_DAYS_MIN:
        return None
    relative = (y / np.where(means > 0, means, 1.0)[None, :])[rows]
    maps = with_background(side.reached[:end])
    alone = with_background(distance_only(side.move[:end], rules.distances))
    rates = fit_rates(maps[rows], relative, prior=rules.prior)
    rates_distance = fit_rates(alone[rows], relative, prior=rules.prior)

    def factors(columns: Floats, of: Floats) -> Floats:
        start = max(0, end - rules.window)
        there = known[start:end]
        expected = np.where(there, columns[start:end] @ of, 0.0).sum(axis=0)
        total = np.where(there, y[start:end], 0.0).sum(axis=0)
        enough = (there.sum(axis=0) >= rules.window_min) & (expected > 0) & (total > 0)
        found: Floats = np.where(enough, total / np.where(enough, expected, 1.0), np.nan)
        return found

    return Kernel(
        valid_from=month, rates=rates, rates_distance=rates_distance, factors=factors(maps, rates),
        factors_distance=factors(alone, rates_distance), training_days=days, training_rows=int(rows.sum()),
        available=int(side.available[:end].max()),
    )  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """Shares of open interest expected given how far the price went, days by assets; NaN without a kernel."""

    blend: Floats
    distance: Floats
    climatology: Floats


def expect(side: Side, kernels: Mapping[date, Kernel], rules: Rules) -> Expected:
    """What the map published on each day, and its rivals, expected of the next day."""
    import numpy as np

    blend, distance = np.full_like(side.move, np.nan), np.full_like(side.move, np.nan)
    maps = with_background(side.reached)
    alone = with_background(distance_only(side.move, rules.distances))
    for month, kernel in kernels.items():
        start = (month - side.first).days
        end = ((month.replace(day=1) + timedelta(days=32)).replace(day=1) - side.first).days
        here = slice(max(start, 0), max(end, 0))
        by_map = (maps[here] @ kernel.rates) * kernel.factors[None, :]
        distance[here] = (alone[here] @ kernel.rates_distance) * kernel.factors_distance[None, :]
        blend[here] = rules.map_weight * by_map + (1 - rules.map_weight) * distance[here]
    return Expected(blend=blend, distance=distance, climatology=_past_mean(side.liquidated, rules))


def _past_mean(y: Floats, rules: Rules) -> Floats:
    """Mean of the outcomes known on each day: those of the days before, of a window."""
    import numpy as np

    known = np.isfinite(y)
    found = np.full_like(y, np.nan)
    filled = np.where(known, y, 0.0)
    for day in range(1, y.shape[0]):
        start = max(0, day - rules.window)
        count = known[start:day].sum(axis=0)
        enough = count >= rules.window_min
        found[day] = np.where(enough, filled[start:day].sum(axis=0) / np.maximum(count, 1), np.nan)
    return found


def deviance(y: Floats, expected: Floats) -> Floats:
    """Poisson deviance, which a forecast of the mean makes least; y may be 0."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0) / expected), 0.0)
    found: Floats = 2 * (logs - (y - expected))
    return found


def skill_of(
    loss_map: Floats, loss_distance: Floats, window: int
) -> list[tuple[float | None, float | None, float | None, int]]:
    """For each day in order: skill over the last days, its interval, and how many days those are."""
    import numpy as np

    found: list[tuple[float | None, float | None, float | None, int]] = []
    for day in range(1, loss_map.size + 1):
        a, b = loss_distance[max(0, day - window) : day], loss_map[max(0, day - window) : day]
        total = float(a.sum())
        if a.size < SKILL_DAYS_SHOWN or total <= 0:
            found.append((None, None, None, int(a.size)))
            continue
        skill = 1 - float(b.sum()) / total
        error = float(ewc_error(np.asarray(((1 - skill) * a - b) / total)))
        reach = t_quantile(terms(a.size), 0.975) * error
        found.append((skill, skill - reach, skill + reach, int(a.size)))
    return found


def score(side: Side, name: str, kernels: Mapping[date, Kernel], rules: Rules) -> Iterator[tuple[Any, ...]]:
    """Rows of stats.liquidation_skill_daily of one side: each asset, and all together under *."""
    import numpy as np

    expected = expect(side, kernels, rules)
    scale = expected.climatology
    y = side.liquidated
    usable = (
        np.isfinite(y) & np.isfinite(expected.blend) & np.isfinite(expected.distance) & (np.where(np.isfinite(scale), scale, 0) > 0)
    )  # fmt: skip
    divisor = np.where(usable, scale, 1.0)
    losses = [
        np.where(usable, deviance(np.where(usable, y, 0.0), np.where(usable, of, 1.0)) / divisor, 0.0)
        for of in (expected.blend, expected.distance, expected.climatology)
    ]

    def rows(
        asset: str, days: Any, columns: Sequence[Floats], count: Any, shares: Sequence[Floats | None], available: Any
    ) -> Iterator[tuple[Any, ...]]:
        judged = skill_of(columns[0][days], columns[1][days], rules.window)
        for number, day in enumerate(days):
            told = tuple(None if share is None else _number(float(share[day])) for share in shares)
            yield (
                asset, name, side.first + timedelta(days=int(day) + 1), int(count[day]), *told,
                *(float(column[day]) for column in columns), *judged[number], instant(int(available[day])),
            )  # fmt: skip

    available = np.maximum.accumulate(side.available, axis=0)
    everywhere = np.maximum.accumulate(side.available.max(axis=1))
    for i, asset in enumerate(side.assets):
        days = np.flatnonzero(usable[:, i])
        yield from rows(
            asset, days, [loss[:, i] for loss in losses], usable[:, i].astype(int),
            [y[:, i], expected.blend[:, i], expected.distance[:, i], expected.climatology[:, i]], available[:, i],
        )  # fmt: skip
    days = np.flatnonzero(usable.any(axis=1))
    yield from rows("*", days, [loss.sum(axis=1) for loss in losses], usable.sum(axis=1), [None] * 4, everywhere)


def write_levels(con: duckdb.DuckDBPyConnection, *, progress: Progress = no_progress) -> Fitted:
    """Bring kernel and skill up to date in one transaction. A month is fitted where something it follows from has changed."""
    started = time.monotonic()
    rules = read_rules(con)
    kernel_rows: list[tuple[Any, ...]] = []
    skill_rows: list[tuple[Any, ...]] = []
    fitted = 0
    for name in SIDES:
        side = read_side(con, name, len(rules.distances))
        if side is None:
            continue
        kernels: dict[date, Kernel] = {}
        months = _months(side)
        digests = _digests(side, name, months, rules)
        there = _there(con, side, name, rules)
        for done, month in enumerate(months):
            progress(f"fit {name}s", done, len(months))
            kept = there.get((month, digests[month]))
            kernel = kept or fit_month(side, month, rules)
            fitted += kept is None and kernel is not None
            if kernel is not None:
                kernels[month] = kernel
                kernel_rows += _kernel_rows(side, name, kernel, rules, digests[month])
        skill_rows += score(side, name, kernels, rules)
    with transaction(con):
        for table, columns, rows in (
            ("liquidation_kernel_monthly", KERNEL, kernel_rows), ("liquidation_skill_daily", SKILL, skill_rows)
        ):  # fmt: skip
            con.execute(f"delete from stats.{table}")
            _insert(con, table, columns, rows)
    return Fitted(len(kernel_rows), fitted, len(skill_rows), time.monotonic() - started)


def read_rules(con: duckdb.DuckDBPyConnection) -> Rules:
    """Numbers as readers see them."""
    value = dict(con.execute("select name, value from marts.dim_threshold where name like 'levels%'").fetchall())
    classes = con.execute("select distance, opening_weight from seeds.liquidation_classes order by class_no").fetchall()
    return Rules(
        distances=tuple(distance for distance, _ in classes), weights=tuple(weight for _, weight in classes),
        churn=value["levels_churn_share"], prior=value["levels_prior"], map_weight=value["levels_map_weight"],
        window=int(value["levels_calibration_days"]), window_min=int(value["levels_calibration_days_min"]),
    )  # fmt: skip


def read_side(con: duckdb.DuckDBPyConnection, side: str, classes: int) -> Side | None:
    """One side of int_liquidation_exposure_daily as arrays; None where it has no row."""
    import numpy as np

    table = "intermediate.int_liquidation_exposure_daily"
    [span] = con.execute(
        f"select min(trade_date), max(trade_date) from {table} where liquidated_base is not null"
    ).fetchall()
    if span[0] is None:
        return None
    first, last = span
    feeds = " ".join(f"when '{feed}' then {number}" for number, feed in enumerate(FEEDS))
    rows = con.execute(
        f"""
        select
            extract(day from (cast(trade_date as timestamp) - cast($1 as timestamp))) as day_no, asset,
            {", ".join(f"reached_{k}" for k in range(1, classes + 1))}, reached_move, liquidated_base / oi_base as liquidated,
            case completeness {feeds} else -1 end as feed, coalesce(epoch_us(outcome_available_at), 0) as available
        from {table}
        where side = $2 and trade_date between $1 and $3 and reached_move is not null
        """,
        [first, side, last],
    ).fetchnumpy()
    assets, who = np.unique(rows["asset"].astype(str), return_inverse=True)
    at = (np.asarray(rows["day_no"], dtype=np.int64), who)
    shape = ((last - first).days + 1, assets.size)

    def spread(name: str) -> Floats:
        values = np.full(shape, np.nan)
        values[at] = np.ma.filled(np.ma.asarray(rows[name], dtype=np.float64), np.nan)
        return values

    feed, available = np.full(shape, -1, dtype=np.int8), np.zeros(shape, dtype=np.int64)
    feed[at] = np.asarray(rows["feed"], dtype=np.int8)
    available[at] = np.asarray(rows["available"], dtype=np.int64)
    reached = np.nan_to_num(np.stack([spread(f"reached_{k}") for k in range(1, classes + 1)], axis=-1))
    return Side(
        first, tuple(str(a) for a in assets), reached, spread("reached_move"), spread("liquidated"), feed, available
    )


def _months(side: Side) -> list[date]:
    """First days of the months of the days there are, and of the month after the last: its rates are known already."""
    month, found = side.first.replace(day=1), []
    last = side.first + timedelta(days=side.days)
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    return found


def _digests(side: Side, name: str, months: Sequence[date], rules: Rules) -> dict[date, str]:
    import numpy as np

    running = hashlib.sha256("\0".join([RECIPE, name, repr(rules)]).encode())
    names = np.array(side.assets)
    start, found = 0, {}
    for month in months:
        end = max(start, (month - side.first).days - 1)
        some = np.isfinite(side.liquidated[start:end]).any(axis=0)
        running.update("\0".join(names[some]).encode() + b"\0\0")
        for values in (side.reached, side.move, side.liquidated):
            running.update(np.ascontiguousarray(np.round(values[start:end][:, some], DIGITS)).tobytes())
        running.update(np.ascontiguousarray(side.available[start:end][:, some]).tobytes())
        found[month] = running.hexdigest()[:20]
        start = end
    return found


def _there(con: duckdb.DuckDBPyConnection, side: Side, name: str, rules: Rules) -> dict[tuple[date, str], Kernel]:
    """Kernels of an earlier run by month and digest, whose assets are all there still."""
    import numpy as np

    place = {asset: i for i, asset in enumerate(side.assets)}
    found: dict[tuple[date, str], Kernel] = {}
    for month, digest, days, rows, available, rates, alone in con.execute(
        "select valid_from, input_digest, max(training_days), max(training_rows), max(epoch_us(available_at)), "
        "list(beta order by class_no), list(beta_distance order by class_no) from stats.liquidation_kernel_monthly "
        "where asset = '*' and side = ? group by all",
        [name],
    ).fetchall():
        factors, factors_distance = np.full(len(place), np.nan), np.full(len(place), np.nan)
        for asset, factor, other in con.execute(
            "select asset, calibration_factor, calibration_distance from stats.liquidation_kernel_monthly "
            "where asset <> '*' and class_no = 0 and side = ? and valid_from = ?",
            [name, month],
        ).fetchall():
            if asset in place:
                factors[place[asset]] = np.nan if factor is None else factor
                factors_distance[place[asset]] = np.nan if other is None else other
        if len(rates) == len(rules.distances) + 1:
            found[month, digest] = Kernel(
                month, np.array(rates), np.array(alone), factors, factors_distance, days, rows, available
            )
    return found


def _kernel_rows(side: Side, name: str, kernel: Kernel, rules: Rules, digest: str) -> Iterator[tuple[Any, ...]]:
    import numpy as np

    end = (kernel.valid_from - side.first).days - 1
    window = side.feed[max(0, end - rules.window) : end]
    classes = [
        (0, 0.0, None),
        *((k, d, w) for k, (d, w) in enumerate(zip(rules.distances, rules.weights, strict=True), 1)),
    ]
    for asset in ("*", *side.assets):
        i = None if asset == "*" else side.assets.index(asset)
        factor = None if i is None else _number(float(kernel.factors[i]))
        other = None if i is None else _number(float(kernel.factors_distance[i]))
        if i is not None and (factor is None or other is None):
            continue
        worst = int(np.max(window if i is None else window[:, i], initial=-1))
        for number, distance, weight in classes:
            yield (
                asset, name, number, kernel.valid_from, distance, weight, float(kernel.rates[number]),
                float(kernel.rates_distance[number]), rules.churn, factor, other, kernel.training_days, kernel.training_rows,
                FEEDS[worst] if worst >= 0 else None, instant(kernel.available), digest,
            )  # fmt: skip


def _insert(
    con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    import polars as pl

    if not rows:
        return
    types = dict(
        con.execute(
            "select column_name, data_type from duckdb_columns() where database_name = current_database() "
            "and schema_name = 'stats' and table_name = $1",
            [table],
        ).fetchall()
    )
    con.register(
        "fitted", pl.DataFrame(rows, schema={name: polars_type(types[name]) for name in columns}, orient="row")
    )
    con.execute(f"insert into stats.{table} ({', '.join(columns)}) select {', '.join(columns)} from fitted")
    con.unregister("fitted")


def _number(value: float) -> float | None:
    import math

    return value if math.isfinite(value) else None
