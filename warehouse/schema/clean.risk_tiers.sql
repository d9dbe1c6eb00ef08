-- key: source, venue, instrument, schedule, tier, snapshot_at
-- day: snapshot_at
-- coverage: venue; instrument; schedule; captures
create table if not exists clean.risk_tiers (
    venue varchar not null,
    instrument varchar not null,
    schedule varchar not null,
    tier int not null,
    snapshot_at timestamp not null,
    lower_bound double not null,
    upper_bound double,
    bound_unit varchar not null,
    lower_bound_usd double,
    upper_bound_usd double,
    lower_bound_base double,
    upper_bound_base double,
    max_leverage double not null,
    initial_margin_rate double,
    maintenance_margin_rate double not null,
    maintenance_deduction double,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> '' and schedule <> ''),
    check (tier > 0),
    check (lower_bound >= 0 and isfinite(lower_bound)),
    check (upper_bound > lower_bound and isfinite(upper_bound)),
    check (bound_unit in ('contracts', 'base', 'quote')),
    check (lower_bound_usd >= 0 and isfinite(lower_bound_usd)),
    check (upper_bound_usd > 0 and isfinite(upper_bound_usd)),
    check (lower_bound_base >= 0 and isfinite(lower_bound_base)),
    check (upper_bound_base > 0 and isfinite(upper_bound_base)),
    check (max_leverage > 0 and max_leverage <= 1001),
    check (initial_margin_rate > 0 and initial_margin_rate <= 1),
    check (maintenance_margin_rate > 0 and maintenance_margin_rate <= 1),
    check (maintenance_deduction >= 0 and isfinite(maintenance_deduction))
);
comment on table clean.risk_tiers is 'One tier of a venue''s risk limits as captured at an instant: the leverage and margin asked of positions of a size.';
comment on column clean.risk_tiers.venue is 'Venue id.';
comment on column clean.risk_tiers.instrument is 'The venue''s own symbol.';
comment on column clean.risk_tiers.schedule is 'Which of the venue''s tables: default, or the clients it holds for, such as retail.';
comment on column clean.risk_tiers.tier is 'Number of the tier by size of the position, from 1.';
comment on column clean.risk_tiers.snapshot_at is 'UTC instant of the capture.';
comment on column clean.risk_tiers.lower_bound is 'Smallest position of the tier, as published, in bound_unit.';
comment on column clean.risk_tiers.upper_bound is 'Largest position of the tier, as published, in bound_unit; null where the venue states none.';
comment on column clean.risk_tiers.bound_unit is 'contracts, base (coin of the instrument) or quote (value in the quote currency).';
comment on column clean.risk_tiers.lower_bound_usd is 'lower_bound in dollars; null where it is in coins or in no dollar currency. USDT and other dollar stablecoins count as a dollar.';
comment on column clean.risk_tiers.upper_bound_usd is 'upper_bound in dollars, null likewise.';
comment on column clean.risk_tiers.lower_bound_base is 'lower_bound in coins of the asset; null where it is in dollars.';
comment on column clean.risk_tiers.upper_bound_base is 'upper_bound in coins of the asset, null likewise.';
comment on column clean.risk_tiers.max_leverage is 'Largest leverage of a position of the tier.';
comment on column clean.risk_tiers.initial_margin_rate is 'Margin to open, as a fraction of the position''s value; null where only the leverage is published.';
comment on column clean.risk_tiers.maintenance_margin_rate is 'Margin below which a position of the tier is liquidated, as a fraction of its value.';
comment on column clean.risk_tiers.maintenance_deduction is 'Taken from value times rate, so that lower tiers keep their own rates; in the currency of the margin. Null where not published.';
comment on column clean.risk_tiers.trade_date is 'UTC day of snapshot_at.';
comment on column clean.risk_tiers.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.risk_tiers.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.risk_tiers.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.risk_tiers.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
