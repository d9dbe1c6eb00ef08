-- key: load_seq, source, table_name, check_name
create table if not exists ops.check_results (
    load_seq bigint not null,
    source varchar not null,
    table_name varchar not null,
    check_name varchar not null,
    severity varchar not null,
    passed boolean not null,
    observed varchar not null,
    sample varchar not null,
    checked_at timestamp not null,
    check (severity in ('error', 'warn'))
);
comment on table ops.check_results is 'Outcome of every expectation of the gate of every load.';
comment on column ops.check_results.load_seq is 'Load the batch belonged to; for a refused batch, the number it would have had.';
comment on column ops.check_results.source is 'Module and dataset.';
comment on column ops.check_results.table_name is 'Clean table, without schema.';
comment on column ops.check_results.check_name is 'Name of the expectation.';
comment on column ops.check_results.severity is 'error refuses the batch, except second_source_level, which refuses nothing; warn is recorded only.';
comment on column ops.check_results.passed is 'True where the expectation held.';
comment on column ops.check_results.observed is 'What was observed, as JSON: counts, values.';
comment on column ops.check_results.sample is 'Up to ten offending values or rows, as JSON.';
comment on column ops.check_results.checked_at is 'UTC instant of the check.';
