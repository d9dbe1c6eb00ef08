-- key: source, table_name, venue, instrument, series, trade_date
create table if not exists ops.coverage (
    source varchar not null,
    table_name varchar not null,
    venue varchar not null,
    instrument varchar not null,
    series varchar not null,
    trade_date date not null,
    expected bigint,
    present bigint not null,
    quarantined bigint not null,
    status varchar not null,
    reason varchar,
    detail varchar,
    forgotten_on date,
    check (status in ('complete', 'partial', 'missing', 'empty')),
    check (reason in (
        'withdrawn by the venue', 'landing refused', 'quarantined', 'refused: checksum', 'refused: status', 'unreadable answer',
        'no answer in time', 'fetch failed', 'no longer available', 'no file at the venue', 'not in the source',
        'not heard (recorder)', 'never asked', 'not yet published', 'after delisting', 'before listing'
    )),
    check (status = 'complete' or status = 'empty' or reason is not null),
    check (present >= 0 and quarantined >= 0)
);
comment on table ops.coverage is 'Expected against present periods per source, table, instrument and day, with the reason of every gap.';
comment on column ops.coverage.source is 'Module and dataset.';
comment on column ops.coverage.table_name is 'Clean table, without schema.';
comment on column ops.coverage.venue is 'Venue id, or the protocol for lending.';
comment on column ops.coverage.instrument is 'The venue''s symbol; * for event tables, where a day without events is a fact of the source and not of an instrument.';
comment on column ops.coverage.series is 'What tells series of one instrument apart: market and period of candles, measure and period of ratios; empty where nothing does.';
comment on column ops.coverage.trade_date is 'UTC day.';
comment on column ops.coverage.expected is 'Periods a complete day holds; of captures the slots of the day, of the newest day those up to the newest capture; null for event tables, and for captures that came as files.';
comment on column ops.coverage.present is 'Periods (or events) accepted.';
comment on column ops.coverage.quarantined is 'Rows of the day in quarantine.';
comment on column ops.coverage.status is 'complete, partial, missing, or empty (inside the source''s coverage, and nothing happened).';
comment on column ops.coverage.reason is 'Why the day is partial or missing: one of the closed list in docs/quality.md.';
comment on column ops.coverage.detail is 'More about the reason: slots captured, rows in quarantine, the message of the fetch, what a mapping says.';
comment on column ops.coverage.forgotten_on is 'Day from which the venue no longer keeps what is missing; null where nothing is missing, or where that is not known.';
