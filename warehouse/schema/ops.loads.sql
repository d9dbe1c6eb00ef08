-- key: load_seq, source, table_name, trade_date
create table if not exists ops.loads (
    load_seq bigint not null,
    source varchar not null,
    table_name varchar not null,
    trade_date date,
    received bigint not null,
    accepted bigint not null,
    duplicates bigint not null,
    restated bigint not null,
    quarantined bigint not null,
    absent_cells bigint not null,
    outside_span bigint not null,
    ignored bigint not null,
    ignored_by varchar,
    loaded_at timestamp not null,
    code_version varchar,
    schema_version varchar,
    parser_version bigint,
    check (received = accepted + duplicates + quarantined),
    check (restated <= duplicates),
    check (accepted >= 0 and duplicates >= 0 and quarantined >= 0 and absent_cells >= 0 and outside_span >= 0 and ignored >= 0)
);
comment on table ops.loads is 'One row per load of a partition (source, table, day), kept as a log; the newest load_seq of a partition is its present state.';
comment on column ops.loads.load_seq is 'Number of the load, rising by one per transaction.';
comment on column ops.loads.source is 'Module and dataset.';
comment on column ops.loads.table_name is 'Clean table, without schema.';
comment on column ops.loads.trade_date is 'UTC day of the rows; null collects rows whose day could not be read.';
comment on column ops.loads.received is 'Rows read from the landing.';
comment on column ops.loads.accepted is 'Rows now in the clean table.';
comment on column ops.loads.duplicates is 'Rows dropped because the same key was accepted from an equal row or a newer landing.';
comment on column ops.loads.restated is 'Part of duplicates whose values differed: a newer landing replaced an older one''s row.';
comment on column ops.loads.quarantined is 'Rows kept in ops.quarantine instead.';
comment on column ops.loads.absent_cells is 'Cells of the day that the source''s null rule says hold no value; they are not rows and not received.';
comment on column ops.loads.outside_span is 'Records of the loaded landings that lie outside the span they were asked for and belong to other landings; in the row of the earliest day of the load, and no part of received, which counts rows.';
comment on column ops.loads.ignored is 'Records of the loaded landings that a named rule leaves out, such as ordinary trades beside liquidations; in the row of the earliest day of the load, and no part of received.';
comment on column ops.loads.ignored_by is 'Number of ignored records by rule, as JSON; docs/quality.md has the rules.';
comment on column ops.loads.loaded_at is 'UTC instant of the load.';
comment on column ops.loads.code_version is 'Version of the package and digest of the code that loaded it; null: before this was recorded.';
comment on column ops.loads.schema_version is 'Version of names, types and meanings of tables and columns; null: before this was recorded.';
comment on column ops.loads.parser_version is 'Version of the parser of the source: a landing is read again once it has changed. Null: before this was recorded.';
