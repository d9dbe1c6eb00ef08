-- key: landing_id
create table if not exists ops.refused_landings (
    landing_id varchar not null,
    source varchar not null,
    partition varchar not null,
    part varchar not null,
    reason varchar not null,
    detail varchar not null,
    page varchar,
    sample varchar not null,
    reader_version varchar not null,
    refused_at timestamp not null,
    check (reason in ('altered', 'unreadable', 'limit', 'contract', 'gate'))
);
comment on table ops.refused_landings is 'One row per landing that is not loaded because something in it is wrong; all other landings of its source are.';
comment on column ops.refused_landings.landing_id is 'Id of the refused landing; the argument of leverhouse landing show, accept and forget.';
comment on column ops.refused_landings.source is 'Module and dataset.';
comment on column ops.refused_landings.partition is 'Day, month or range it holds; history for imported files.';
comment on column ops.refused_landings.part is 'Part of the partition: a file name, all, or the time of a capture.';
comment on column ops.refused_landings.reason is 'altered (its bytes are missing or not those received), unreadable (the parser failed on it), limit (it exceeds a limit of docs/limits.md), contract (its rows do not fit the clean table) or gate (a check of severity error failed on it).';
comment on column ops.refused_landings.detail is 'What was wrong, in the words of the parser or the check.';
comment on column ops.refused_landings.page is 'The response or file in it at which reading stopped, where known.';
comment on column ops.refused_landings.sample is 'Up to ten offending values, as JSON.';
comment on column ops.refused_landings.reader_version is 'Version of the code that read it; it is read again once that has changed.';
comment on column ops.refused_landings.refused_at is 'UTC instant of the refusal.';
