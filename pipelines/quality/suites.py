"""What the gate expects of every clean table: thresholds, checks and their severities, as data.

How the judged columns are measured is in profiles.py; running Great Expectations is in gate.py. A row's own truth (NOT
NULL, CHECK, duplicates) is enforced by the contract before the gate and is not repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

Severity = Literal["error", "warn"]
Frame = Literal["shape", "batch", "nulls", "series", "stamps", "rows"]

SAMPLE_ROWS: Final = 100_000
"""Rows of a table that Great Expectations sees one by one; above it, the rows whose key hash falls in 1 of n."""

SMALL_BATCH: Final = 50
"""Shares of fewer rows are not judged: three bad lines in a file of ten are for the quarantine, not for the gate."""

QUARANTINE_LIMIT: Final = 0.2
"""A fifth of a batch in quarantine is a misread format, not dirty data."""

QUARANTINE_NOTICE: Final = 0.01
"""Archives of exchanges quarantine well under one row in a hundred."""

DUPLICATES_NOTICE: Final = 0.5
"""Overlapping pages repeat some rows; more repeated than new ones is a paging bug."""

FIRST_YEAR: Final = 2009
"""The genesis block is of January 2009; an earlier stamp is a misread epoch unit."""

HOURS_AHEAD: Final = 0.25
"""Clocks of venues run minutes ahead at most; a stamp further in the future is a wrong unit or time zone."""

SECONDS_EARLY: Final = 60.0
"""Settlement stamps are rounded to the minute, so a row may seem known up to a minute before it happened; not more."""

NEIGHBOUR_DAYS: Final = 45
"""Levels are compared with loaded days at most this far from the batch: in a year altcoins move fifty-fold."""

SETTLED_DAYS: Final = 5
"""Loaded days a series needs before a jump may refuse it: in the first days of a listing everything multiplies."""

UNIT_JUMP: Final = 50.0
"""Contracts read as coins were 50 to 470 times off. Against the weeks before, open interest moved 17-fold at most in
two years of 119 Binance perpetuals, and closes 7-fold."""

LEVEL_SHIFT: Final = 10.0
"""A tenfold level within weeks happens, but is worth a look."""

WIDESPREAD: Final = 0.2
"""A wrong unit hits a venue, a collapse hits one coin (LUNA fell a thousandfold in a day): prices, volumes, rates and
event sizes are refused only where a fifth of the venue's series jumped together."""

DAY_JUMP: Final = 10.0
"""Factor between two days in a row inside a batch: where a file changes its unit in the middle."""

PRICE_DAY_JUMP: Final = 3.0
"""Prices rarely triple or lose two thirds in a day."""

OFF_GRID_NOTICE: Final = 0.001
"""Share of stamps off the UTC grid of their period that goes unnoticed."""

OFF_PHASE_LIMIT: Final = 0.05
"""A series may open its periods at an odd hour, but at one: local time read as UTC splits it at each clock change."""

PHASE_ROWS: Final = 20
"""Rows a series needs before its phase can be told."""

ZERO_NOTICE: Final = 0.01
"""Open interest of a living instrument is not zero in one row of a hundred."""

CONSTANT_ROWS: Final = 48
"""This many equal values in a row of periods is a frozen feed: two days of hours, four hours of five minutes."""

ZERO_SET: Final = 3
"""Instruments that must be zero at one stamp for it to be a sentinel; fewer may be dead."""

FLAT_SET: Final = 5
"""Instruments that must print one and the same long share at one stamp for it to be a filler."""

ZERO_RATE_SET: Final = 10
"""Some instruments do print zero funding; ten at once and no other value is a filler."""

NULL_RISE: Final = 0.2
"""Rise of the share of nulls of a column against what is loaded: a renamed field turns a filled column empty."""

RATE_MAGNITUDE: Final = 0.005
"""Typical rate of a series per interval; calm markets print 0.0001, the same in percent reads 0.01."""

RATE_ROWS: Final = 30
"""Settlements (ten days at eight hours) over which a typical rate is judged; squeezes are shorter."""

RATE_PLAUSIBLE: Final = 0.03
"""Caps of the large venues lie at 2 to 3 percent per interval."""

INTERVALS: Final = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)
"""Funding intervals in hours that venues use."""

SHORT_GAP_NOTICE: Final = 0.01
"""Share of settlements that may follow sooner than their stated interval (a change of interval does it once)."""

VWAP_FACTOR: Final = 5.0
"""Quote volume over base volume is a price near the close; contracts counted as coins are 10 to 1,000 times off."""

NOTIONAL_FACTOR: Final = 1.5
"""Notional over price times quantity; the average fill is within a few percent of it."""

PRICE_GAP: Final = 2.0
"""Factor between a price implied by a batch and the candles of the same venue, instrument and day."""

CANDLE_RANGE: Final = 10.0
"""High over low of one candle; beyond it stands a bad tick."""

SHARE_GAP: Final = 0.005
"""Venues round ratio and share to four digits; more apart, they are not of the same measure."""

SHARE_EXTREME: Final = 0.02
"""A crowd of which less than 2% stand on one side is rare."""

ODDS_SHIFT: Final = 3.0
"""The odds long to short of a fifth of a venue moved 2.5-fold at most in 700 days; a swap moves them 10-fold."""

TYPICAL_OF_OI: Final = 0.5
"""Liquidated share of open interest that a fifth of a venue's instruments reach: 0.14 on the worst of 700 days."""

LARGEST_EVENT_USD: Final = 1e9
"""No single liquidation on record reached a billion dollars."""

ONE_SIDED: Final = 0.02
"""Of a hundred liquidations of a venue at least two are of the other side, unless side is decoded wrongly."""

VENUE_EVENTS: Final = 100
"""Events of a venue from which shares over its events are judged."""

REPEATED_NOTICE: Final = 0.01
"""Share of events that equal another in all but their id."""

SIDES_OVER_TOTAL: Final = 1.01
"""Long plus short liquidations may fall short of the stated total (by 27% at worst), not exceed it."""

EQUAL_SIDES: Final = 0.5
"""Share of rows whose long and short amounts are equal to the digit: both read from one column."""

COLLATERAL_OVER_DEBT: Final = 5.0
"""Seized collateral is worth the debt plus 5 to 15%; wrong decimals are powers of ten off."""

BLOCK_DISORDER: Final = 0.001
"""Share of events whose time runs backwards along block numbers."""

VOLATILITY: Final = (0.05, 5.0)
"""Typical yearly volatility as a fraction; in percent it reads 50, divided twice 0.005."""

INDEX_SPREAD: Final = 1.05
"""Highest over lowest index price inside one snapshot; it is captured within seconds."""

CHAIN_SIZE: Final = 0.5
"""Instruments of a snapshot against the loaded snapshots: half a chain is a lost page."""

TYPE_BALANCE: Final = (0.3, 0.7)
"""Share of puts among listed options; venues list both for each strike."""

FORWARD_GAP: Final = 1.5
"""Factor between the forward of an expiry and the spot index."""

AGREE_PRICE: Final = 0.01
"""Median relative gap of closes to another source of the same series."""

AGREE_STATE: Final = 0.05
"""Median relative gap of open interest to another source; snapshots are seconds apart."""

AGREE_RATE: Final = 1e-5
"""Median gap of settled rates to another source, a tenth of a calm market's rate."""

AGREE_SHARE: Final = 0.02
"""Median gap of long shares to another source."""

AGREE_TOTAL: Final = 0.5
"""Median relative gap of liquidation totals; feeds are throttled differently."""

AGREE_TOKEN: Final = 0.05
"""Median relative gap of token prices and of on-chain dollar values to another source."""


@dataclass(frozen=True)
class Check:
    """One expectation: `expectation` is a class of great_expectations.expectations, `kwargs` its arguments.

    `catches` says in a sentence what a failure means; docs/quality.md repeats it.
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

    Great Expectations needs four times as long for it as for the two above: those are used where they can be.
    """
    kwargs = {"column": column, "min_value": low, "max_value": high, "mostly": share}
    return Check(name, severity, frame, "ExpectColumnValuesToBeBetween", catches, kwargs)


def _no_rows(name: str, severity: Severity, frame: Frame, catches: str) -> Check:
    return Check(name, severity, frame, "ExpectTableRowCountToBeBetween", catches, {"max_value": 0})


SHAPE: Final = (
    _at_most("columns_present", "error", "shape", "missing",
             "a column of the contract is missing from the batch", high=0),
    _at_most("columns_known", "error", "shape", "unknown",
             "the batch has a column the contract does not know", high=0),
    _at_most("column_types", "error", "shape", "retyped",
             "a column has another type than the contract says", high=0),
)  # fmt: skip
"""Checked first: where one fails nothing else of the table can be measured."""

_VOLUME: Final = (
    _at_least("batch_not_empty", "error", "batch", "accepted_of_received",
            "rows were received and none survived", low=1),
    _at_most("received_reconciles", "error", "batch", "unaccounted",
            "received is not accepted + duplicates + quarantined", high=0),
    _at_most("staged_is_accepted", "error", "batch", "staged_minus_accepted",
            "the rows about to be committed are not the rows counted as accepted", high=0),
    _at_most("one_source", "error", "batch", "foreign_rows",
            "rows of another source in the batch: no later load would replace them", high=0),
    _at_most("quarantine_share", "error", "batch", "quarantined_share",
            "so many rows turned away that the format was misread", high=QUARANTINE_LIMIT),
    _at_most("quarantine_share_notice", "warn", "batch", "quarantined_share",
            "more rows turned away than is usual", high=QUARANTINE_NOTICE),
)  # fmt: skip

_REPEATS: Final = (
    _at_most("duplicates_share", "warn", "batch", "duplicates_share",
             "pages or files repeat more rows than they add", high=DUPLICATES_NOTICE),
)  # fmt: skip
"""Not for instruments: each file of a history names them again."""

_NULLS: Final = (
    _at_most("null_share_steady", "warn", "nulls", "rise",
             "a column that was filled is empty now: a renamed field", high=NULL_RISE),
)  # fmt: skip

_STAMPED: Final = (
    _at_least("stamps_after_genesis", "error", "batch", "first_year",
            "seconds read as milliseconds, or a default date", low=FIRST_YEAR),
    _at_most("stamps_not_ahead", "error", "batch", "hours_ahead",
            "stamps in the future: a wrong epoch unit or time zone", high=HOURS_AHEAD),
    _at_most("known_after_it_happened", "error", "rows", "seconds_early",
            "available_at lies before the row's own end: look-ahead", high=SECONDS_EARLY),
)  # fmt: skip

_FILED: Final = (
    _at_most("trade_date_follows_clock", "error", "rows", "days_misfiled",
            "a row filed under another day than the rule of its table says", high=0),
)  # fmt: skip

_CADENCE: Final = (
    _at_most("stamps_on_grid", "warn", "series", "off_grid_share",
            "stamps beside the UTC grid of their period: jitter, or a day that opens at another hour",
            high=OFF_GRID_NOTICE),
    _at_most("stamps_in_phase", "error", "series", "off_phase_share",
            "a series jumps between phases: local time read as UTC, periods mixed up", high=OFF_PHASE_LIMIT),
)  # fmt: skip

_FROZEN: Final = (
    _at_most("values_move", "warn", "series", "constant_rows",
            "the value stands still: a frozen feed or a filled gap", high=CONSTANT_ROWS),
)  # fmt: skip

_CANDLES_AGREE: Final = (
    _at_most("price_against_candles", "warn", "series", "price_gap",
            "the price implied by the batch is not the candles' price of that day", high=PRICE_GAP),
    _at_most("price_unit_against_candles", "error", "series", "price_gap_breadth",
            "amounts of a venue in a wrong unit, seen from its own candles", high=UNIT_JUMP, strict=True),
)  # fmt: skip


def _keys(*columns: str) -> Check:
    return Check("keys_unique", "error", "rows", "ExpectCompoundColumnsToBeUnique",
                 "two rows with one key passed the deduplication", {"column_list": list(columns)})  # fmt: skip


def _agrees(high: float) -> Check:
    return _at_most("other_sources_agree", "warn", "series", "other_source_gap",
                   "another source says something else about the same series and time", high=high)  # fmt: skip


def _unit_jump(level: str) -> Check:
    return _at_most(f"{level}_unit_jump", "error", "series", f"{level}_settled_shift",
                   "the level of a series jumped against its loaded neighbors: contracts, coins or dollars mixed up",
                   high=UNIT_JUMP, strict=True)  # fmt: skip


def _widespread_jump(level: str) -> Check:
    return _at_most(f"{level}_unit_jump", "error", "series", f"{level}_breadth",
                   "the level of a fifth of a venue's series jumped against loaded neighbors: a wrong unit or scale",
                   high=UNIT_JUMP, strict=True)  # fmt: skip


def _level_shift(level: str, *, high: float = LEVEL_SHIFT) -> Check:
    return _at_most(f"{level}_level_shift", "warn", "series", f"{level}_shift",
                   "the level of a series moved far against its loaded neighbors", high=high, strict=True)  # fmt: skip


def _day_jump(level: str, high: float) -> Check:
    return _at_most(f"{level}_day_jump", "warn", "series", f"{level}_jump",
                   "two days in a row inside the batch are far apart: the unit changed in the middle, or bad prints",
                   high=high, strict=True)  # fmt: skip


_SPELLED: Final = r"^(?:0x[0-9a-f]{40}|[a-z0-9][a-z0-9._+-]*)$"

_SUITES: Final[dict[str, tuple[Check, ...]]] = {
    "open_interest": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN, *_CANDLES_AGREE,
        _keys("venue", "instrument", "period", "event_at"),
        _unit_jump("oi_base"), _level_shift("oi_base"), _day_jump("oi_base", DAY_JUMP),
        _unit_jump("oi_usd"), _level_shift("oi_usd"),
        _at_most("normalized_matches_raw", "error", "rows", "raw_gap",
                "oi_base or oi_usd does not follow from oi_raw, its unit and the counting", high=1e-6),
        _no_rows("no_all_zero_stamps", "error", "stamps",
                 "zero in every instrument at one stamp: a sentinel row of the archive"),
        _at_most("zeros_are_rare", "warn", "series", "zero_share",
                "zeros inside a living series: sentinel rows of one instrument", high=ZERO_NOTICE),
        _agrees(AGREE_STATE),
    ),
    "candles": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN,
        _keys("venue", "instrument", "market", "period", "opened_at"),
        _widespread_jump("close"), _level_shift("close"), _day_jump("close", PRICE_DAY_JUMP),
        _widespread_jump("volume_base"), _level_shift("volume_base", high=UNIT_JUMP),
        _at_most("volume_unit", "error", "series", "vwap_per_close_off",
                "quote volume over base volume is not a price: contracts read as coins",
                high=VWAP_FACTOR),
        _mostly("taker_within_volume", "error", "rows", "taker_share",
                "takers bought more than was traded: columns swapped or units mixed", high=1.000001, share=0.999),
        _at_most("candle_range", "warn", "rows", "high_over_low", "a bad tick in a high or a low", high=CANDLE_RANGE),
        _agrees(AGREE_PRICE),
    ),
    "funding_rates": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_CANDLES_AGREE,
        _keys("venue", "instrument", "kind", "settled_at"),
        _widespread_jump("rate"),
        _at_most("rate_magnitude", "error", "series", "rate_typical",
                "percent read as a fraction, or a yearly rate as one interval's", high=RATE_MAGNITUDE),
        _mostly("rate_plausible", "warn", "rows", "rate",
                "rates beyond the caps of the large venues", low=-RATE_PLAUSIBLE, high=RATE_PLAUSIBLE, share=0.999),
        Check("interval_known", "warn", "rows", "ExpectColumnValuesToBeInSet",
              "an interval no venue uses: minutes or seconds read as hours",
              {"column": "interval_hours", "value_set": list(INTERVALS)}),
        _at_most("interval_matches_gaps", "warn", "series", "short_gap_share",
                "settlements follow sooner than the interval the source states", high=SHORT_GAP_NOTICE),
        _no_rows("no_all_zero_stamps", "warn", "stamps", "zero in every instrument at one settlement: a filler"),
        _agrees(AGREE_RATE),
    ),
    "long_short_ratios": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_FROZEN,
        _keys("venue", "instrument", "measure", "period", "event_at"),
        _at_most("share_matches_ratio", "error", "rows", "share_gap",
                "long_share is not ratio / (1 + ratio): two measures or two sides mixed up", high=SHARE_GAP),
        _mostly("share_plausible", "warn", "rows", "long_share",
                "nearly everybody on one side", low=SHARE_EXTREME, high=1 - SHARE_EXTREME, share=0.99),
        _at_most("odds_side_swap", "warn", "series", "odds_breadth",
                 "the odds of a fifth of a venue's series jumped: sides swapped", high=ODDS_SHIFT, strict=True),
        _no_rows("no_flat_stamps", "error", "stamps",
                 "one and the same share in every instrument at one stamp: a filler"),
        _agrees(AGREE_SHARE),
    ),
    "liquidations": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CANDLES_AGREE,
        _keys("venue", "liquidation_id"),
        _widespread_jump("quantity_base"),
        _at_most("notional_unit", "error", "series", "notional_per_value_off",
                "notional is not price times quantity: contracts read as coins",
                high=NOTIONAL_FACTOR),
        _at_most("largest_event", "warn", "rows", "notional_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        _mostly("both_sides_present", "warn", "series", "long_share",
                "all events of a venue on one side: the side is decoded wrongly", low=ONE_SIDED, high=1 - ONE_SIDED),
        _at_most("events_not_repeated", "warn", "series", "repeated_share",
                "the feed replays events under new ids", high=REPEATED_NOTICE),
    ),
    "liquidation_totals": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED, *_CADENCE, *_CANDLES_AGREE,
        _keys("venue", "instrument", "measure", "period", "event_at"),
        _at_most("liquidated_within_oi", "warn", "series", "most_of_oi",
                 "more was liquidated in a day than was open", high=1.0),
        _at_most("liquidated_unit_against_oi", "error", "series", "typical_of_oi_breadth",
                 "a venue liquidates half its open interest on a typical day: a wrong unit", high=TYPICAL_OF_OI),
        _mostly("sides_within_total", "error", "rows", "sides_over_total",
                "long plus short exceeds the total: units or columns mixed up", high=SIDES_OVER_TOTAL, share=0.95),
        _at_most("sides_differ", "warn", "series", "equal_sides_share",
                "long and short are the same numbers: both read from one column", high=EQUAL_SIDES),
        _agrees(AGREE_TOTAL),
    ),
    "lending_liquidations": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("chain", "event_id"),
        _widespread_jump("collateral_price"),
        _at_most("collateral_covers_debt", "error", "series", "collateral_per_debt_off",
                "collateral and debt are not of one size: wrong decimals or price",
                high=COLLATERAL_OVER_DEBT),
        _at_most("largest_event", "warn", "rows", "collateral_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        Check("tokens_spelled", "error", "rows", "ExpectColumnValuesToMatchRegex",
              "a token neither as a lower-case address nor as a lower-case symbol: it joins no registry",
              {"column": "collateral_token", "regex": _SPELLED}),
        _at_most("blocks_in_order", "warn", "series", "block_disorder",
                "time runs backwards along block numbers: a wrong clock or chain", high=BLOCK_DISORDER),
        _agrees(AGREE_TOKEN),
    ),
    # Bad debt is rare and comes in heaps: what share of it should be null, or how it should compare, is not to be said.
    "lending_bad_debt": (
        *_VOLUME, *_REPEATS, *_STAMPED, *_FILED,
        _keys("chain", "event_id"),
        _at_most("largest_event", "warn", "rows", "debt_usd",
                "a single event larger than any on record", high=LARGEST_EVENT_USD),
        Check("tokens_spelled", "error", "rows", "ExpectColumnValuesToMatchRegex",
              "a token neither as a lower-case address nor as a lower-case symbol: it joins no registry",
              {"column": "debt_token", "regex": _SPELLED}),
    ),
    "option_chain": (
        *_VOLUME, *_REPEATS, *_NULLS, *_STAMPED, *_FILED,
        _keys("venue", "instrument", "snapshot_at"),
        _unit_jump("oi_base"), _level_shift("oi_base"),
        _mostly("iv_is_fraction", "error", "series", "mark_iv_now",
                "implied volatility in percent, or divided twice", low=VOLATILITY[0], high=VOLATILITY[1]),
        _mostly("delta_sign", "error", "rows", "call_delta",
                "calls with negative or puts with positive delta: types swapped", low=0, share=0.999),
        _mostly("call_price_in_coin", "error", "rows", "call_price_base",
                "a call dearer than its coin: dollars read as coins", high=1.0, share=0.99),
        _mostly("forward_near_index", "error", "rows", "forward_gap",
                "the forward is not near the index: another coin or unit", high=FORWARD_GAP, share=0.99),
        _no_rows("no_all_zero_stamps", "error", "stamps", "no open interest in a whole chain: a sentinel snapshot"),
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
        _at_most("one_decimals_per_token", "error", "series", "decimals_seen",
                "a token with two decimals: every amount of it is off by a power of ten", high=1),
        Check("tokens_spelled", "error", "rows", "ExpectColumnValuesToMatchRegex",
              "a token neither as a lower-case address nor as a lower-case symbol: it joins no registry",
              {"column": "token", "regex": _SPELLED}),
        _agrees(AGREE_TOKEN),
    ),
    # What a contract answers is no series: it is the same every day, or the contract was replaced.
    "tokens": (
        *_VOLUME, *_REPEATS, *_STAMPED, *_FILED,
        _keys("chain", "token", "named_at"),
        Check("tokens_spelled", "error", "rows", "ExpectColumnValuesToMatchRegex",
              "a token neither as a lower-case address nor as a lower-case symbol: it joins no registry",
              {"column": "token", "regex": _SPELLED}),
        _at_most("one_decimals_per_token", "error", "series", "decimals_seen",
                "a token with two decimals: every amount of it is off by a power of ten", high=1),
    ),
    "instruments": (
        *_VOLUME, *_NULLS, *_FILED,
        _keys("venue", "instrument", "valid_from"),
        _at_least("listed_before_delisted", "error", "rows", "days_listed",
                "an instrument delisted before it was listed: columns swapped", low=0),
        _at_least("inverse_has_size", "error", "rows", "inverse_size",
                "an inverse or quanto contract without its size: nothing of it can be converted", low=0, strict=True),
        Check("multiplier_matches_name", "warn", "rows", "ExpectColumnPairValuesToBeEqual",
              "1000PEPE or kPEPE without its multiplier of 1000",
              {"column_A": "multiplier", "column_B": "named_multiplier", "ignore_row_if": "either_value_is_missing"}),
        Check("asset_spelled", "warn", "rows", "ExpectColumnValuesToMatchRegex",
              "an asset that is no canonical ticker: lower case, a pair or a contract name",
              {"column": "asset", "regex": r"^[^a-z\s/_:-]+$"}),
        Check("asset_steady", "warn", "rows", "ExpectColumnPairValuesToBeEqual",
              "an instrument that carried another asset before",
              {"column_A": "asset", "column_B": "loaded_asset", "ignore_row_if": "either_value_is_missing"}),
        _at_most("contract_size_steady", "warn", "rows", "size_shift",
                "the contract size changed: history before it needs the old one", high=1.0),
    ),
}  # fmt: skip

SUITES: Final[Mapping[str, tuple[Check, ...]]] = MappingProxyType(
    {table: (*SHAPE, *checks) for table, checks in _SUITES.items()}
)
"""Checks by clean table, shape first."""
