-- key: model, load_seq
create table if not exists ops.model_watermarks (
    model varchar not null,
    load_seq bigint not null,
    built_at timestamp not null,
    sql_version varchar
);
comment on table ops.model_watermarks is 'How far each incremental model has consumed ops.loads; written in the same transaction as the model.';
comment on column ops.model_watermarks.model is 'Name of the dbt model.';
comment on column ops.model_watermarks.load_seq is 'Highest load_seq the model has been built from.';
comment on column ops.model_watermarks.built_at is 'UTC instant of the build.';
comment on column ops.model_watermarks.sql_version is 'Digest of the SQL, macros and seeds the model was built from; null until the build has ended, or before this was recorded.';
