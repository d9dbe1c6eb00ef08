-- key: input
create table if not exists ops.build_inputs (
    input varchar not null,
    mark varchar not null,
    is_complete boolean not null,
    noted_at timestamp not null
);
comment on table ops.build_inputs is 'What the last build of the marts read and what it is still to build; empty while a build goes on and after one that failed, so that the next one builds everything.';
comment on column ops.build_inputs.input is 'What was read: code, clock, a source table (source.…), a model that decides by its rows whether others are built (model.…), or plan: what is left to build.';
comment on column ops.build_inputs.mark is 'Its state when the build began: number of the newest load, or a digest of its rows.';
comment on column ops.build_inputs.is_complete is 'Whether the build ended without a fault.';
comment on column ops.build_inputs.noted_at is 'UTC instant of the note.';
