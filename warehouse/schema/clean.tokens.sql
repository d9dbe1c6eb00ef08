-- key: source, chain, token, named_at
-- day: named_at
-- coverage: none
create table if not exists clean.tokens (
    chain varchar not null,
    token varchar not null,
    named_at timestamp not null,
    symbol varchar,
    decimals int,
    underlying_token varchar,
    read_at timestamp not null,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (regexp_full_match(token, '0x[0-9a-f]{40}')),
    check (regexp_full_match(underlying_token, '0x[0-9a-f]{40}')),
    check (decimals >= 0 and decimals <= 77)
);
comment on table clean.tokens is 'What the contract of a token says of itself, read from a node for tokens that events name and the registry does not list.';
comment on column clean.tokens.chain is 'Chain id.';
comment on column clean.tokens.token is 'Token address in lower case.';
comment on column clean.tokens.named_at is 'UTC time of the first event of the landing that names it.';
comment on column clean.tokens.symbol is 'What symbol() answers, a string or 32 bytes; null where it answers neither. Anyone may call a token anything.';
comment on column clean.tokens.decimals is 'What decimals() answers; null where it answers nothing.';
comment on column clean.tokens.underlying_token is 'What underlying() answers: the token that a cToken or its kin is redeemed for; null where it is none of them.';
comment on column clean.tokens.read_at is 'UTC instant at which the node answered.';
comment on column clean.tokens.trade_date is 'UTC day of named_at.';
comment on column clean.tokens.source is 'Module and dataset the row came from, for example evm_ethereum.aave.';
comment on column clean.tokens.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.tokens.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.tokens.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
