-- key: source, venue, instrument, valid_from
-- day: valid_from
-- coverage: none
-- load: merge
create table if not exists clean.instruments (
    venue varchar not null,
    instrument varchar not null,
    valid_from timestamp not null,
    asset varchar not null,
    asset_class varchar,
    quote varchar not null,
    contract_type varchar not null,
    contract_size double,
    contract_size_unit varchar,
    multiplier double not null,
    listed_at timestamp,
    delisted_at timestamp,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> '' and asset <> ''),
    check (asset_class in ('crypto', 'stock', 'commodity', 'forex', 'index', 'bond', 'other')),
    check (contract_type in ('linear', 'inverse', 'quanto', 'spot', 'option')),
    check (contract_size > 0 and isfinite(contract_size)),
    check (multiplier > 0 and isfinite(multiplier)),
    check (contract_size_unit in ('base', 'quote', 'usd'))
);
comment on table clean.instruments is 'One row per version of an instrument at a venue: which asset it carries and how large a contract is.';
comment on column clean.instruments.venue is 'Venue id, for example binance (seed venues).';
comment on column clean.instruments.instrument is 'The venue''s own symbol.';
comment on column clean.instruments.valid_from is 'UTC instant from which this version holds; 1970-01-01 where the source does not say.';
comment on column clean.instruments.asset is 'Canonical ticker of the base asset: BTC, ETH, PEPE; of anything but a coin with its class: NET.STOCK.';
comment on column clean.instruments.asset_class is 'crypto, stock, commodity, forex, index, bond or other (no coin), by the venue''s own field; null where it states none.';
comment on column clean.instruments.quote is 'Quote currency: USDT, USD, USDC.';
comment on column clean.instruments.contract_type is 'linear, inverse, quanto, spot or option.';
comment on column clean.instruments.contract_size is 'Size of one contract in contract_size_unit; null where the venue trades in units of the base.';
comment on column clean.instruments.contract_size_unit is 'base, quote or usd.';
comment on column clean.instruments.multiplier is 'Units of the asset in one unit of the instrument: 1000PEPE is 1000, otherwise 1.';
comment on column clean.instruments.listed_at is 'UTC listing time where known.';
comment on column clean.instruments.delisted_at is 'UTC delisting time where known; delisted instruments are kept.';
comment on column clean.instruments.trade_date is 'UTC day of valid_from.';
comment on column clean.instruments.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.instruments.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.instruments.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.instruments.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
