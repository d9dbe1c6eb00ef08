"""A small synthetic market in DuckDB for the tests of the gate: SQL of a valid batch per clean table. No checks here."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import duckdb

from pipelines.quality.batch import GateInput

SOURCE: Final = "files.market"
OTHER_SOURCE: Final = "files.mirror"
BATCH_START: Final = date(2024, 3, 1)
BATCH_DAYS: Final = 3
LOADED_DAYS: Final = 30

# Six instruments, hourly; i is the instrument, h the hour since {first}. All tables use the same price curve.
_HOURS: Final = "range(6) as a(i), range({days} * 24) as b(h)"
_ABS_HOUR: Final = "(date_diff('hour', timestamp '2024-01-01', timestamp '{first}') + h)"
_PRICE: Final = f"(100 * (i + 1) * (1 + 0.02 * sin({_ABS_HOUR} / 11.0)))"
_OPENED: Final = "timestamp '{first}' + h * interval '1' hour"
_STATED: Final = "timestamp '{first}' + (h + 1) * interval '1' hour"
_WAVE: Final = f"sin({_ABS_HOUR} / 7.0 + i)"

ROWS: Final[dict[str, str]] = {
    "open_interest": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, '1h' as period, {_STATED} as event_at,
            1000 * (i + 1) * (1 + 0.1 * {_WAVE}) as oi_base, oi_base * {_PRICE} as oi_usd, oi_base as oi_raw,
            'base' as oi_raw_unit, 'one_sided' as counting, event_at + interval '5' minute as available_at
        from {_HOURS}
    """,
    "candles": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, 'perp' as market, '1h' as period,
            {_OPENED} as opened_at, {_PRICE} as close, close * 0.999 as open, close * 1.01 as high, close * 0.99 as low,
            500 * (i + 1) * (1.5 + {_WAVE}) as volume_base, volume_base * close * 1.001 as volume_quote,
            volume_base * 0.45 as taker_buy_base, 100 as trades, opened_at + interval '1' hour as available_at
        from {_HOURS}
    """,
    "funding_rates": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, 'settled' as kind, {_OPENED} as settled_at,
            0.0001 * (1 + 0.5 * {_WAVE}) as rate, 1.0 as interval_hours, {_PRICE} as mark_price,
            settled_at as available_at
        from {_HOURS}
    """,
    "long_short_ratios": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, 'account_global' as measure, '1h' as period,
            {_STATED} as event_at, 2 + 0.2 * {_WAVE} as ratio, ratio / (1 + ratio) as long_share,
            event_at as available_at
        from {_HOURS}
    """,
    "liquidations": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, 'L' || i || '-' || {_ABS_HOUR}
            as liquidation_id, 'cex' as venue_kind, {_OPENED} + interval '7' second as occurred_at,
            case when (i + h) % 3 = 0 then 'short' else 'long' end as side, {_PRICE} as price,
            2 + {_WAVE} as quantity_base, price * quantity_base as notional_usd, 'throttled' as completeness,
            false as is_adl, occurred_at as available_at
        from {_HOURS}
    """,
    "liquidation_totals": f"""
        select 'binance' as venue, 'COIN' || i || 'USDT' as instrument, 'position_notional' as measure, '1h' as period,
            {_OPENED} as event_at, 3 + {_WAVE} as long_base, 2 + 0.5 * {_WAVE} as short_base,
            long_base * {_PRICE} as long_usd, short_base * {_PRICE} as short_usd, long_usd + short_usd as total_usd,
            5 as events, 'full' as completeness, event_at + interval '1' hour as available_at
        from {_HOURS}
    """,
    "lending_liquidations": f"""
        select 'ethereum' as chain, {_ABS_HOUR} || ':' || i as event_id, 'aave_v3' as protocol, '0xpool' as market,
            (1000000 + {_ABS_HOUR} * 300) as block_number, {_OPENED} as occurred_at,
            '0x' || repeat(cast(i as varchar), 40) as collateral_token,
            cast(2 + {_WAVE} as double) as collateral_amount,
            collateral_amount * {_PRICE} as collateral_usd, 'usdc' as debt_token, collateral_usd / 1.08 as debt_amount,
            debt_amount as debt_usd, 'event' as price_source, 0 as price_gap_seconds, 'full' as completeness,
            occurred_at as available_at
        from {_HOURS}
    """,
    "lending_bad_debt": f"""
        select 'ethereum' as chain, {_ABS_HOUR} || ':' || i as event_id, 'aave_v3' as protocol, '0xpool' as market,
            'DeficitCreated' as event, (1000000 + {_ABS_HOUR} * 300) as block_number, {_OPENED} as occurred_at,
            '0x' || repeat(cast(i as varchar), 40) as debt_token, '1000000' as debt_amount_raw, {_PRICE} as debt_usd,
            'event' as price_source, 0 as price_gap_seconds, 'full' as completeness, occurred_at as available_at
        from {_HOURS}
    """,
    "option_chain": """
        select 'deribit' as venue, u || '-' || k || '-' || t as instrument,
            timestamp '{first}' + d * interval '1' day + interval '8' hour as snapshot_at, u as underlying,
            date '2024-06-28' as expiry_date, 50000.0 + 1000 * k as strike, t as option_type,
            10.0 + k as oi_base, 1.0 as volume_24h_base, 0.6 + 0.01 * k as mark_iv,
            0.05 as mark_price_base, 61000.0 as underlying_price, 60000.0 + k as index_price,
            case t when 'call' then 0.5 else -0.5 end as delta, snapshot_at as available_at
        from range({days}) as a(d), range(15) as b(k), (values ('BTC'), ('ETH')) as c(u),
            (values ('call'), ('put')) as e(t)
    """,
    "volatility_index": f"""
        select 'deribit' as venue, 'DVOL-' || i as index_name, '1h' as period, {_OPENED} as opened_at,
            0.5 + 0.05 * {_WAVE} as close, close as open, close * 1.01 as high, close * 0.99 as low,
            opened_at + interval '1' hour as available_at
        from {_HOURS}
    """,
    "token_prices": f"""
        select 'ethereum' as chain, '0x' || repeat(cast(i as varchar), 40) as token, {_OPENED} as priced_at,
            {_PRICE} as price_usd, 18 as decimals, 'vendor' as price_source, priced_at as available_at
        from {_HOURS}
    """,
    "risk_tiers": """
        select 'bybit' as venue, 'COIN' || i || 'USDT' as instrument, 'default' as schedule, t + 1 as tier,
            timestamp '{first}' + d * interval '1' day + interval '8' hour as snapshot_at, 1000000.0 * t as lower_bound,
            1000000.0 * (t + 1) as upper_bound, 'quote' as bound_unit, lower_bound as lower_bound_usd,
            upper_bound as upper_bound_usd, null::double as lower_bound_base, null::double as upper_bound_base,
            100.0 / (t + 1) as max_leverage, 1 / max_leverage as initial_margin_rate,
            0.5 / max_leverage as maintenance_margin_rate, 0.0 as maintenance_deduction, snapshot_at as available_at
        from range({days}) as a(d), range(12) as b(i), range(12) as c(t)
    """,
    "tokens": f"""
        select 'ethereum' as chain, '0x' || repeat(cast(i as varchar), 40) as token, {_OPENED} as named_at,
            'T' || i as symbol, 18 as decimals, named_at as read_at, named_at as available_at
        from {_HOURS}
    """,
    "instruments": """
        select 'binance' as venue, case when n = 0 then '1000PEPEUSDT' else 'COIN' || n || 'USD' end as instrument,
            timestamp '{first}' as valid_from, case when n = 0 then 'PEPE' else 'COIN' || n end as asset,
            'USD' as quote, case when n = 0 then 'linear' else 'inverse' end as contract_type, 100.0 as contract_size,
            'usd' as contract_size_unit, case when n = 0 then 1000.0 else 1.0 end as multiplier,
            timestamp '2023-01-01' as listed_at, timestamp '2025-01-01' as delisted_at,
            timestamp '{first}' as available_at
        from range(60) as a(n)
    """,
}
"""SQL of a valid batch per clean table; {{first}} is its first day, {{days}} the number of days."""

_STATES: Final = ("open_interest", "long_short_ratios")
_CLOCK: Final = {
    "open_interest": "event_at", "candles": "opened_at", "funding_rates": "settled_at", "long_short_ratios": "event_at",
    "liquidations": "occurred_at", "liquidation_totals": "event_at", "lending_liquidations": "occurred_at",
    "lending_bad_debt": "occurred_at",
    "option_chain": "snapshot_at", "volatility_index": "opened_at", "token_prices": "priced_at",
    "tokens": "named_at", "risk_tiers": "snapshot_at",
    "instruments": "valid_from",
}  # fmt: skip


def rows_sql(table: str, *, source: str, first: date, days: int) -> str:
    """SELECT of a valid batch with all columns the loader fills."""
    clock = _CLOCK[table]
    day = f"{clock} - interval '1' microsecond" if table in _STATES else clock
    inner = ROWS[table].format(first=first.isoformat(), days=days)
    return (
        f"select *, cast({day} as date) as trade_date, '{source}' as source, 'landing-1' as landing_id, "
        f"timestamp '2024-03-05' as loaded_at from ({inner})"
    )


def load(con: duckdb.DuckDBPyConnection, table: str, *, source: str, first: date, days: int) -> None:
    """Insert a valid batch into the clean table."""
    con.execute(f"insert into clean.{table} by name {rows_sql(table, source=source, first=first, days=days)}")


def load_neighbors(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Load thirty days before the batch, and the days of the batch from another source."""
    load(con, table, source=SOURCE, first=BATCH_START - timedelta(days=LOADED_DAYS), days=LOADED_DAYS)
    load(con, table, source=OTHER_SOURCE, first=BATCH_START, days=BATCH_DAYS)


def stage(con: duckdb.DuckDBPyConnection, table: str, *mutations: str) -> GateInput:
    """Stage a valid batch, apply SQL statements to it ({rows} is its table), and count it as the loader would."""
    name = f"staged_{table}"
    con.execute(f"create or replace temp table {name} as select * from clean.{table} limit 0")
    con.execute(f"insert into {name} by name {rows_sql(table, source=SOURCE, first=BATCH_START, days=BATCH_DAYS)}")
    for mutation in mutations:
        con.execute(mutation.format(rows=name))
    counted = con.execute(f"select count(*) from {name}").fetchone()
    count = int(counted[0]) if counted else 0
    return GateInput(
        table=table, source=SOURCE, staged=name, received=count, accepted=count, duplicates=0, quarantined=0
    )
