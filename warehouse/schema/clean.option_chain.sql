-- key: source, venue, instrument, snapshot_at
-- day: snapshot_at
-- coverage: venue; underlying; 'snapshot'; captures
create table if not exists clean.option_chain (
    venue varchar not null,
    instrument varchar not null,
    snapshot_at timestamp not null,
    underlying varchar not null,
    expiry_date date not null,
    strike double not null,
    option_type varchar not null,
    oi_base double not null,
    volume_24h_base double,
    mark_iv double,
    mark_price_base double,
    underlying_price double,
    index_price double,
    delta double,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> '' and underlying <> ''),
    check (strike > 0 and isfinite(strike)),
    check (option_type in ('call', 'put')),
    check (oi_base >= 0 and isfinite(oi_base)),
    check (volume_24h_base >= 0 and isfinite(volume_24h_base)),
    check (mark_iv >= 0 and mark_iv <= 20),
    check (mark_price_base >= 0 and isfinite(mark_price_base)),
    check (underlying_price > 0 and isfinite(underlying_price)),
    check (index_price > 0 and isfinite(index_price)),
    check (delta >= -1 and delta <= 1),
    check (expiry_date >= cast(snapshot_at as date))
);
comment on table clean.option_chain is 'One option of a chain as captured at an instant.';
comment on column clean.option_chain.venue is 'Venue id.';
comment on column clean.option_chain.instrument is 'The venue''s own symbol.';
comment on column clean.option_chain.snapshot_at is 'UTC instant of the capture.';
comment on column clean.option_chain.underlying is 'Canonical ticker of the underlying: BTC, ETH.';
comment on column clean.option_chain.expiry_date is 'UTC day of expiry.';
comment on column clean.option_chain.strike is 'Strike in US dollars.';
comment on column clean.option_chain.option_type is 'call or put.';
comment on column clean.option_chain.oi_base is 'Open interest in coins.';
comment on column clean.option_chain.volume_24h_base is 'Traded volume of the last 24 hours in coins; null where not published.';
comment on column clean.option_chain.mark_iv is 'Implied volatility of the mark as a fraction per year (0.55 is 55%).';
comment on column clean.option_chain.mark_price_base is 'Mark price in coins.';
comment on column clean.option_chain.underlying_price is 'Price in US dollars of the forward of this expiry.';
comment on column clean.option_chain.index_price is 'Spot index in US dollars at the capture.';
comment on column clean.option_chain.delta is 'Delta as published, in [-1, 1]; null where not published.';
comment on column clean.option_chain.trade_date is 'UTC day of snapshot_at.';
comment on column clean.option_chain.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.option_chain.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.option_chain.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.option_chain.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
