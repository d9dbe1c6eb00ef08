-- key: source, venue, instrument, measure, period, event_at
-- day: event_at
-- coverage: venue; instrument; measure || ' ' || period; period
create table if not exists clean.liquidation_totals (
    venue varchar not null,
    instrument varchar not null,
    measure varchar not null,
    period varchar not null,
    event_at timestamp not null,
    long_usd double,
    short_usd double,
    total_usd double,
    long_base double,
    short_base double,
    events bigint,
    completeness varchar not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> ''),
    check (measure in ('position_notional', 'collateral_seized', 'debt_repaid')),
    check (period in ('5m', '15m', '30m', '1h', '4h', '8h', '1d')),
    check (total_usd is not null or long_base is not null or short_base is not null),
    check (long_usd >= 0 and isfinite(long_usd)),
    check (short_usd >= 0 and isfinite(short_usd)),
    check (total_usd >= 0 and isfinite(total_usd)),
    check (long_base >= 0 and isfinite(long_base)),
    check (short_base >= 0 and isfinite(short_base)),
    check (events >= 0),
    check (completeness in ('full', 'throttled', 'sampled'))
);
comment on table clean.liquidation_totals is 'Liquidated amount of an instrument over a period, as a venue or vendor totals it.';
comment on column clean.liquidation_totals.venue is 'Venue id.';
comment on column clean.liquidation_totals.instrument is 'The venue''s own symbol.';
comment on column clean.liquidation_totals.measure is 'position_notional, collateral_seized or debt_repaid.';
comment on column clean.liquidation_totals.period is 'Length of the period.';
comment on column clean.liquidation_totals.event_at is 'UTC start of the period; it covers [event_at, event_at + period).';
comment on column clean.liquidation_totals.long_usd is 'Liquidated longs in US dollars as stated; null where the source gives none.';
comment on column clean.liquidation_totals.short_usd is 'Liquidated shorts in US dollars as stated; null where the source gives none.';
comment on column clean.liquidation_totals.total_usd is 'Both sides in US dollars as stated; null where the source states base units only (marts price those).';
comment on column clean.liquidation_totals.long_base is 'Liquidated longs in units of the instrument''s base; null where not stated.';
comment on column clean.liquidation_totals.short_base is 'Liquidated shorts in units of the instrument''s base; null where not stated.';
comment on column clean.liquidation_totals.events is 'Number of liquidations; null where not stated.';
comment on column clean.liquidation_totals.completeness is 'full, throttled or sampled.';
comment on column clean.liquidation_totals.trade_date is 'UTC day of event_at.';
comment on column clean.liquidation_totals.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.liquidation_totals.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.liquidation_totals.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.liquidation_totals.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
