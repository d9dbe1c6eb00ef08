-- key: source, venue, index_name, period, opened_at
-- day: opened_at
-- coverage: venue; index_name; period; period
create table if not exists clean.volatility_index (
    venue varchar not null,
    index_name varchar not null,
    period varchar not null,
    opened_at timestamp not null,
    open double not null,
    high double not null,
    low double not null,
    close double not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and index_name <> ''),
    check (period in ('1m', '5m', '15m', '30m', '1h', '4h', '8h', '1d')),
    check (low > 0 and isfinite(low) and low <= open and low <= close),
    check (isfinite(high) and high >= open and high >= close)
);
comment on table clean.volatility_index is 'One candle of an implied-volatility index.';
comment on column clean.volatility_index.venue is 'Venue id.';
comment on column clean.volatility_index.index_name is 'The venue''s own name: DVOL-BTC, BVOL-ETH.';
comment on column clean.volatility_index.period is 'Length of the candle.';
comment on column clean.volatility_index.opened_at is 'UTC start of the candle.';
comment on column clean.volatility_index.open is 'First value, volatility as a fraction per year.';
comment on column clean.volatility_index.high is 'Highest value, fraction per year.';
comment on column clean.volatility_index.low is 'Lowest value, fraction per year.';
comment on column clean.volatility_index.close is 'Last value, fraction per year.';
comment on column clean.volatility_index.trade_date is 'UTC day of opened_at.';
comment on column clean.volatility_index.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.volatility_index.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.volatility_index.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.volatility_index.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
