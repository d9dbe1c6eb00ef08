"""Wrong units of imported files: what a batch implies is compared with candles of any source, traded volume, supply and size.

One row per instrument of a batch, from its daily aggregates; venues' own feeds have fixed units and are not judged here. The
thresholds are in suites.py. The connection is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pipelines.core.universe import QUOTES
from pipelines.quality.batch import GateInput
from pipelines.quality.bounds import FEW_SERIES, UNIT_JUMP, WIDESPREAD
from pipelines.quality.profiles import DAYS
from pipelines.quality.supply import AS_OF, SUPPLY

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

IMPORTED: Final = "files."
"""Prefix of the sources that are judged here."""

MARKET_DAYS: Final = 400
"""Candles this far from the batch still tell a coin from another one with its ticker, where no day is shared."""

APART: Final = 20.0
"""Factor that prices of days so far apart may differ by; it is divided out."""

LAG_DAYS: Final = 10
"""Shared days needed to see that dates are a day off."""

_DOLLARS: Final = tuple(
    quote for quote in QUOTES if quote.startswith("USD") or quote in {"BUSD", "FDUSD", "TUSD", "DAI"}
)

_PRICED: Final[Mapping[str, str]] = {
    "open_interest": """
        select venue, instrument, trade_date, exp(avg(price_log)) as price, exp(avg(oi_base_log)) as base,
            exp(avg(oi_usd_log)) as usd
        from {days} group by venue, instrument, trade_date
    """,
    "candles": """
        select venue, instrument, trade_date, exp(avg(close_log)) as price, max(exp(volume_base_log) * n) as base,
            cast(null as double) as usd
        from {days} where market in ('spot', 'perp') group by venue, instrument, trade_date
    """,
    "funding_rates": """
        select venue, instrument, trade_date, exp(avg(price_log)) as price, cast(null as double) as base,
            cast(null as double) as usd
        from {days} group by venue, instrument, trade_date
    """,
    "liquidations": """
        select venue, instrument, trade_date, exp(avg(ln(price))) as price, sum(quantity_base) as base,
            sum(notional_usd) as usd
        from {staged} group by venue, instrument, trade_date
    """,
    "liquidation_totals": """
        select venue, instrument, trade_date, sum(total_usd) / nullif(sum(long_base + short_base), 0) as price,
            nullif(sum(coalesce(long_base, 0) + coalesce(short_base, 0)), 0) as base,
            nullif(sum(coalesce(total_usd, long_usd + short_usd)), 0) as usd
        from {staged} where measure = 'position_notional' group by venue, instrument, trade_date
    """,
}
"""Per table: price, amount in the base and in dollars of an instrument and day."""


def units_frame(
    con: duckdb.DuckDBPyConnection, batch: GateInput, staged_tables: Mapping[str, str]
) -> pd.DataFrame | None:
    """What a batch of an imported file implies, one row per instrument, token or asset; None for tables without units."""
    if batch.table in _PRICED:
        return _causes(_priced(con, _priced_steps(batch, staged_tables)), _PRICED_CAUSES[batch.table])
    if batch.table in {"lending_liquidations", "lending_bad_debt"}:
        return _causes(con.sql(_lending_sql(batch)).df(), {"largest_usd": _raw_units})
    if batch.table == "instruments":
        return _causes(con.sql(_assets_sql(batch)).df(), {"pair_as_asset": _pair})
    return None


def _priced(con: duckdb.DuckDBPyConnection, steps: Mapping[str, str]) -> pd.DataFrame:
    """The answer of the steps, each written before the next is planned: as one query of common table expressions their joins
    are put into an order that runs out of memory on two years of a hundred instruments."""
    names = [name for name in steps if name]
    try:
        for name in names:
            con.execute(f"create or replace temp table {name} as {steps[name]}")
        return con.sql(steps[""]).df()
    finally:
        for name in names:
            con.execute(f"drop table if exists {name}")


def _priced_steps(batch: GateInput, staged_tables: Mapping[str, str]) -> dict[str, str]:
    """The query of what a batch implies in steps, each a table that the later ones read; the last is the answer."""
    instruments = "select venue, instrument, valid_from, asset, multiplier, quote, 1 as rank from clean.instruments"
    if "instruments" in staged_tables:
        instruments += (
            " union all select venue, instrument, valid_from, asset, multiplier, quote, 0 as rank "
            f"from {staged_tables['instruments']}"
        )
    daily = (
        "select venue, instrument, trade_date, exp(avg(ln(close))) as close, sum(volume_base) as volume from {from_} "
        "where market in ('spot', 'perp') and close > 0 and trade_date "
        f"between (select min(trade_date) - {MARKET_DAYS} from {DAYS}) and (select max(trade_date) + {MARKET_DAYS} from {DAYS}) "
        "group by venue, instrument, trade_date, market, period, source"
    )
    candles = [daily.format(from_="clean.candles")]
    if batch.table == "candles":
        candles.append("select venue, instrument, trade_date, price, base from amounts")
    elif "candles" in staged_tables:
        candles.append(daily.format(from_=staged_tables["candles"]))
    # An instrument's own candles say what its other data is worth; of candles only other instruments can.
    same = "c.venue = d.venue and c.instrument = d.instrument"
    own, others = (f"not ({same})", f"not ({same})") if batch.table == "candles" else (same, "true")
    supply = ", ".join(f"('{asset}', {amount!r})" for asset, amount in SUPPLY.items())
    dollars = ", ".join(f"'{quote}'" for quote in _DOLLARS)
    return {
        "amounts": f"{_PRICED[batch.table].format(days=DAYS, staged=batch.staged)}",
        "listed": f"""
            select venue, instrument, asset, multiplier, quote
            from ({instruments})
            qualify row_number() over (partition by venue, instrument order by rank, valid_from desc) = 1
        """,
        "market": f"""
            select c.venue, c.instrument, c.trade_date, l.asset, median(c.close / l.multiplier) as price,
                max(c.volume * l.multiplier) as volume
            from ({" union all ".join(candles)}) as c
            join listed as l on l.venue = c.venue and l.instrument = c.instrument
            where l.quote in ({dollars})
            group by c.venue, c.instrument, c.trade_date, l.asset
        """,
        "known": f"""
            select d.venue, d.instrument, d.trade_date, l.asset, d.price / l.multiplier as price,
                d.base * l.multiplier as base, d.usd
            from amounts as d
            join listed as l on l.venue = d.venue and l.instrument = d.instrument
            where l.quote in ({dollars})
        """,
        "compared": f"""
            select
                d.venue, d.instrument, d.trade_date,
                coalesce(median(c.price) filter (where {own}), median(c.price) filter (where {others})) as price,
                coalesce(max(c.volume) filter (where {own}), sum(c.volume) filter (where {others})) as volume
            from known as d
            join market as c on c.asset = d.asset and c.trade_date = d.trade_date
            group by d.venue, d.instrument, d.trade_date
        """,
        "peers": """
            select d.venue, d.instrument, median(k.price) as price
            from (select distinct venue, instrument, asset from known) as d
            join known as k on k.asset = d.asset and not (k.venue = d.venue and k.instrument = d.instrument)
            group by d.venue, d.instrument
        """,
        "elsewhere": f"""
            select d.venue, d.instrument,
                coalesce(
                    median(c.price) filter (where {own}), median(c.price) filter (where {others}), any_value(p.price)
                ) as price
            from (select distinct venue, instrument, asset from known) as d
            left join market as c on c.asset = d.asset
            left join peers as p on p.venue = d.venue and p.instrument = d.instrument
            group by d.venue, d.instrument
        """,
        "lagged": f"""
            select venue, instrument,
                case when count(*) >= {LAG_DAYS} and min(off_before) < 0.25 * min(off_same) then -1
                    when count(*) >= {LAG_DAYS} and min(off_after) < 0.25 * min(off_same) then 1 else 0 end as lag_days
            from (
                select d.venue, d.instrument,
                    median(abs(ln(d.price / p.price))) over w as off_before,
                    median(abs(ln(d.price / c.price))) over w as off_same,
                    median(abs(ln(d.price / n.price))) over w as off_after
                from known as d
                join compared as c using (venue, instrument, trade_date)
                join compared as p on p.venue = d.venue and p.instrument = d.instrument and p.trade_date = d.trade_date - 1
                join compared as n on n.venue = d.venue and n.instrument = d.instrument and n.trade_date = d.trade_date + 1
                where d.price > 0
                window w as (partition by d.venue, d.instrument)
            )
            group by venue, instrument
        """,
        "judged": f"""
            select
                d.venue, d.instrument, d.asset, median(d.price) as price, coalesce(median(c.price), any_value(e.price)) as market,
                coalesce(
                    exp(median(abs(ln(d.price / c.price)))),
                    greatest(median(d.price) / any_value(e.price), any_value(e.price) / median(d.price)) / {APART}
                ) as price_off,
                median(coalesce(d.base, d.usd / c.price)) / any_value(s.supply) as over_supply,
                median(coalesce(d.base, d.usd / c.price) / nullif(c.volume, 0)) as over_volume,
                median(coalesce(d.usd, d.base * coalesce(c.price, d.price))) as usd_a_day,
                cast(abs(any_value(g.lag_days)) as double) as days_off, any_value(g.lag_days) as lag_days
            from known as d
            left join compared as c using (venue, instrument, trade_date)
            left join elsewhere as e using (venue, instrument)
            left join lagged as g using (venue, instrument)
            left join (values {supply}) as s (asset, supply) on s.asset = d.asset
            group by d.venue, d.instrument, d.asset
        """,
        "": f"""
            select
                *,
                case when abs(ln(price)) < 0.05 and abs(ln(market)) > 0.4 then 1.0 else 0.0 end as dollars_as_coins,
                case when count(price_off) over () <= {FEW_SERIES}
                    or count(*) filter (where price_off > {UNIT_JUMP}) over () >= {WIDESPREAD} * count(price_off) over ()
                    then price_off end as price_off_widespread
            from judged
            order by venue, instrument
        """,
    }


_LOAN: Final = "greatest(coalesce(collateral_usd, 0), coalesce(debt_usd, 0))"


def _lending_sql(batch: GateInput) -> str:
    seized = batch.table == "lending_liquidations"
    token, value = ("collateral_token", _LOAN) if seized else ("debt_token", "debt_usd")
    return f"""
        select
            chain, protocol, {token}, max({value}) as largest_usd, count(*) filter (where {value} > 1e10) as too_large,
            count(*) as events, min(trade_date) filter (where {value} > 1e10) as first_day,
            max(trade_date) filter (where {value} > 1e10) as last_day
        from {batch.staged}
        group by chain, protocol, {token}
        order by chain, protocol, {token}
    """


def _assets_sql(batch: GateInput) -> str:
    """An asset that ends in a quote currency, and without it is a known asset (or could be no asset with it)."""
    known = ", ".join(f"'{asset}'" for asset in sorted(SUPPLY))
    return f"""
        select venue, instrument, asset,
            case
                when regexp_matches(asset, '^[A-Z0-9]{{2,}}[-_/:](USD|USDT|USDC|BUSD|PERP|SWAP)')
                    or regexp_matches(asset, '^[A-Z0-9]{{2,}}(USDT|USDC|FDUSD|BUSD)$') and asset <> 'SUSDC'
                    or regexp_extract(asset, '^([A-Z0-9]{{2,}}?)_?(USD|PERP|USDTPERP|USDPERP|USDSWAP)$', 1) in ({known})
                then 1.0 else 0.0
            end as pair_as_asset
        from {batch.staged}
        order by venue, instrument
    """


Row = Mapping[str, Any]


def _causes(frame: pd.DataFrame, causes: Mapping[str, Callable[[Row], str]]) -> pd.DataFrame:
    """The frame with a column why_<measure> for each measure: what probably is wrong, if the measure is."""
    rows = frame.to_dict("records")
    for column, cause in causes.items():
        frame[f"why_{column}"] = [cause({str(k): v for k, v in row.items()}) for row in rows]
    return frame


def _number(value: Any) -> str:
    return "unknown" if value is None or (isinstance(value, float) and math.isnan(value)) else f"{value:.4g}"


def _dollars(row: Row) -> str:
    return (
        f"looks like dollars, not coins: implied price {row['price']:.1f}, and {row['asset']} is at {_number(row['market'])}. "
        "Map the column to the dollar column of the table, or divide it by a price with over"
    )


def _price(row: Row) -> str:
    if row["dollars_as_coins"]:
        return _dollars(row)
    return (
        f"implied price {_number(row['price'])} of {row['asset']}, and candles have {_number(row['market'])}, a factor of "
        f"{_number(_factor(row))}: contracts or another scale read as coins, or another coin with the same ticker"
    )


def _coin(row: Row) -> str:
    asset = row["asset"]
    return (
        f"{asset} is at {_number(row['price'])} here ({row['instrument']}) and at {_number(row['market'])} elsewhere, a factor of "
        f"{_number(_factor(row))}: two coins with one ticker, or another unit. Keep the coins apart with an [[instrument]] of its "
        f'own for one of them, as base = "{asset}2"'
    )


def _factor(row: Row) -> float | None:
    price, market = row["price"], row["market"]
    return None if not price or not market else max(price / market, market / price)


def _supply(row: Row) -> str:
    return (
        f"more {row['asset']} than there are ({_number(row['over_supply'])} times the supply of {AS_OF:%B %Y}): looks like "
        f"dollars, not coins{_at(row)}, or like the smallest unit of the coin"
    )


def _volume(row: Row) -> str:
    return (
        f"{_number(row['over_volume'])} times the traded volume of a day: looks like dollars, not coins{_at(row)}, or like another "
        "scale (thousands, contracts)"
    )


def _at(row: Row) -> str:
    return "" if _number(row["market"]) == "unknown" else f" (one is at {_number(row['market'])})"


def _usd(row: Row) -> str:
    return f"{_number(row['usd_a_day'])} dollars on a typical day, more than all markets together: another scale, such as thousands"


def _days(row: Row) -> str:
    early = "early" if row["lag_days"] == 1 else "late"
    return (
        f"prices agree with candles of the day {'after' if early == 'early' else 'before'}: rows land a day {early}. A date that "
        f'names the day that ended needs time shift = "1d" in a table of states, and none in one of periods'
    )


def _raw_units(row: Row) -> str:
    return (
        f"{_number(row['largest_usd'])} dollars in one event ({row['too_large']:,} of {row['events']:,} events, "
        f"{row['first_day']} to {row['last_day']}): looks like raw units of a token, divide by 1e18 (scale = 1e-18) or leave the "
        "dollars of those days out and give collateral_amount_raw and debt_amount_raw, which marts price"
    )


def _pair(row: Row) -> str:
    return (
        f"asset {row['asset']!r} is spelled like a pair: take the base from the name, as in name = '(?P<base>[A-Z0-9]+?)USDT' and "
        'base = "{base}"'
    )


_PRICE_CAUSES: Final[Mapping[str, Callable[[Row], str]]] = {
    "dollars_as_coins": _dollars, "price_off": _price, "price_off_widespread": _price, "over_supply": _supply,
    "over_volume": _volume, "usd_a_day": _usd, "days_off": _days,
}  # fmt: skip

_PRICED_CAUSES: Final[Mapping[str, Mapping[str, Callable[[Row], str]]]] = {
    table: {**_PRICE_CAUSES, **({"price_off": _coin, "price_off_widespread": _coin} if table == "candles" else {})}
    for table in _PRICED
}
