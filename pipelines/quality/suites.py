"""The checks of the gate for every clean table, as data: expectations and severities; their bounds are in bounds.py.

profiles.py defines the checked columns, gate.py runs Great Expectations. Rules on single rows (NOT NULL, CHECK, duplicates)
are enforced by the contract before the gate and are not repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from pipelines.quality.bounds import (
    AGREE_PRICE,
    AGREE_RATE,
    AGREE_SHARE,
    AGREE_STATE,
    AGREE_TOKEN,
    AGREE_TOTAL,
    BLOCK_DISORDER,
    CANDLE_RANGE,
    CHAIN_SIZE,
    COLLATERAL_OVER_DEBT,
    CONSTANT_ROWS,
    DAY_JUMP,
    DUPLICATES_NOTICE,
    EQUAL_SIDES,
    FIRST_YEAR,
    FORWARD_GAP,
    FORWARD_SHARE,
    HOURS_AHEAD,
    INDEX_SPREAD,
    INTERVALS,
    LARGEST_EVENT_USD,
    LEVEL_SHIFT,
    LIQUIDATED_NOTICE,
    LIQUIDATED_OVER_VOLUME,
    LIQUIDATED_USD_A_DAY,
    LOAN_USD,
    NOTIONAL_FACTOR,
    NULL_RISE,
    ODDS_SHIFT,
    OFF_GRID_NOTICE,
    OFF_PHASE_LIMIT,
    OI_OVER_VOLUME,
    ONE_SIDED,
    PRICE_DAY_JUMP,
    PRICE_GAP,
    QUARANTINE_LIMIT,
    QUARANTINE_NOTICE,
    RATE_MAGNITUDE,
    RATE_PLAUSIBLE,
    REPEATED_NOTICE,
    SECONDS_EARLY,
    SHARE_EXTREME,
    SHARE_GAP,
    SHORT_GAP_NOTICE,
    SIDES_OVER_TOTAL,
    SIZED_SHARE,
    SPELLED_SHARE,
    TIER_FIRST_BOUND,
    TIER_LEVERAGE_GAP,
    TRADED_OVER_SUPPLY,
    TYPE_BALANCE,
    TYPICAL_OF_OI,
    UNIT_JUMP,
    VOLATILITY,
    VWAP_FACTOR,
    ZERO_NOTICE,
)

Severity = Literal["error", "warn"]
Frame = Literal["shape", "batch", "nulls", "series", "stamps", "units", "rows"]


@dataclass(frozen=True)
class Check:
    """One expectation: `expectation` is a class of great_expectations.expectations, `kwargs` its arguments.

    `catches` states what a failure means; docs/quality.md repeats it.
    """

    name: str
    severity: Severity
    frame: Frame
    expectation: str
    catches: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def _at_most(
    name: str, severity: Severity, frame: Frame, column: str, catches: str, *, high: float, strict: bool = False
) -> Check:
    """Expect every known value of `column` to be at most `high`, or below it where `strict`."""
    kwargs = {"column": column, "max_value": high, "strict_max": strict}
    return Check(name, severity, frame, "ExpectColumnMaxToBeBetween", catches, kwargs)


def _at_least(
    name: str, severity: Severity, frame: Frame, column: str, catches: str, *, low: float, strict: bool = False
) -> Check:
    """Expect every known value of `column` to be at least `low`, or above it where `strict`."""
    kwargs = {"column": column, "min_value": low, "strict_min": strict}
    return Check(name, severity, frame, "ExpectColumnMinToBeBetween", catches, kwargs)


def _mostly(
    name: str,
    severity: Severity,
    frame: Frame,
    column: str,
    catches: str,
    *,
    low: float | None = None,
    high: float | None = None,
    share: float = 1.0,
) -> Check:
    """Expect at least `share` of the known values of `column` in [low, high].

    Great Expectations takes four times as long for it as for _at_most and _at_least, which are preferred.
    """
    kwargs = {"column": column, "min_value": low, "max_value": high, "mostly": share}
    return Check(name, severity, frame, "ExpectColumnValuesToBeBetween", catches, kwargs)


def _no_rows(name: str, severity: Severity, frame: Frame, catches: str) -> Check:
    return Check(name, severity, frame, "ExpectTableRowCountToBeBetween", catches, {"max_value": 0})


SHAPE: Final = (
    _at_most("columns_present", "error", "shape", "missing",
             "a column of the contract is missing from the batch", high=0),
    _at_most("columns_known", "error", "shape", "unknown",
             "the batch has a column that is not in the contract", high=0),
    _at_most("column_types", "error", "shape", "retyped",
             "the type of a column differs from the contract", high=0),
)  # fmt: skip
"""Checked first: if one fails, nothing else of the table is measured."""

_VOLUME: Final = (
    _at_least("batch_not_empty", "error", "batch", "accepted_of_received",
            "rows were received but none accepted, nor known already", low=1),
    _at_most("received_reconciles", "error", "batch", "unaccounted",
            "received is not accepted + duplicates + quarantined", high=0),
    _at_most("staged_is_accepted", "error", "batch", "staged_minus_accepted",
            "the rows about to be committed are not the rows counted as accepted", high=0),
    _at_most("one_source", "error", "batch", "foreign_rows",
            "rows of another source in the batch: no later load would replace them", high=0),
    _at_most("quarantine_share", "error", "batch", "quarantined_share",
            "so many rows rejected that the format was misread", high=QUARANTINE_LIMIT),
    _at_most("quarantine_share_notice", "warn", "batch", "quarantined_share",
            "more rows rejected than usual", high=QUARANTINE_NOTICE),
)  # fmt: skip

_REPEATS: Final = (
    _at_most("duplicates_share", "warn", "batch", "duplicates_share",
             "pages or files repeat more rows than they add", high=DUPLICATES_NOTICE),
)  # fmt: skip
"""Not for instruments: each file of a history lists them again."""

_NULLS: Final = (
    _at_most("null_share_steady", "warn", "nulls", "rise",
             "a previously filled column is now empty: a renamed field", high=NULL_RISE),
)  # fmt: skip

_STAMPED: Final = (
    _at_least("stamps_after_genesis", "error", "batch", "first_year",
            "seconds read as milliseconds, or a default date", low=FIRST_YEAR),
    _at_most("stamps_not_ahead", "error", "batch", "hours_ahead",
            "timestamps in the future: a wrong epoch unit or time zone", high=HOURS_AHEAD),
    _at_most("known_after_it_happened", "error", "rows", "seconds_early",
            "available_at is before the end of the row's period: look-ahead", high=SECONDS_EARLY),
)  # fmt: skip

_FILED: Final = (
    _at_most("trade_date_follows_clock", "error", "rows", "days_misfiled",
            "trade_date does not follow the day rule of its table", high=0),
)  # fmt: skip

_CADENCE: Final = (
    _at_most("stamps_on_grid", "warn", "series", "off_grid_share",
            "timestamps off the UTC grid of their period: jitter, or days that start at another hour",
            high=OFF_GRID_NOTICE),
    _at_most("stamps_in_phase", "error", "series", "off_phase_share",
            "a series changes phase: local time read as UTC, or periods mixed up", high=OFF_PHASE_LIMIT),
)  # fmt: skip

_FROZEN: Final = (
    _at_most("values_move", "warn", "series", "constant_rows",
            "the value does not change: a frozen feed or a forward-filled gap", high=CONSTANT_ROWS),
)  # fmt: skip

_CANDLES_AGREE: Final = (
    _at_most("price_against_candles", "warn", "series", "price_gap",
            "the price implied by the batch differs from the candles of that day", high=PRICE_GAP),
    _at_most("price_unit_against_candles", "error", "series", "price_gap_breadth",
            "amounts of a venue in a wrong unit, compared with its own candles", high=UNIT_JUMP, strict=True),
)  # fmt: skip


_UNITS: Final = (
    _at_most("dollars_not_coins", "error", "units", "dollars_as_coins",
             "of an imported file: dollars mapped as coins, the implied price is 1", high=0),
    _at_most("price_of_asset", "warn", "units", "price_off",
             "of an imported file: the price it implies is not that of candles of any source", high=PRICE_GAP),
    _at_most("price_unit_of_asset", "error", "units", "price_off_widespread",
             "of an imported file: the price it implies is that of another unit, or of another coin with the ticker",
             high=UNIT_JUMP),
    _at_most("dates_in_step", "error", "units", "days_off",
             "of an imported file: its prices are those of candles of the day before or after", high=0),
)  # fmt: skip
"""Only imported files are judged so; see units.py."""


def _amounts(*, supply: float, volume: float, notice: float, usd: float | None = None) -> tuple[Check, ...]:
    """Limits on amounts of imported files, as multiples of the supply and of a day's traded volume, and in dollars a day."""
    found = [
        _at_most("within_supply", "error", "units", "over_supply",
                 "of an imported file: more coins than there are", high=supply),
        _at_most("within_volume", "error", "units", "over_volume",
                 "of an imported file: an amount many times the traded volume", high=volume),
        _at_most("near_volume", "warn", "units", "over_volume",
                 "of an imported file: an amount large against the traded volume", high=notice),
    ]  # fmt: skip
    if usd is not None:
        found.append(
            _at_most("dollars_a_day", "error", "units", "usd_a_day",
                     "of an imported file: a typical day above that of all markets together", high=usd)
        )  # fmt: skip
    return tuple(found)


def _keys(*columns: str) -> Check:
    return Check("keys_unique", "error", "rows", "ExpectCompoundColumnsToBeUnique",
                 "two rows with the same key after deduplication", {"column_list": list(columns)})  # fmt: skip


def _agrees(high: float) -> Check:
    return _at_most("other_sources_agree", "warn", "series", "other_source_gap",
                   "another source has different values for the same series and time", high=high)  # fmt: skip


def _zero_stamps(catches: str) -> tuple[Check, Check]:
    """Zeros of all instruments at once, between stamps with values; what begins or ends is a listing or a closure."""
    return (
        _at_most("no_all_zero_stamps", "error", "stamps", "enclosed", catches, high=0),
        _no_rows("all_zero_at_an_end", "warn", "stamps",
                 "zero for every instrument of a venue, before or after all its values: a closure, or a sentinel"),
    )  # fmt: skip


def _spelling() -> tuple[Check, Check]:
    return (
        _at_most("tokens_spelled", "error", "series", "misspelled_share",
                 "half of the tokens are neither lower-case addresses nor lower-case symbols: a format misread",
                 high=SPELLED_SHARE),
        _at_most("odd_tokens", "warn", "series", "misspelled",
                 "a token that is neither a lower-case address nor a lower-case symbol: it matches no registry entry",
                 high=0),
    )  # fmt: skip


def _widespread_jump(level: str) -> Check:
    return _at_most(f"{level}_unit_jump", "error", "series", f"{level}_breadth",
                   "the level of a fifth of a venue's series jumped relative to nearby loaded days: a wrong unit or scale",
                   high=UNIT_JUMP, strict=True)  # fmt: skip


def _level_shift(level: str, *, high: float = LEVEL_SHIFT) -> Check:
    return _at_most(f"{level}_level_shift", "warn", "series", f"{level}_shift",
                   "the level of a series moved far from nearby loaded days", high=high, strict=True)  # fmt: skip


def _day_jump(level: str, high: float) -> Check:
    return _at_most(f"{level}_day_jump", "warn", "series", f"{level}_jump",
                   "consecutive days in the batch are far apart: the unit changed in the middle, or bad prints",
                   high=high, strict=True)  # fmt: skip


_LOAN: Final = _at_most(
    "loan_in_dollars", "error", "units", "largest_usd",
    "of an imported file: a loan of tens of billions, raw units of a token read as dollars", high=LOAN_USD,
)  # fmt: skip


_SUITES: Final[dict[str, tuple[Check, ...]]] = {
    "open_interest": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN, *_CANDLES_AGREE,
        _keys("venue", "instrument", "period", "event_at"),
        _widespread_jump("oi_base"), _level_shift("oi_base"), _day_jump("oi_base", DAY_JUMP),
        _widespread_jump("oi_usd"), _level_shift("oi_usd"),
        _at_most("normalized_matches_raw", "error", "rows", "raw_gap",
                "oi_base or oi_usd does not follow from oi_raw, its unit and the counting", high=1e-6),
        *_zero_stamps("zero for every instrument at one timestamp between others: a sentinel row of the archive"),
        _at_most("zeros_are_rare", "warn", "series", "zero_share",
                "zeros within an active series: sentinel rows of one instrument", high=ZERO_NOTICE),
        _agrees(AGREE_STATE),
        *_UNITS, *_amounts(supply=1.0, volume=OI_OVER_VOLUME, notice=OI_OVER_VOLUME / 10),
    ),
    "candles": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN,
        _keys("venue", "instrument", "market", "period", "opened_at"),
        _widespread_jump("close"), _level_shift("close"), _day_jump("close", PRICE_DAY_JUMP),
        _widespread_jump("volume_base"), _level_shift("volume_base", high=UNIT_JUMP),
        _at_most("volume_unit", "error", "series", "vwap_per_close_lasting",
                "quote volume over base volume is not a price, for days or on a fifth of a venue: contracts read as coins",
                high=VWAP_FACTOR),
        _at_most("volume_near_close", "warn", "series", "vwap_per_close_off",
                "quote volume over base volume is far from the close: a collapse, or contracts read as coins",
                high=VWAP_FACTOR),
        _mostly("taker_within_volume", "error", "rows", "taker_share",
                "taker buys exceed the volume: columns swapped or units mixed", high=1.000001, share=0.999),
        _at_most("candle_range", "warn", "rows", "high_over_low", "a bad tick in a high or a low", high=CANDLE_RANGE),
        _agrees(AGREE_PRICE),
        *_UNITS, *_amounts(supply=TRADED_OVER_SUPPLY, volume=OI_OVER_VOLUME, notice=OI_OVER_VOLUME / 10),
    ),
    "funding_rates": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_CANDLES_AGREE,
        _keys("venue", "instrument", "kind", "settled_at"),
        _widespread_jump("rate"),
        _at_most("rate_magnitude", "error", "series", "rate_typical_breadth",
                "percent read as a fraction, or an annual rate as a rate per interval", high=RATE_MAGNITUDE),
        _at_most("rate_at_its_cap", "warn", "series", "rate_typical",
                "a series whose rates are large for many settlements: a squeeze, or another unit", high=RATE_MAGNITUDE),
        _mostly("rate_plausible", "warn", "rows", "rate",
                "rates beyond the caps of the large venues", low=-RATE_PLAUSIBLE, high=RATE_PLAUSIBLE, share=0.999),
        Check("interval_known", "warn", "rows", "ExpectColumnValuesToBeInSet",
              "an interval no venue uses: minutes or seconds read as hours",
              {"column": "interval_hours", "value_set": list(INTERVALS)}),
        _at_most("interval_matches_gaps", "warn", "series", "short_gap_share",
                "settlements are closer together than the stated interval", high=SHORT_GAP_NOTICE),
        _no_rows("no_all_zero_stamps", "warn", "stamps", "zero for every instrument at one settlement: a placeholder"),
        _agrees(AGREE_RATE),
        *_UNITS,
    ),
    "long_short_ratios": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN,
        _keys("venue", "instrument", "measure", "period", "event_at"),
        _at_most("share_matches_ratio", "error", "rows", "share_gap",
                "long_share is not ratio / (1 + ratio): two measures or two sides mixed up", high=SHARE_GAP),
        _mostly("share_plausible", "warn", "rows", "long_share",
                "nearly all long or nearly all short", low=SHARE_EXTREME, high=1 - SHARE_EXTREME, share=0.99),
        _at_most("odds_side_swap", "warn", "series", "odds_breadth",
                 "the odds of a fifth of a venue's series jumped: sides swapped", high=ODDS_SHIFT, strict=True),
        _no_rows("no_flat_stamps", "error", "stamps",
                 "the same share for every instrument at one timestamp: a placeholder"),
        _agrees(AGREE_SHARE),
    ),
    "liquidations": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CANDLES_AGREE,
        _keys("venue", "liquidation_id"),
        _widespread_jump("quantity_base"),
        _at_most("notional_unit", "error", "series", "notional_per_value_lasting",
                "notional is not price times quantity, for days or on a fifth of a venue: contracts read as coins",
                high=NOTIONAL_FACTOR),
        _at_most("notional_near_value", "warn", "series", "notional_per_value_off",
                "notional is far from price times quantity: fills far from the stated price, or contracts read as coins",
                high=NOTIONAL_FACTOR),
        _at_most("largest_event", "warn", "rows", "notional_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        _mostly("both_sides_present", "warn", "series", "long_share",
                "all events of a venue on one side: the side is decoded wrongly", low=ONE_SIDED, high=1 - ONE_SIDED),
        _at_most("events_not_repeated", "warn", "series", "repeated_share",
                "the feed replays events under new ids", high=REPEATED_NOTICE),
        *_UNITS,
        *_amounts(supply=1.0, volume=LIQUIDATED_OVER_VOLUME, notice=LIQUIDATED_NOTICE, usd=LIQUIDATED_USD_A_DAY),
    ),
    "liquidation_totals": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_CANDLES_AGREE,
        _keys("venue", "instrument", "measure", "period", "event_at"),
        _at_most("liquidated_within_oi", "warn", "series", "most_of_oi",
                 "more liquidated in a day than the open interest", high=1.0),
        _at_most("liquidated_share_of_oi", "warn", "series", "typical_of_oi_breadth",
                 "a venue liquidates half its open interest on a typical day: a crash, or a wrong unit", high=TYPICAL_OF_OI),
        _at_most("liquidated_unit_against_oi", "error", "series", "typical_of_oi_breadth",
                 "a venue liquidates many times its open interest on a typical day: a wrong unit", high=UNIT_JUMP),
        _mostly("sides_within_total", "error", "rows", "sides_over_total",
                "long plus short exceeds the total: units or columns mixed up", high=SIDES_OVER_TOTAL, share=0.95),
        _at_most("sides_differ", "warn", "series", "equal_sides_share",
                "long and short are the same numbers: both read from one column", high=EQUAL_SIDES),
        _agrees(AGREE_TOTAL),
        *_UNITS,
        *_amounts(supply=1.0, volume=LIQUIDATED_OVER_VOLUME, notice=LIQUIDATED_NOTICE, usd=LIQUIDATED_USD_A_DAY),
    ),
    "lending_liquidations": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("chain", "event_id"),
        _widespread_jump("collateral_price"),
        _at_most("collateral_covers_debt", "warn", "series", "collateral_per_debt_off",
                "collateral and debt differ much in value: a crash, dust, or wrong decimals or price",
                high=COLLATERAL_OVER_DEBT),
        _at_most("collateral_unit", "error", "series", "collateral_per_debt_off_breadth",
                "collateral and debt differ on a fifth of a chain's series by the factor of a unit: wrong decimals",
                high=UNIT_JUMP, strict=True),
        _at_most("largest_event", "warn", "rows", "collateral_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        _LOAN,
        *_spelling(),
        _at_most("blocks_in_order", "warn", "series", "block_disorder",
                "time decreases along block numbers: a wrong clock or chain", high=BLOCK_DISORDER),
        _agrees(AGREE_TOKEN),
    ),
    # Bad debt is rare and clustered: there is no expected share of nulls and no level to compare with.
    "lending_bad_debt": (
        *_VOLUME, *_REPEATS, *_STAMPED, *_FILED,
        _keys("chain", "event_id"),
        _at_most("largest_event", "warn", "rows", "debt_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        _LOAN,
        *_spelling(),
    ),
    "option_chain": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("venue", "instrument", "snapshot_at"),
        _widespread_jump("oi_base"), _level_shift("oi_base"),
        _mostly("iv_is_fraction", "error", "series", "mark_iv_now",
                "implied volatility in percent, or divided twice", low=VOLATILITY[0], high=VOLATILITY[1]),
        _mostly("delta_sign", "error", "rows", "call_delta",
                "calls with negative or puts with positive delta: types swapped", low=0, share=0.999),
        _mostly("call_price_in_coin", "error", "rows", "call_price_base",
                "a call priced above its coin: dollars read as coins", high=1.0, share=0.99),
        _mostly("forward_near_index", "error", "rows", "forward_gap",
                "the forward is not near the index: another coin or unit", high=FORWARD_GAP, share=FORWARD_SHARE),
        *_zero_stamps("no open interest in a whole chain between other snapshots: a sentinel snapshot"),
        _at_least("chain_size", "warn", "series", "chain_size_share",
                "a snapshot much smaller than the loaded ones: a lost page", low=CHAIN_SIZE),
        _mostly("both_option_types", "warn", "series", "put_share",
                "calls or puts are missing", low=TYPE_BALANCE[0], high=TYPE_BALANCE[1]),
        _at_most("one_index_per_snapshot", "warn", "series", "index_spread",
                "index prices of one snapshot are far apart: snapshots mixed", high=INDEX_SPREAD),
    ),
    "volatility_index": (
        *_VOLUME, *_REPEATS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN,
        _keys("venue", "index_name", "period", "opened_at"),
        _mostly("index_is_fraction", "error", "series", "close_now",
                "the index in percent, or divided twice", low=VOLATILITY[0], high=VOLATILITY[1]),
        _day_jump("close", PRICE_DAY_JUMP),
        _agrees(AGREE_PRICE),
    ),
    "token_prices": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("chain", "token", "priced_at"),
        _widespread_jump("price_usd"), _level_shift("price_usd"), _day_jump("price_usd", PRICE_DAY_JUMP),
        # Any contract may answer what it likes, and a redenomination changes it.
        _at_most("one_decimals_per_token", "warn", "series", "decimals_seen",
                "two values of decimals for one token: its amounts are off by a power of ten", high=1),
        *_spelling(),
        _agrees(AGREE_TOKEN),
    ),
    # Values read from a token contract are not a time series: they are constant unless the contract is replaced.
    "tokens": (
        *_VOLUME, *_REPEATS, *_STAMPED, *_FILED,
        _keys("chain", "token", "named_at"),
        *_spelling(),
        # Any contract may answer what it likes, and a redenomination changes it.
        _at_most("one_decimals_per_token", "warn", "series", "decimals_seen",
                "two values of decimals for one token: its amounts are off by a power of ten", high=1),
    ),
    "risk_tiers": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("venue", "instrument", "schedule", "tier", "snapshot_at"),
        _widespread_jump("max_leverage"), _widespread_jump("upper_bound"),
        _at_most("maintenance_below_initial", "error", "rows", "maintenance_over_initial",
                 "a position is liquidated at more margin than it is opened with: columns swapped, or percent", high=1.0),
        _at_most("initial_follows_leverage", "error", "rows", "initial_by_leverage",
                 "initial margin is not the inverse of the leverage: percent read as a fraction", high=TIER_LEVERAGE_GAP),
        _at_most("tiers_from_zero", "warn", "series", "first_bound",
                 "no tier for the smallest positions: a lost page", high=TIER_FIRST_BOUND),
        _at_most("tiers_tighten", "warn", "series", "eases_with_size",
                 "a larger position may take more leverage or less margin: tiers out of order", high=0),
    ),
    "instruments": (
        *_VOLUME, *_NULLS, *_FILED,
        _keys("venue", "instrument", "valid_from"),
        _at_least("listed_before_delisted", "warn", "rows", "days_listed",
                "an instrument delisted before it was listed: relisted, or columns swapped", low=0),
        _mostly("inverse_has_size", "error", "rows", "inverse_size",
                "inverse and quanto contracts without contract size: a renamed field", low=1e-30, share=SIZED_SHARE),
        _at_least("every_inverse_has_size", "warn", "rows", "inverse_size",
                "an inverse or quanto contract without contract size: its amounts cannot be converted", low=0, strict=True),
        Check("multiplier_matches_name", "warn", "rows", "ExpectColumnPairValuesToBeEqual",
              "1000PEPE or kPEPE without its multiplier of 1000",
              {"column_A": "multiplier", "column_B": "named_multiplier", "ignore_row_if": "either_value_is_missing"}),
        Check("asset_spelled", "warn", "rows", "ExpectColumnValuesToMatchRegex",
              "an asset that is not a canonical ticker: lower case, a pair or a contract name",
              {"column": "asset", "regex": r"^[^a-z\s/_:-]+$"}),
        _at_most("asset_is_no_pair", "error", "units", "pair_as_asset",
                 "of an imported file: an asset spelled like a pair", high=0),
        Check("asset_steady", "warn", "rows", "ExpectColumnPairValuesToBeEqual",
              "an instrument whose asset changed",
              {"column_A": "asset", "column_B": "loaded_asset", "ignore_row_if": "either_value_is_missing"}),
        _at_most("contract_size_steady", "warn", "rows", "size_shift",
                "the contract size changed: history before it needs the old one", high=1.0),
    ),
}  # fmt: skip

SUITES: Final[Mapping[str, tuple[Check, ...]]] = MappingProxyType(
    {table: (*SHAPE, *checks) for table, checks in _SUITES.items()}
)
"""Checks by clean table, shape first."""
