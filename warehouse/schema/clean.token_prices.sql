-- key: source, chain, token, priced_at
-- day: priced_at
-- coverage: chain; token; price_source; captures
create table if not exists clean.token_prices (
    chain varchar not null,
    token varchar not null,
    priced_at timestamp not null,
    price_usd double not null,
    decimals int,
    price_source varchar not null,
    confidence double,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (chain <> '' and token <> '' and price_source <> ''),
    check (price_usd > 0 and isfinite(price_usd)),
    check (decimals >= 0 and decimals <= 77),
    check (confidence >= 0 and confidence <= 1)
);
comment on table clean.token_prices is 'Price of a token at an instant.';
comment on column clean.token_prices.chain is 'Chain id.';
comment on column clean.token_prices.token is 'Token address in lower case, or its symbol in lower case where the source gives no address.';
comment on column clean.token_prices.priced_at is 'UTC instant of the price.';
comment on column clean.token_prices.price_usd is 'US dollars per whole token.';
comment on column clean.token_prices.decimals is 'Decimals of the token; null where the source does not say.';
comment on column clean.token_prices.price_source is 'Who published the price.';
comment on column clean.token_prices.confidence is 'How sure the publisher is of the price, from 0 to 1; null where it does not say.';
comment on column clean.token_prices.trade_date is 'UTC day of priced_at.';
comment on column clean.token_prices.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.token_prices.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.token_prices.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.token_prices.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
