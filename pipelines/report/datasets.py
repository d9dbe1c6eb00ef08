"""What the pages hold: columns of the published marts, by asset and day. No layout here, no encoding.

A dataset has one row per asset and UTC day, or per asset, `key` (a venue, a signal) and day. Its query reads all assets at once;
the page shows exactly these numbers, and the query under "SQL" of a chart asks for the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

APR: Final = 1095
"""Periods of eight hours in a year of 365 days."""


@dataclass(frozen=True)
class Dataset:
    """`numbers` are rounded to seven digits, `words` have few values, `texts` are long and change rarely."""

    name: str
    needs: tuple[str, ...]
    sql: str
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    keyed: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.numbers, *self.words, *self.texts)


def available(datasets: Sequence[Dataset], tables: frozenset[str]) -> list[Dataset]:
    """The datasets whose tables are all in the published file."""
    return [dataset for dataset in datasets if set(dataset.needs) <= tables]


PRICE: Final = Dataset(
    "price",
    ("marts.fct_price_daily",),
    "select asset, trade_date, close_usd, volume_usd, realized_vol_30d_daily * sqrt(365) as realized_vol_30d_annualized "
    "from marts.fct_price_daily",
    numbers=("close_usd", "volume_usd", "realized_vol_30d_annualized"),
)

OPEN_INTEREST: Final = Dataset(
    "oi",
    ("marts.fct_open_interest_daily",),
    "select asset, venue as key, trade_date, oi_usd, oi_base from marts.fct_open_interest_daily",
    numbers=("oi_usd", "oi_base"),
    keyed=True,
)

TRENDS: Final = Dataset(
    "trends",
    ("marts.oi_trends_daily",),
    "select asset, trade_date, oi_usd, oi_usd_change_1d, oi_usd_position_1d, oi_usd_price_1d, oi_usd_cross_1d, "
    "oi_growth_7d, venues_present, venues_expected, oi_change_plausible from marts.oi_trends_daily",
    numbers=("oi_usd", "oi_usd_change_1d", "oi_usd_position_1d", "oi_usd_price_1d", "oi_usd_cross_1d", "oi_growth_7d",
             "venues_present", "venues_expected"),
    words=("oi_change_plausible",),
)  # fmt: skip

FUNDING: Final = Dataset(
    "funding",
    ("marts.funding_regimes_daily",),
    f"select asset, trade_date, excess_rate_8h * {APR} as excess_apr, excess_rate_percentile_90d, days_in_regime, regime "
    "from marts.funding_regimes_daily",
    numbers=("excess_apr", "excess_rate_percentile_90d", "days_in_regime"),
    words=("regime",),
)

FUNDING_VENUES: Final = Dataset(
    "fundingv",
    ("marts.fct_funding_daily",),
    f"select asset, venue as key, trade_date, (rate_8h - neutral_rate_8h) * {APR} as excess_apr "
    "from marts.fct_funding_daily",
    numbers=("excess_apr",),
    keyed=True,
)

LIQUIDATIONS: Final = Dataset(
    "liq",
    ("marts.liquidation_comparison_daily",),
    "select asset, trade_date, exchange_position_notional_usd as exchange_usd, "
    "exchange_position_notional_usd_long as exchange_long_usd, exchange_position_notional_usd_short as exchange_short_usd, "
    "perp_dex_position_notional_usd as perp_dex_usd, lending_collateral_seized_usd as lending_usd, "
    "exchange_perp_dex_zscore_divergence, exchange_lending_zscore_divergence, exchange_completeness, perp_dex_completeness, "
    "lending_collateral_completeness as lending_completeness from marts.liquidation_comparison_daily",
    numbers=("exchange_usd", "exchange_long_usd", "exchange_short_usd", "perp_dex_usd", "lending_usd",
             "exchange_perp_dex_zscore_divergence", "exchange_lending_zscore_divergence"),
    words=("exchange_completeness", "perp_dex_completeness", "lending_completeness"),
)  # fmt: skip

# A side's upper end is known only where every venue's is; sums over a missing one would be too low.
LIQUIDATION_ENDS: Final = Dataset(
    "ends",
    ("marts.fct_liquidations_daily",),
    "select asset, trade_date, "
    "case when count(*) filter (side = 'long') = count(notional_usd_upper) filter (side = 'long') "
    "then sum(notional_usd_upper) filter (side = 'long') end as long_upper_usd, "
    "case when count(*) filter (side = 'short') = count(notional_usd_upper) filter (side = 'short') "
    "then sum(notional_usd_upper) filter (side = 'short') end as short_upper_usd "
    "from marts.fct_liquidations_daily where measure = 'position_notional' and venue_kind = 'cex' "
    "group by asset, trade_date",
    numbers=("long_upper_usd", "short_upper_usd"),
)

LIQUIDATION_FEEDS: Final = Dataset(
    "feeds",
    ("marts.fct_liquidations_daily",),
    "select asset, venue as key, trade_date, sum(notional_usd) as notional_usd, min(completeness) as completeness, "
    "min(venue_kind) as venue_kind from marts.fct_liquidations_daily "
    "where measure in ('position_notional', 'collateral_seized') group by asset, venue, trade_date",
    numbers=("notional_usd",),
    words=("completeness", "venue_kind"),
    keyed=True,
)

# Of the open interest that is known, the share on venues whose liquidations were heard that day.
HEARD: Final = Dataset(
    "heard",
    ("marts.fct_liquidations_daily", "marts.fct_open_interest_daily"),
    "select o.asset, o.trade_date, coalesce(sum(o.oi_usd) filter (h.venue is not null), 0) / nullif(sum(o.oi_usd), 0) "
    "as heard_oi_share from marts.fct_open_interest_daily as o left join ("
    "select distinct asset, venue, trade_date from marts.fct_liquidations_daily where measure = 'position_notional') as h "
    "on h.asset = o.asset and h.venue = o.venue and h.trade_date = o.trade_date group by o.asset, o.trade_date",
    numbers=("heard_oi_share",),
)

CROWD: Final = Dataset(
    "crowd",
    ("marts.fct_positioning_daily",),
    "select asset, venue || ' ' || measure as key, trade_date, long_share from marts.fct_positioning_daily",
    numbers=("long_share",),
    keyed=True,
)

EXTREMES: Final = Dataset(
    "extremes",
    ("marts.positioning_divergence_daily",),
    "select asset, trade_date, account_long_share, account_long_share_percentile_90d, positioning_extreme "
    "from marts.positioning_divergence_daily",
    numbers=("account_long_share", "account_long_share_percentile_90d"),
    words=("positioning_extreme",),
)

OPTIONS: Final = Dataset(
    "options",
    ("marts.options_structure_daily",),
    "select asset, trade_date, put_call_oi_ratio, put_call_volume_ratio, iv_atm_30d, risk_reversal_25d_30d "
    "from marts.options_structure_daily",
    numbers=("put_call_oi_ratio", "put_call_volume_ratio", "iv_atm_30d", "risk_reversal_25d_30d"),
)

VOLATILITY_INDEX: Final = Dataset(
    "ivindex",
    ("marts.fct_volatility_index_daily",),
    "select asset, index_name as key, trade_date, iv_close from marts.fct_volatility_index_daily",
    numbers=("iv_close",),
    keyed=True,
)

SIGNALS: Final = Dataset(
    "signals",
    ("marts.signals_daily",),
    "select asset, signal as key, trade_date, value, threshold, strength, state, unknown_reason from marts.signals_daily",
    numbers=("value", "threshold", "strength"),
    words=("state",),
    texts=("unknown_reason",),
    keyed=True,
)

DAILY: Final[Sequence[Dataset]] = (
    PRICE, OPEN_INTEREST, TRENDS, FUNDING, FUNDING_VENUES, LIQUIDATIONS, LIQUIDATION_ENDS, LIQUIDATION_FEEDS, HEARD, CROWD,
    EXTREMES, OPTIONS, VOLATILITY_INDEX, SIGNALS,
)  # fmt: skip
