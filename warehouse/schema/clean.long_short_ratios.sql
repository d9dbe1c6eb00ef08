-- key: source, venue, instrument, measure, period, event_at
-- day: event_at (state)
-- coverage: venue; instrument; measure || ' ' || period; period
create table if not exists clean.long_short_ratios (
    venue varchar not null,
    instrument varchar not null,
    measure varchar not null,
    period varchar not null,
    event_at timestamp not null,
    ratio double,
    long_share double not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> ''),
    check (measure in ('account_global', 'account_top', 'position_top', 'taker_volume')),
    check (period in ('5m', '15m', '30m', '1h', '4h', '8h', '1d')),
    check (ratio >= 0 and isfinite(ratio)),
    check (long_share >= 0 and long_share <= 1)
);
comment on table clean.long_short_ratios is 'Positioning of one measure at an instant; measures are never averaged together.';
comment on column clean.long_short_ratios.venue is 'Venue id.';
comment on column clean.long_short_ratios.instrument is 'The venue''s own symbol.';
comment on column clean.long_short_ratios.measure is 'account_global, account_top, position_top or taker_volume.';
comment on column clean.long_short_ratios.period is 'Cadence of the series.';
comment on column clean.long_short_ratios.event_at is 'UTC instant of the state (for taker_volume: end of the period).';
comment on column clean.long_short_ratios.ratio is 'Longs divided by shorts; null where there are no shorts.';
comment on column clean.long_short_ratios.long_share is 'Longs as a fraction of longs plus shorts: ratio / (1 + ratio).';
comment on column clean.long_short_ratios.trade_date is 'UTC day whose end the state describes: a state stamped exactly 00:00 belongs to the day before.';
comment on column clean.long_short_ratios.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.long_short_ratios.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.long_short_ratios.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.long_short_ratios.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
