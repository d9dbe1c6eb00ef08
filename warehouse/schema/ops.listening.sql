-- key: source, instrument, trade_date
create table if not exists ops.listening (
    source varchar not null,
    venue varchar not null,
    instrument varchar not null,
    trade_date date not null,
    listened_seconds double not null,
    listened_share double not null,
    spans bigint not null,
    refused varchar,
    seconds_at_cap bigint,
    expected_events double,
    check (listened_seconds >= 0 and listened_seconds <= 86400.001),
    check (listened_share >= 0 and listened_share <= 1.00001),
    check (spans >= 0)
);
comment on table ops.listening is 'Seconds that a recorder listened to an instrument of a stream on a day: one row per source, instrument and day, and * for the mean of all.';
comment on column ops.listening.source is 'Venue and stream.';
comment on column ops.listening.venue is 'Venue id.';
comment on column ops.listening.instrument is 'The venue''s symbol; * for the whole stream: the mean over its instruments, or the topic that carries all.';
comment on column ops.listening.trade_date is 'UTC day.';
comment on column ops.listening.listened_seconds is 'Seconds of the day in which some connection was subscribed and showed signs of life; overlapping connections count once.';
comment on column ops.listening.listened_share is 'listened_seconds as a fraction of the day''s 86,400; below 1 on a day that is not over.';
comment on column ops.listening.spans is 'Spans of listening that are left once overlaps are joined: more than one means pauses.';
comment on column ops.listening.refused is 'The venue''s words if it refused a subscription to the instrument that day.';
comment on column ops.listening.seconds_at_cap is 'Of a stream that pushes at most one event per instrument and second: seconds of an instrument with an event, summed; on the row * only.';
comment on column ops.listening.expected_events is 'Of such a stream: events that its seconds with an event let expect (docs/metrics.md); seconds_at_cap of them were pushed; on the row * only.';
