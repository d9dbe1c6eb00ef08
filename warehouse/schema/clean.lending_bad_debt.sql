-- key: source, chain, event_id
-- day: occurred_at
-- coverage: protocol; '*'; chain; events
create table if not exists clean.lending_bad_debt (
    chain varchar not null,
    event_id varchar not null,
    tx_hash varchar,
    log_index bigint,
    protocol varchar not null,
    market varchar not null,
    event varchar not null,
    block_number bigint,
    occurred_at timestamp not null,
    borrower varchar,
    debt_token varchar,
    debt_amount_raw varchar not null,
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
    check (chain <> '' and event_id <> '' and protocol <> '' and event <> '' and debt_token <> ''),
    check (regexp_full_match(debt_amount_raw, '[0-9]+')),
    check (debt_usd >= 0 and isfinite(debt_usd)),
    check (debt_value >= 0 and isfinite(debt_value)),
    check ((value_unit is not null) = (debt_value is not null)),
    check (value_unit is null or debt_usd is null),
    check (log_index >= 0 and block_number >= 0),
    check (price_gap_seconds >= 0),
    check (completeness in ('full', 'throttled', 'sampled'))
);
comment on table clean.lending_bad_debt is 'One loss of a lending protocol: debt that no collateral was left for. Neither repaid nor liquidated, and in no measure of liquidations.';
comment on column clean.lending_bad_debt.chain is 'Chain id: ethereum, arbitrum, …';
comment on column clean.lending_bad_debt.event_id is 'tx_hash:log_index of the event that tells of the loss; of a liquidation''s own event where that tells of both.';
comment on column clean.lending_bad_debt.tx_hash is 'Transaction hash.';
comment on column clean.lending_bad_debt.log_index is 'Index of the event in its block.';
comment on column clean.lending_bad_debt.protocol is 'Protocol id: aave_v3, morpho_blue, compound_v3, …';
comment on column clean.lending_bad_debt.market is 'Emitting contract.';
comment on column clean.lending_bad_debt.event is 'Name of the contract''s event: DeficitCreated, Liquidate (its bad debt), AbsorbDebt (beyond its collateral), DebtSocialized, BadDebtIncreased.';
comment on column clean.lending_bad_debt.block_number is 'Block height.';
comment on column clean.lending_bad_debt.occurred_at is 'UTC time of the block.';
comment on column clean.lending_bad_debt.borrower is 'Address of the borrower who owed it; null where the protocol has none.';
comment on column clean.lending_bad_debt.debt_token is 'Address in lower case of the token that is owed, or its symbol in lower case where the record of the market gives no address; null where what the market lends is not on record (marts ask what was read of the market).';
comment on column clean.lending_bad_debt.debt_amount_raw is 'Bad debt in the token''s smallest unit, decimal text (exceeds 64 bits).';
comment on column clean.lending_bad_debt.debt_usd is 'Bad debt in US dollars as the event states it; null where it states none (marts price it).';
comment on column clean.lending_bad_debt.debt_value is 'Bad debt as the event states it in value_unit; null where it states dollars or nothing.';
comment on column clean.lending_bad_debt.value_unit is 'Canonical ticker that debt_value counts (ETH, BTC, WSTETH; marts price it); null where there is none.';
comment on column clean.lending_bad_debt.price_source is 'event where the event states a value; else null.';
comment on column clean.lending_bad_debt.price_gap_seconds is 'Age of that price at the event in seconds.';
comment on column clean.lending_bad_debt.completeness is 'full, or sampled where the source holds only part of the events of its span.';
comment on column clean.lending_bad_debt.trade_date is 'UTC day of occurred_at.';
comment on column clean.lending_bad_debt.source is 'Module and dataset the row came from, for example evm_ethereum.aave.';
comment on column clean.lending_bad_debt.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.lending_bad_debt.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.lending_bad_debt.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
