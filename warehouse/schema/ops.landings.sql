-- key: landing_id
create table if not exists ops.landings (
    landing_id varchar not null,
    source varchar not null,
    partition varchar not null,
    part varchar not null,
    version bigint not null,
    is_current boolean not null,
    path varchar not null,
    original_name varchar not null,
    sha256 varchar not null,
    bytes bigint not null,
    fetched_at timestamp not null,
    completeness varchar not null,
    request varchar not null,
    parser_version bigint,
    check (completeness in ('complete', 'empty', 'partial', 'not_yet_published', 'unreadable')),
    check (bytes >= 0 and version >= 1),
    check (regexp_full_match(sha256, '[0-9a-f]{64}'))
);
comment on table ops.landings is 'One row per landed version of a part: what was received, from where, and where the bytes lie.';
comment on column ops.landings.landing_id is 'Id of this version; clean rows carry it.';
comment on column ops.landings.source is 'Module and dataset, for example files.liquity_v1.';
comment on column ops.landings.partition is 'Day (YYYY-MM-DD) for scheduled sources, history for imported files.';
comment on column ops.landings.part is 'What was fetched inside the partition: a file name, an instrument.';
comment on column ops.landings.version is 'Counts the versions of (source, partition, part) from 1; a restated part is a new version.';
comment on column ops.landings.is_current is 'True for the newest version, the one clean rows are built from.';
comment on column ops.landings.path is 'Where the bytes lie, relative to LEVERHOUSE_HOME.';
comment on column ops.landings.original_name is 'File name or address it came from, without secrets.';
comment on column ops.landings.sha256 is 'Digest of the bytes as received.';
comment on column ops.landings.bytes is 'Size as received.';
comment on column ops.landings.fetched_at is 'UTC instant it was received.';
comment on column ops.landings.completeness is 'complete, empty (the source says there is nothing), partial, not_yet_published, or unreadable (kept as it came because the parser of its day could not read it; listed here once a later one could).';
comment on column ops.landings.request is 'Request parameters as JSON, without secrets.';
comment on column ops.landings.parser_version is 'Version of the parser that loaded it, if it is current; the next load reads it again where that has changed. Null: before this was recorded.';
