"""The charts of the pages: title, marts, unit, the query a reader can copy, and which numbers its table shows.

`sql` asks the published file for exactly the rows of the table; `{asset}` stands for a quoted ticker. How a chart is drawn
is in static/app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pipelines.report.datasets import APR, HEARD, LIQUIDATION_ENDS

Page = Literal["index", "asset", "trust", "asof"]

SLOT: Final = "{asset}"


@dataclass(frozen=True)
class Column:
    """One column of a table: its name in the query, where the page holds it (dataset and column), and how it is printed."""

    name: str
    source: str
    kind: str

    def described(self) -> list[str]:
        return [self.name, self.source, self.kind]


@dataclass(frozen=True)
class View:
    """One chart. `key` names the second key of its rows, where there is one; `wide` takes the whole width."""

    name: str
    page: Page
    title: str
    unit: str
    tables: tuple[str, ...]
    sql: str
    columns: tuple[Column, ...] = ()
    key: str | None = None
    keyless: bool = False
    """True where days without any key are rows, too."""
    wide: bool = False
    controls: tuple[tuple[str, str], ...] = ()
    """Switches of the chart: (value, label), the first one is pressed."""
    state: str = field(default="")
    """Which part of the page's state the switches set."""

    @property
    def marts(self) -> str:
        """The marts for the line under the title."""
        return ", ".join(table.removeprefix("marts.") for table in self.tables)

    def missing(self, tables: frozenset[str]) -> list[str]:
        return [table for table in self.tables if table not in tables]

    def described(self, tables: frozenset[str]) -> dict[str, Any]:
        """What the page needs to know of it."""
        return {
            "title": self.title,
            "unit": self.unit,
            "marts": self.marts,
            "sql": self.sql,
            "key": self.key,
            "keyless": self.keyless,
            "columns": [column.described() for column in self.columns],
            "state": self.state,
            "missing": self.missing(tables),
        }


def _c(*columns: str) -> tuple[Column, ...]:
    """Columns from `name dataset.column kind`."""
    return tuple(Column(*column.split()) for column in columns)


_WHERE: Final = f"where asset = {SLOT} order by trade_date desc"

CHAIN_SQL: Final = f"""select c.trade_date, c.expiry_date, c.strike_usd, c.option_type, sum(c.oi_base) as oi_base,
    max(c.mark_iv) filter (c.venue = s.iv_venue) as mark_iv
from marts.fct_option_oi_by_strike_daily as c
left join marts.options_structure_daily as s using (asset, trade_date)
where asset = {SLOT} and trade_date = (
    select max(trade_date) from marts.fct_option_oi_by_strike_daily where asset = {SLOT} and is_whole_chain
)
group by all
order by expiry_date, strike_usd, option_type"""

VIEWS: Final[Sequence[View]] = (
    View(
        "board", "index", "Assets", "the last day of each asset",
        ("marts.fct_price_daily", "marts.oi_trends_daily", "marts.funding_regimes_daily",
         "marts.liquidation_comparison_daily", "marts.positioning_divergence_daily", "marts.signals_daily",
         "marts.fct_liquidations_daily", "marts.fct_open_interest_daily"),
        "", wide=True,
    ),
    View(
        "fundingmap", "index", "Funding over neutral by asset and day", "APR over the neutral level, composed over venues",
        ("marts.funding_regimes_daily",),
        f"select trade_date, asset, excess_rate_8h * {APR} as excess_apr, regime\nfrom marts.funding_regimes_daily\n"
        "where trade_date > (select max(trade_date) from marts.funding_regimes_daily) - 365\norder by trade_date desc, asset",
        _c("excess_apr funding.excess_apr apr", "regime funding.regime word"), key="asset", wide=True,
    ),
    View(
        "signalmap", "index", "Signals of all assets", "state on the last day of each asset",
        ("marts.signals_daily", "marts.dim_signal"),
        "select signal, asset, trade_date, state, value, threshold, strength, unknown_reason\nfrom marts.signals_daily\n"
        "qualify trade_date = max(trade_date) over (partition by asset)\norder by signal, asset",
        wide=True,
    ),
    View(
        "heat", "asset", "Liquidation heatmap", "US dollars liquidated by price bin and day",
        ("marts.liquidation_heatmap_daily", "marts.fct_price_daily"),
        "select trade_date, bin_no, price_low_usd, price_high_usd, notional_usd, long_usd, short_usd, is_dense\n"
        f"from marts.liquidation_heatmap_daily\nwhere asset = {SLOT}\norder by trade_date desc, bin_no",
        wide=True, controls=(("realized", "Realized"), ("predicted", "Predicted"), ("both", "Both")), state="layer",
    ),
    View(
        "oi", "asset", "Open interest by venue, and price", "US dollars or coins at the end of the day",
        ("marts.fct_open_interest_daily", "marts.fct_price_daily"),
        "select o.trade_date, o.venue, o.oi_usd, o.oi_base, p.close_usd\nfrom marts.fct_open_interest_daily as o\n"
        f"left join marts.fct_price_daily as p using (asset, trade_date)\nwhere asset = {SLOT}\norder by trade_date desc, venue",
        _c("oi_usd oi.oi_usd usd", "oi_base oi.oi_base coins", "close_usd price.close_usd price"), key="venue",
        controls=(("usd", "Dollars"), ("base", "Coins")), state="oi",
    ),
    View(
        "split", "asset", "Change of open interest: positions against price", "US dollars a day",
        ("marts.oi_trends_daily",),
        "select trade_date, oi_usd_change_1d, oi_usd_position_1d, oi_usd_price_1d, oi_usd_cross_1d, oi_change_plausible\n"
        f"from marts.oi_trends_daily\n{_WHERE}",
        _c("oi_usd_change_1d trends.oi_usd_change_1d usd", "oi_usd_position_1d trends.oi_usd_position_1d usd",
           "oi_usd_price_1d trends.oi_usd_price_1d usd", "oi_usd_cross_1d trends.oi_usd_cross_1d usd",
           "oi_change_plausible trends.oi_change_plausible word"),
    ),
    View(
        "funding", "asset", "Funding over neutral by venue and day, regime above", "APR over the venue's neutral rate",
        ("marts.fct_funding_daily", "marts.funding_regimes_daily"),
        f"select f.trade_date, f.venue, (f.rate_8h - f.neutral_rate_8h) * {APR} as excess_apr, r.regime,\n"
        f"    r.excess_rate_8h * {APR} as composed_excess_apr, r.days_in_regime\n"
        "from marts.fct_funding_daily as f\nleft join marts.funding_regimes_daily as r using (asset, trade_date)\n"
        f"where asset = {SLOT}\norder by trade_date desc, venue",
        _c("excess_apr fundingv.excess_apr apr", "regime funding.regime word", "composed_excess_apr funding.excess_apr apr",
           "days_in_regime funding.days_in_regime count"), key="venue",
    ),
    View(
        "liq", "asset", "Liquidated positions on exchanges", "US dollars a day, position notional",
        ("marts.liquidation_comparison_daily", "marts.fct_liquidations_daily", "marts.fct_price_daily"),
        "with ends as (\n    " + LIQUIDATION_ENDS.sql.replace(" from ", "\n    from ").replace(" where ", "\n    where ")
        + "\n)\nselect l.trade_date, l.exchange_position_notional_usd_long as exchange_long_usd,\n"
        "    l.exchange_position_notional_usd_short as exchange_short_usd, e.long_upper_usd, e.short_upper_usd,\n"
        "    l.exchange_completeness, p.close_usd\nfrom marts.liquidation_comparison_daily as l\n"
        "left join ends as e using (asset, trade_date)\nleft join marts.fct_price_daily as p using (asset, trade_date)\n"
        f"where asset = {SLOT}\norder by trade_date desc",
        _c("exchange_long_usd liq.exchange_long_usd usd", "exchange_short_usd liq.exchange_short_usd usd",
           "long_upper_usd ends.long_upper_usd usd", "short_upper_usd ends.short_upper_usd usd",
           "exchange_completeness liq.exchange_completeness word", "close_usd price.close_usd price"),
    ),
    View(
        "kinds", "asset", "Exchanges, perp DEXs, lending: side by side, never added",
        "US dollars a day on scales of their own; z-score of exchanges minus that of the others below",
        ("marts.liquidation_comparison_daily",),
        "select trade_date, exchange_position_notional_usd as exchange_usd, perp_dex_position_notional_usd as perp_dex_usd,\n"
        "    lending_collateral_seized_usd as lending_usd, exchange_perp_dex_zscore_divergence,\n"
        f"    exchange_lending_zscore_divergence\nfrom marts.liquidation_comparison_daily\n{_WHERE}",
        _c("exchange_usd liq.exchange_usd usd", "perp_dex_usd liq.perp_dex_usd usd", "lending_usd liq.lending_usd usd",
           "exchange_perp_dex_zscore_divergence liq.exchange_perp_dex_zscore_divergence number",
           "exchange_lending_zscore_divergence liq.exchange_lending_zscore_divergence number"),
    ),
    View(
        "crowd", "asset", "Crowd against top traders and takers", "long share, a line for each venue and measure",
        ("marts.fct_positioning_daily", "marts.positioning_divergence_daily"),
        "select f.trade_date, f.venue || ' ' || f.measure as venue_measure, f.long_share, d.account_long_share,\n"
        "    d.account_long_share_percentile_90d, d.positioning_extreme\nfrom marts.fct_positioning_daily as f\n"
        "left join marts.positioning_divergence_daily as d using (asset, trade_date)\n"
        f"where asset = {SLOT}\norder by trade_date desc, venue_measure",
        _c("long_share crowd.long_share share", "account_long_share extremes.account_long_share share",
           "account_long_share_percentile_90d extremes.account_long_share_percentile_90d number",
           "positioning_extreme extremes.positioning_extreme word"), key="venue_measure",
    ),
    View(
        "strikes", "asset", "Options: open interest by strike, walls and max pain", "coins, all expiries of the last whole chain",
        ("marts.fct_option_oi_by_strike_daily", "marts.options_structure_daily"),
        CHAIN_SQL,
    ),
    View(
        "smile", "asset", "Smile by expiry", "implied volatility of the mark a year, out-of-the-money side of one venue",
        ("marts.fct_option_oi_by_strike_daily", "marts.options_structure_daily"),
        CHAIN_SQL,
    ),
    View(
        "vol", "asset", "Implied against realized volatility", "volatility a year",
        ("marts.options_structure_daily", "marts.fct_volatility_index_daily", "marts.fct_price_daily"),
        "select p.trade_date, v.index_name, v.iv_close, o.iv_atm_30d,\n"
        "    p.realized_vol_30d_daily * sqrt(365) as realized_vol_30d_annualized\nfrom marts.fct_price_daily as p\n"
        "left join marts.options_structure_daily as o using (asset, trade_date)\n"
        "left join marts.fct_volatility_index_daily as v using (asset, trade_date)\n"
        f"where asset = {SLOT}\norder by trade_date desc, index_name",
        _c("iv_close ivindex.iv_close share", "iv_atm_30d options.iv_atm_30d share",
           "realized_vol_30d_annualized price.realized_vol_30d_annualized share"), key="index_name", keyless=True,
    ),
    View(
        "ratios", "asset", "Put/call and risk reversal",
        "puts over calls; volatility of 25-delta calls minus puts, 30 days",
        ("marts.options_structure_daily",),
        "select trade_date, put_call_oi_ratio, put_call_volume_ratio, risk_reversal_25d_30d\n"
        f"from marts.options_structure_daily\n{_WHERE}",
        _c("put_call_oi_ratio options.put_call_oi_ratio number", "put_call_volume_ratio options.put_call_volume_ratio number",
           "risk_reversal_25d_30d options.risk_reversal_25d_30d share"),
    ),
    View(
        "signals", "asset", "Signals: on, off, unknown, and what the record says", "last days of the window",
        ("marts.signals_daily", "marts.dim_signal"),
        "select trade_date, signal, state, value, threshold, strength, unknown_reason\n"
        f"from marts.signals_daily\nwhere asset = {SLOT}\norder by trade_date desc, signal",
        _c("state signals.state word", "value signals.value number", "threshold signals.threshold number",
           "strength signals.strength number", "unknown_reason signals.unknown_reason text"), key="signal", wide=True,
    ),
    View(
        "coverage", "trust", "Sources by day", "worst instrument of the day",
        ("marts.data_coverage_daily",),
        "select trade_date, source || ' · ' || table_name || ' · ' || venue as series, status, primary_reason\n"
        "from marts.data_coverage_daily\norder by trade_date desc, series", key="series", wide=True,
    ),
    View(
        "gaps", "trust", "Gaps, with their reasons", "days that are not complete", ("marts.data_coverage_daily",),
        "select source, table_name, venue, status, primary_reason, min(trade_date) as first_day, max(trade_date) as last_day,\n"
        "    count(*) as days\nfrom marts.data_coverage_daily\nwhere status not in ('complete', 'empty')\n"
        "group by source, table_name, venue, status, primary_reason\n"
        "order by days desc, source, table_name, venue, status, primary_reason\nlimit 200", wide=True,
    ),
    View(
        "freshness", "trust", "How new each source is", "days", ("marts.source_freshness",),
        "select source, table_name, first_trade_date, last_trade_date, lag_days, gap_days, rows_received, rows_accepted,\n"
        "    rows_duplicate, rows_quarantined, last_loaded_at\nfrom marts.source_freshness\norder by source, table_name", wide=True,
    ),
    View(
        "loads", "trust", "Loads", "rows; received = accepted + duplicates + quarantined", ("ops.loads",),
        "select load_seq, source, table_name, min(trade_date) as first_day, max(trade_date) as last_day,\n"
        "    sum(received) as received, sum(accepted) as accepted, sum(duplicates) as duplicates,\n"
        "    sum(quarantined) as quarantined, sum(restated) as restated, max(loaded_at) as loaded_at\n"
        "from ops.loads\ngroup by load_seq, source, table_name\norder by load_seq desc, source, table_name\nlimit 200", wide=True,
    ),
    View(
        "quarantine", "trust", "Quarantine", "rows that were rejected, and why", ("ops.quarantine",),
        "select source, table_name, reason, detail, min(trade_date) as first_day, max(trade_date) as last_day, count(*) as rows\n"
        "from ops.quarantine\ngroup by source, table_name, reason, detail\n"
        "order by rows desc, source, table_name, reason, detail\nlimit 200",
        wide=True,
    ),
    View(
        "restated", "trust", "Restatements", "days whose values a later landing changed", ("ops.loads",),
        "select source, table_name, trade_date, sum(restated) as restated, max(loaded_at) as loaded_at\n"
        "from ops.loads\ngroup by source, table_name, trade_date\nhaving sum(restated) > 0\n"
        "order by trade_date desc, source, table_name\nlimit 200", wide=True,
    ),
    View(
        "then", "asof", "Then and now", "what the published file said then, and what it says now", ("history.signals_daily",),
        "select trade_date, signal, published_from, published_to, state, value, threshold\nfrom history.signals_daily\n"
        f"where asset = {SLOT}\norder by trade_date desc, signal, published_from", wide=True,
    ),
)  # fmt: skip

BOARD_SQL: Final = f"""with last_days as (
    select asset, max(trade_date) as trade_date from marts.fct_price_daily group by asset
),
prices as (
    select asset, trade_date, close_usd,
        close_usd / lag(close_usd, 1) over days - 1 as return_1d,
        close_usd / lag(close_usd, 7) over days - 1 as return_7d
    from marts.fct_price_daily
    window days as (partition by asset order by trade_date)
),
signals as (
    select asset, trade_date, count(*) filter (state = 'on') as signals_on, count(*) filter (state = 'off') as signals_off,
        count(*) filter (state = 'unknown') as signals_unknown,
        string_agg(signal, ', ' order by signal) filter (state = 'on') as on_now
    from marts.signals_daily group by asset, trade_date
),
heard as (
    {HEARD.sql}
)
select d.asset, d.trade_date, p.close_usd, p.return_1d, p.return_7d, t.oi_usd, t.oi_usd_position_1d, t.oi_usd_price_1d,
    t.oi_growth_7d, t.oi_change_plausible, f.excess_rate_8h * {APR} as excess_apr, f.regime, f.days_in_regime,
    l.exchange_position_notional_usd_long as liquidated_long_usd, l.exchange_position_notional_usd_short as liquidated_short_usd,
    l.exchange_completeness, h.heard_oi_share, c.account_long_share, c.positioning_extreme, {{options}},
    s.signals_on, s.signals_off, s.signals_unknown, s.on_now, t.venues_present, t.venues_expected
from last_days as d
join prices as p using (asset, trade_date)
left join marts.oi_trends_daily as t using (asset, trade_date)
left join marts.funding_regimes_daily as f using (asset, trade_date)
left join marts.liquidation_comparison_daily as l using (asset, trade_date)
left join marts.positioning_divergence_daily as c using (asset, trade_date)
left join signals as s using (asset, trade_date)
left join heard as h using (asset, trade_date)
{{join}}order by d.asset"""
"""`{{options}}` and `{{join}}` stand for the option columns, which not every published file has."""


def board_sql(tables: frozenset[str]) -> str:
    """The board's query for a published file with these tables."""
    if "marts.options_structure_daily" in tables:
        return BOARD_SQL.format(
            options="o.put_call_oi_ratio, o.risk_reversal_25d_30d",
            join="left join marts.options_structure_daily as o using (asset, trade_date)\n",
        )
    return BOARD_SQL.format(options="null as put_call_oi_ratio, null as risk_reversal_25d_30d", join="")
