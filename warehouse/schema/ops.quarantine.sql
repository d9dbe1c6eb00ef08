-- key: landing_id, table_name, line, field, reason
create table if not exists ops.quarantine (
    source varchar not null,
    table_name varchar not null,
    trade_date date,
    landing_id varchar not null,
    line bigint not null,
    field varchar,
    instrument varchar,
    reason varchar not null,
    detail varchar not null,
    raw varchar not null,
    loaded_at timestamp not null
);
comment on table ops.quarantine is 'Rows that were received and not accepted, kept whole with the reason.';
comment on column ops.quarantine.source is 'Module and dataset.';
comment on column ops.quarantine.table_name is 'Clean table the row was meant for.';
comment on column ops.quarantine.trade_date is 'UTC day of the row; null where it could not be read.';
comment on column ops.quarantine.landing_id is 'Landing the row was read from.';
comment on column ops.quarantine.line is 'Line of the file (CSV, JSON lines; the header is line 1) or record number from 1 (Parquet, JSON).';
comment on column ops.quarantine.field is 'Column or field at fault, or the wide column the row came from; null where the whole row is meant.';
comment on column ops.quarantine.instrument is 'Instrument of the row where it could be read.';
comment on column ops.quarantine.reason is 'unparsable, sentinel, contract, conflicting_duplicate, unknown_instrument, undecodable.';
comment on column ops.quarantine.detail is 'What was wrong, with column and value.';
comment on column ops.quarantine.raw is 'The row as received (or as parsed, for rules that look at parsed values), as JSON.';
comment on column ops.quarantine.loaded_at is 'UTC instant of the load.';
