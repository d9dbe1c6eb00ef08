-- key: source, chain, event_id
-- day: occurred_at
-- coverage: protocol; '*'; chain; events
create table if not exists clean.lending_liquidations (
    chain varchar not null,
    event_id varchar not null,
    tx_hash varchar,
    log_index bigint,
    protocol varchar not null,
    market varchar not null,
    block_number bigint,
    occurred_at timestamp not null,
    borrower varchar,
    liquidator varchar,
    collateral_token varchar not null,
    collateral_amount_raw varchar,
    collateral_amount double,
    collateral_usd double,
    collateral_value double,
    debt_token varchar,
    debt_amount_raw varchar,
    debt_amount double,
    debt_usd double,
    debt_value double,
    value_unit varchar,
    price_source varchar,
    price_gap_seconds bigint,
    completeness varchar not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (chain <> '' and event_id <> '' and protocol <> '' and collateral_token <> ''),
    check (collateral_amount_raw is not null or collateral_amount is not null),
    check (regexp_full_match(collateral_amount_raw, '[0-9]+')),
    check (regexp_full_match(debt_amount_raw, '[0-9]+')),
    check (collateral_amount >= 0 and isfinite(collateral_amount)),
    check (collateral_usd >= 0 and isfinite(collateral_usd)),
    check (debt_amount >= 0 and isfinite(debt_amount)),
    check (debt_usd >= 0 and isfinite(debt_usd)),
    check (collateral_value >= 0 and isfinite(collateral_value)),
    check (debt_value >= 0 and isfinite(debt_value)),
    check ((value_unit is not null) = (collateral_value is not null or debt_value is not null)),
    check (value_unit is null or (collateral_usd is null and debt_usd is null)),
    check (log_index >= 0 and block_number >= 0),
    check (price_gap_seconds >= 0),
    check (completeness in ('full', 'throttled', 'sampled'))
);
comment on table clean.lending_liquidations is 'One liquidation of a loan on chain: collateral seized, debt repaid.';
comment on column clean.lending_liquidations.chain is 'Chain id: ethereum, arbitrum, …';
comment on column clean.lending_liquidations.event_id is 'tx_hash:log_index where the source has both, else a hash of the row''s own fields.';
comment on column clean.lending_liquidations.tx_hash is 'Transaction hash; null where the source dropped it.';
comment on column clean.lending_liquidations.log_index is 'Index of the event in its block; null where the source dropped it.';
comment on column clean.lending_liquidations.protocol is 'Protocol id: aave_v2, aave_v3, liquity_v1, …';
comment on column clean.lending_liquidations.market is 'Emitting contract, or the market''s name where the source gives only that.';
comment on column clean.lending_liquidations.block_number is 'Block height; null where the source dropped it.';
comment on column clean.lending_liquidations.occurred_at is 'UTC time of the block.';
comment on column clean.lending_liquidations.borrower is 'Address of the liquidated borrower; null where the protocol has none.';
comment on column clean.lending_liquidations.liquidator is 'Address of the liquidator; null where not stated.';
comment on column clean.lending_liquidations.collateral_token is 'Token address in lower case (of Solana as it is), or its symbol in lower case where the source gives no address.';
comment on column clean.lending_liquidations.collateral_amount_raw is 'Collateral in the token''s smallest unit, decimal text (exceeds 64 bits); null where the source scaled it.';
comment on column clean.lending_liquidations.collateral_amount is 'Collateral in whole tokens where the source scaled it; null where marts scale collateral_amount_raw by the token registry.';
comment on column clean.lending_liquidations.collateral_usd is 'Collateral in US dollars as the source states it at event time; null where it states none (marts price it).';
comment on column clean.lending_liquidations.collateral_value is 'Collateral as the event states it in a unit of account that is not the dollar; null where it states dollars or nothing.';
comment on column clean.lending_liquidations.debt_token is 'Token address (or symbol) of the debt; null where the source has one leg only, or where what the market lends is not on record (marts ask what was read of the market).';
comment on column clean.lending_liquidations.debt_amount_raw is 'Debt repaid in the token''s smallest unit, decimal text; null where scaled or absent.';
comment on column clean.lending_liquidations.debt_amount is 'Debt repaid in whole tokens where the source scaled it.';
comment on column clean.lending_liquidations.debt_usd is 'Debt repaid in US dollars as the source states it; null where it states none.';
comment on column clean.lending_liquidations.debt_value is 'Debt repaid as the event states it in value_unit; null where it states dollars or nothing.';
comment on column clean.lending_liquidations.value_unit is 'Canonical ticker that collateral_value and debt_value count (ETH, BTC, WSTETH; marts price it); null where there are none.';
comment on column clean.lending_liquidations.price_source is 'Where the values come from: event or vendor; null where there are none.';
comment on column clean.lending_liquidations.price_gap_seconds is 'Age of that price at the event in seconds.';
comment on column clean.lending_liquidations.completeness is 'full, or sampled where the source holds only part of the events of its span.';
comment on column clean.lending_liquidations.trade_date is 'UTC day of occurred_at.';
comment on column clean.lending_liquidations.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.lending_liquidations.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.lending_liquidations.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.lending_liquidations.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
