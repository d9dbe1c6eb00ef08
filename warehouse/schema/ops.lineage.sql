-- key: source, table_name, trade_date, landing_id
create table if not exists ops.lineage (
    source varchar not null,
    table_name varchar not null,
    trade_date date,
    landing_id varchar not null,
    received bigint not null,
    accepted bigint not null,
    check (accepted >= 0 and received >= accepted)
);
comment on table ops.lineage is 'Which landings hold rows of a partition: the way from a number in a mart back to a file.';
comment on column ops.lineage.source is 'Module and dataset.';
comment on column ops.lineage.table_name is 'Clean table, without schema.';
comment on column ops.lineage.trade_date is 'UTC day of the rows; null where the day could not be read.';
comment on column ops.lineage.landing_id is 'Landing the rows were read from.';
comment on column ops.lineage.received is 'Rows of the partition read from this landing.';
comment on column ops.lineage.accepted is 'Rows of the partition in the clean table that came from this landing.';
