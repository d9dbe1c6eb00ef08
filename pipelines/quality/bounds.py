"""Bounds of the gate's checks: from what on a batch is refused or a warning is written, and why from there.

suites.py says which check uses which.
"""

from __future__ import annotations

from typing import Final

SAMPLE_ROWS: Final = 100_000
"""Maximum rows of a table that Great Expectations checks one by one; above it, the rows whose key hash falls in 1 of n."""

SMALL_BATCH: Final = 50
"""Shares of fewer rows are not checked: three bad lines in a file of ten go to quarantine and do not refuse the batch."""

QUARANTINE_LIMIT: Final = 0.2
"""A fifth of a batch in quarantine indicates a misread format rather than dirty data."""

QUARANTINE_NOTICE: Final = 0.01
"""Exchange archives have well under one quarantined row in a hundred."""

DUPLICATES_NOTICE: Final = 0.5
"""Overlapping pages repeat some rows; more repeated than new rows indicate a paging bug."""

SPELLED: Final = r"(?:0x[0-9a-f]{40}|[1-9A-HJ-NP-Za-km-z]{32,44}|[a-z0-9][a-z0-9._+-]*)"
"""A token: an address of an EVM chain in lower case, one of Solana as it is, or a symbol in lower case."""

FIRST_YEAR: Final = 2009
"""The genesis block is from January 2009; an earlier timestamp is a misread epoch unit."""

HOURS_AHEAD: Final = 0.25
"""Venue clocks are minutes ahead at most; a timestamp further in the future has a wrong unit or time zone."""

SECONDS_EARLY: Final = 60.0
"""Settlement times are rounded to the minute, so a row may be available up to a minute before its own timestamp."""

NEIGHBOR_DAYS: Final = 45
"""Levels are compared with loaded days at most this far from the batch: in a year altcoins move fifty-fold."""

SETTLED_DAYS: Final = 5
"""Loaded days a series needs before a jump refuses the batch: in the first days of a listing all levels multiply."""

UNIT_JUMP: Final = 50.0
"""Contracts read as coins were 50 to 470 times off. Relative to the weeks before, open interest moved at most 17-fold in
two years of 119 Binance perpetuals, and closes 7-fold."""

LEVEL_SHIFT: Final = 10.0
"""A tenfold level within weeks occurs, but deserves a warning."""

WIDESPREAD: Final = 0.2
"""A wrong unit affects a venue; a collapse, a delisting or a redenomination affects one coin (LUNA fell a thousandfold in a day).
A batch is refused only if a fifth of the venue's series are off together."""

FEW_SERIES: Final = 5
"""Of fewer series than this all must be off together, and of a single one it cannot be told."""

DAY_JUMP: Final = 10.0
"""Factor between consecutive days of a batch, as when a file changes its unit in the middle."""

PRICE_DAY_JUMP: Final = 3.0
"""Prices rarely triple or lose two thirds in a day."""

OFF_GRID_NOTICE: Final = 0.001
"""Tolerated share of timestamps off the UTC grid of their period."""

OFF_PHASE_LIMIT: Final = 0.05
"""A series may start its periods at an unusual hour, but always the same: local time read as UTC shifts it at each clock
change."""

PHASE_ROWS: Final = 20
"""Rows a series needs to determine its phase."""

ZERO_NOTICE: Final = 0.01
"""Open interest of an active instrument is zero in less than one row in a hundred."""

CONSTANT_ROWS: Final = 48
"""This many equal values in consecutive periods indicate a frozen feed: two days of hours, four hours of five minutes."""

ZERO_SET: Final = 3
"""Instruments that must all be zero at a timestamp for it to be a sentinel; fewer may be inactive."""

FLAT_SET: Final = 5
"""Instruments that must all have the same long share at a timestamp for it to be a placeholder."""

ZERO_RATE_SET: Final = 10
"""Single instruments can have zero funding; ten at once without any other value are a placeholder."""

NULL_RISE: Final = 0.2
"""Rise of a column's share of nulls relative to loaded rows: a renamed field empties a column."""

RATE_MAGNITUDE: Final = 0.005
"""Typical rate of a series per interval; calm markets have 0.0001, which is 0.01 in percent. Before a delisting one contract
stays at its cap for days."""

RATE_ROWS: Final = 30
"""Settlements (ten days at eight hours) needed for a typical rate; squeezes are shorter."""

RATE_PLAUSIBLE: Final = 0.03
"""Rate caps of the large venues are 2 to 3 percent per interval."""

INTERVALS: Final = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)
"""Funding intervals in hours that venues use."""

SHORT_GAP_NOTICE: Final = 0.01
"""Share of settlements that may come sooner than their stated interval (a change of interval does it once)."""

VWAP_FACTOR: Final = 5.0
"""Quote volume over base volume is a price near the close; contracts counted as coins are 10 to 1,000 times off."""

NOTIONAL_FACTOR: Final = 1.5
"""Notional over price times quantity; the average fill is within a few percent of it."""

PRICE_GAP: Final = 2.0
"""Factor between a price implied by a batch and the candles of the same venue, instrument and day."""

CANDLE_RANGE: Final = 10.0
"""High over low of one candle; more indicates a bad tick."""

SHARE_GAP: Final = 0.005
"""Venues round ratio and share to four digits; a larger gap means that they are not of the same measure."""

SHARE_EXTREME: Final = 0.02
"""It is rare that one side has less than 2%."""

ODDS_SHIFT: Final = 3.0
"""The long-to-short odds of a fifth of a venue moved at most 2.5-fold in 700 days; swapped sides move them 10-fold."""

TYPICAL_OF_OI: Final = 0.5
"""Liquidated share of open interest that a fifth of a venue's instruments reach: 0.14 on the worst of 700 days, above 0.5 on a
venue on 2025-10-10. A wrong unit is UNIT_JUMP times off."""

LARGEST_EVENT_USD: Final = 1e9
"""No single liquidation on record reached a billion dollars."""

LOAN_USD: Final = 1e10
"""No liquidated loan reached a billion dollars; ten is not a record but a unit."""

OI_OVER_VOLUME: Final = 300.0
"""Open interest over a day's traded volume: 0.1 to 10 for perpetuals that are traded, 30 for quiet ones."""

TRADED_OVER_SUPPLY: Final = 10.0
"""Small coins trade their supply in a day of a squeeze; large ones a tenth of it."""

LIQUIDATED_OVER_VOLUME: Final = 1.0
"""A liquidation is a trade: what is liquidated on a typical day is far below what is traded."""

LIQUIDATED_NOTICE: Final = 0.2
"""Share of the traded volume that is liquidated on a typical day: below 0.05 even at small venues."""

LIQUIDATED_USD_A_DAY: Final = 2e9
"""Liquidations of one instrument on a typical day; of all markets together they are a few hundred million dollars."""

ONE_SIDED: Final = 0.02
"""At least two of a hundred liquidations of a venue are of the other side, unless the side is decoded wrongly."""

VENUE_EVENTS: Final = 100
"""Minimum events of a venue for checking shares of them."""

REPEATED_NOTICE: Final = 0.01
"""Share of events that equal another in all columns but the id."""

SIDES_OVER_TOTAL: Final = 1.01
"""Long plus short liquidations may be less than the stated total (by 27% at worst), but not more."""

EQUAL_SIDES: Final = 0.5
"""Share of rows with identical long and short amounts: both read from one column."""

COLLATERAL_OVER_DEBT: Final = 5.0
"""Seized collateral is worth the debt plus 5 to 15%. In a crash, and of dust, it is worth any part of it; wrong decimals are off
by powers of ten on a whole chain."""

SPELLED_SHARE: Final = 0.5
"""A few tokens have odd names; half of the rows misspelled is a format misread."""

FORWARD_SHARE: Final = 0.8
"""Forwards of one dying coin are far from its index; another coin or unit is so in every row."""

SIZED_SHARE: Final = 0.5
"""One contract without its size is the venue's mistake; half of them without is a renamed field."""

BLOCK_DISORDER: Final = 0.001
"""Share of events whose time decreases along block numbers."""

VOLATILITY: Final = (0.02, 20.0)
"""Range of typical annual volatility as a fraction; in percent it would be 50, divided twice 0.005. A coin in collapse has 5."""

INDEX_SPREAD: Final = 1.05
"""Highest over lowest index price in one snapshot, which is captured within seconds."""

CHAIN_SIZE: Final = 0.5
"""Instruments of a snapshot relative to the loaded snapshots: half a chain indicates a lost page."""

TYPE_BALANCE: Final = (0.3, 0.7)
"""Share of puts among listed options; venues list both for each strike."""

FORWARD_GAP: Final = 1.5
"""Factor between the forward of an expiry and the spot index."""

AGREE_PRICE: Final = 0.01
"""Median relative gap of closes to another source of the same series."""

AGREE_STATE: Final = 0.05
"""Median relative gap of open interest to another source, whose snapshots are seconds apart."""

AGREE_RATE: Final = 1e-5
"""Median gap of settled rates to another source, a tenth of a calm market's rate."""

AGREE_SHARE: Final = 0.02
"""Median gap of long shares to another source."""

AGREE_TOTAL: Final = 0.5
"""Median relative gap of liquidation totals to another source; venues throttle their feeds differently."""

AGREE_TOKEN: Final = 0.05
"""Median relative gap of token prices and of on-chain dollar values to another source."""

TIER_LEVERAGE_GAP: Final = 3.0
"""Factor between the initial margin and the inverse of the largest leverage; venues round both, percent is a factor of 100."""

TIER_FIRST_BOUND: Final = 1.0
"""Lower bound of the first tier in its unit: 0, or the first contract."""
