-- key: source, venue, instrument, market, period, opened_at
-- day: opened_at
-- coverage: venue; instrument; market || ' ' || period; period
create table if not exists clean.candles (
    venue varchar not null,
    instrument varchar not null,
    market varchar not null,
    period varchar not null,
    opened_at timestamp not null,
    open double,
    high double,
    low double,
    close double not null,
    volume_base double,
    volume_quote double,
    taker_buy_base double,
    trades bigint,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> ''),
    check (market in ('spot', 'perp', 'mark', 'index')),
    check (period in ('1m', '5m', '15m', '30m', '1h', '4h', '8h', '1d')),
    check (close > 0 and isfinite(close)),
    check (open > 0 and isfinite(open)),
    check (low > 0 and isfinite(low) and low <= close and low <= coalesce(open, close)),
    check (isfinite(high) and high >= close and high >= coalesce(open, close)),
    check (volume_base >= 0 and isfinite(volume_base)),
    check (volume_quote >= 0 and isfinite(volume_quote)),
    check (taker_buy_base >= 0 and isfinite(taker_buy_base)),
    check (trades >= 0)
);
comment on table clean.candles is 'One candle of an instrument: prices in the quote currency per unit of the instrument.';
comment on column clean.candles.venue is 'Venue id.';
comment on column clean.candles.instrument is 'The venue''s own symbol.';
comment on column clean.candles.market is 'spot, perp, mark or index.';
comment on column clean.candles.period is 'Length of the candle: 1m, 5m, 15m, 30m, 1h, 4h, 8h or 1d.';
comment on column clean.candles.opened_at is 'UTC start of the candle; it covers [opened_at, opened_at + period).';
comment on column clean.candles.open is 'First price; null where the source publishes closes only.';
comment on column clean.candles.high is 'Highest price; null where the source publishes closes only.';
comment on column clean.candles.low is 'Lowest price; null where the source publishes closes only.';
comment on column clean.candles.close is 'Last price.';
comment on column clean.candles.volume_base is 'Traded volume in units of the instrument''s base (contracts converted); null where not published.';
comment on column clean.candles.volume_quote is 'Traded volume in the quote currency; null where not published.';
comment on column clean.candles.taker_buy_base is 'Part of volume_base bought by takers; null where not published.';
comment on column clean.candles.trades is 'Number of trades; null where not published.';
comment on column clean.candles.trade_date is 'UTC day of opened_at.';
comment on column clean.candles.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.candles.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.candles.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.candles.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
