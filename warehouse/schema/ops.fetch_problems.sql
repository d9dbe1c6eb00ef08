-- key: venue, noted_on, line
create table if not exists ops.fetch_problems (
    venue varchar not null,
    noted_on date not null,
    line bigint not null,
    noted_at timestamp not null,
    source varchar,
    partition varchar,
    subject varchar,
    problem varchar not null,
    effect varchar not null,
    detail varchar not null,
    check (problem in ('throttled', 'unavailable', 'blocked', 'no_longer_available', 'refused', 'malformed', 'checksum', 'empty_answer', 'broken_off',
        'clock', 'other')),
    check (effect in ('asked_again', 'given_up', 'settled', 'noted')),
    check (line >= 1)
);
comment on table ops.fetch_problems is 'One row per answer of a venue that was not taken or is a warning, as the journal of fetching noted it: a failed fetch leaves no landing.';
comment on column ops.fetch_problems.venue is 'Venue that was asked.';
comment on column ops.fetch_problems.noted_on is 'UTC day on which it was noted.';
comment on column ops.fetch_problems.line is 'Line in the journal of the venue and day, from 1.';
comment on column ops.fetch_problems.noted_at is 'UTC instant at which it was noted.';
comment on column ops.fetch_problems.source is 'Module and dataset that was being fetched; null where it is about the venue as a whole.';
comment on column ops.fetch_problems.partition is 'Day or month that was being fetched.';
comment on column ops.fetch_problems.subject is 'What was asked for: an instrument, or * for the whole venue.';
comment on column ops.fetch_problems.problem is 'throttled, unavailable (no whole answer), blocked, no_longer_available (the venue does not keep it any more), refused, malformed (not the format of the venue), checksum (a file is not what its digest says), empty_answer (rows came only when asked again), broken_off (a stream that ended early), clock (its time is more than a minute from that of this machine) or other.';
comment on column ops.fetch_problems.effect is 'asked_again: repeated in the same run. given_up: the run ended without it, and the next one asks again. settled: final, no run asks again. noted: a warning, the answer was taken.';
comment on column ops.fetch_problems.detail is 'What the venue said or did, without secrets.';
