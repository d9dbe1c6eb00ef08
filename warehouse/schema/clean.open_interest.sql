-- key: source, venue, instrument, period, event_at
-- day: event_at (state)
-- coverage: venue; instrument; period; period
create table if not exists clean.open_interest (
    venue varchar not null,
    instrument varchar not null,
    period varchar not null,
    event_at timestamp not null,
    oi_base double,
    oi_usd double,
    oi_raw double not null,
    oi_raw_unit varchar not null,
    counting varchar not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> ''),
    check (period in ('5m', '15m', '30m', '1h', '4h', '8h', '1d', 'snapshot')),
    check (oi_base is not null or oi_usd is not null),
    check (oi_base >= 0 and isfinite(oi_base)),
    check (oi_usd >= 0 and isfinite(oi_usd)),
    check (oi_raw >= 0 and isfinite(oi_raw)),
    check (oi_raw_unit in ('base', 'usd', 'quote', 'contracts')),
    check (counting in ('one_sided', 'halved', 'unknown'))
);
comment on table clean.open_interest is 'Open interest of an instrument at an instant, counted one-sided (longs = shorts = OI).';
comment on column clean.open_interest.venue is 'Venue id.';
comment on column clean.open_interest.instrument is 'The venue''s own symbol.';
comment on column clean.open_interest.period is 'Cadence of the series (5m … 1d), or snapshot for irregular captures.';
comment on column clean.open_interest.event_at is 'UTC instant of the state.';
comment on column clean.open_interest.oi_base is 'Open interest in units of the instrument''s base; null where the source states dollars only.';
comment on column clean.open_interest.oi_usd is 'Open interest in US dollars as the source states it; null where it states base units only.';
comment on column clean.open_interest.oi_raw is 'The number as received.';
comment on column clean.open_interest.oi_raw_unit is 'Unit of oi_raw: base, usd, quote or contracts.';
comment on column clean.open_interest.counting is 'one_sided as received, halved where the venue counts both sides, or unknown: as received and in no total.';
comment on column clean.open_interest.trade_date is 'UTC day whose end the state describes: a state stamped exactly 00:00 belongs to the day before.';
comment on column clean.open_interest.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.open_interest.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.open_interest.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.open_interest.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
