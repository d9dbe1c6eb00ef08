-- key: source, venue, instrument, kind, settled_at
-- day: settled_at
-- coverage: venue; instrument; kind; interval
create table if not exists clean.funding_rates (
    venue varchar not null,
    instrument varchar not null,
    kind varchar not null,
    settled_at timestamp not null,
    rate double not null,
    interval_hours double,
    mark_price double,
    trade_date date not null,
    source varchar not null,
    landing_id varchar not null,
    available_at timestamp not null,
    loaded_at timestamp not null,
    check (venue <> '' and instrument <> ''),
    check (kind in ('settled', 'predicted', 'special')),
    check (abs(rate) <= 0.5 and isfinite(rate)),
    check (interval_hours > 0 and interval_hours <= 24),
    check (mark_price > 0 and isfinite(mark_price))
);
comment on table clean.funding_rates is 'One funding settlement (or prediction) of a perpetual.';
comment on column clean.funding_rates.venue is 'Venue id.';
comment on column clean.funding_rates.instrument is 'The venue''s own symbol.';
comment on column clean.funding_rates.kind is 'settled, predicted, or special: a payment beside the regular one of its settlement, which is no rate of the interval.';
comment on column clean.funding_rates.settled_at is 'UTC settlement time rounded to the whole minute: venues stamp with tens to hundreds of milliseconds of jitter.';
comment on column clean.funding_rates.rate is 'Funding rate as a fraction per interval; positive means longs pay shorts.';
comment on column clean.funding_rates.interval_hours is 'Interval in hours the source states for this rate; null where it states none (marts observe the gap).';
comment on column clean.funding_rates.mark_price is 'Mark price at settlement; null where not published.';
comment on column clean.funding_rates.trade_date is 'UTC day of settled_at.';
comment on column clean.funding_rates.source is 'Module and dataset the row came from, for example files.liquity_v1.';
comment on column clean.funding_rates.landing_id is 'Landing manifest the row was read from (ops.landings).';
comment on column clean.funding_rates.available_at is 'Earliest UTC instant at which the row could have been known.';
comment on column clean.funding_rates.loaded_at is 'UTC instant of the load; excluded from fingerprints.';
