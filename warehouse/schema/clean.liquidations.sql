-- key: source, venue, liquidation_id
-- day: occurred_at
-- coverage: venue; '*'; ''; events
create table if not exists clean.liquidations (
    venue varchar not null,
    liquidation_id varchar not null,
    venue_kind varchar not null,
    instrument varchar not null,
    occurred_at timestamp not null,
    side varchar not null,
    price double,
    entry_price double,
    quantity_base double not null,
    notional_usd double,
    completeness varchar not null,
    is_adl boolean not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> '' and liquidation_id <> ''),
    check (venue_kind in ('cex', 'perp_dex')),
    check (side in ('long', 'short')),
    check (price > 0 and isfinite(price)),
    check (entry_price > 0 and isfinite(entry_price)),
    check (quantity_base > 0 and isfinite(quantity_base)),
    check (notional_usd > 0 and isfinite(notional_usd)),
    check (completeness in ('full', 'throttled', 'sampled'))
);
comment on table clean.liquidations is 'One forced close of a perpetual position.';
comment on column clean.liquidations.venue is 'Venue id.';
comment on column clean.liquidations.liquidation_id is 'Venue''s id, or a hash of the row''s own fields where the venue gives none.';
comment on column clean.liquidations.venue_kind is 'cex or perp_dex.';
comment on column clean.liquidations.instrument is 'The venue''s own symbol.';
comment on column clean.liquidations.occurred_at is 'UTC time of the liquidation.';
comment on column clean.liquidations.side is 'Side of the position that was closed: a forced sell closed a long.';
comment on column clean.liquidations.price is 'Average fill price in the quote currency; bankruptcy price where the venue publishes only that; null where neither.';
comment on column clean.liquidations.entry_price is 'Price at which the position was opened, in the quote currency; null where the venue does not state it (Bitfinex alone does).';
comment on column clean.liquidations.quantity_base is 'Liquidated quantity in units of the instrument''s base (contracts converted).';
comment on column clean.liquidations.notional_usd is 'Position notional in US dollars; null where the venue gives no price.';
comment on column clean.liquidations.completeness is 'full, throttled (a lower bound by the venue''s push rule) or sampled.';
comment on column clean.liquidations.is_adl is 'True for auto-deleveraging, which is kept apart from liquidation.';
comment on column clean.liquidations.trade_date is 'UTC day of occurred_at.';
comment on column clean.liquidations.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.liquidations.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.liquidations.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.liquidations.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
