-- key: asset, side, trade_date
create table if not exists stats.liquidation_skill_daily (
    asset varchar not null,
    side varchar not null check (side in ('long', 'short')),
    trade_date date not null,
    assets bigint not null,
    realized_share double,
    expected_map_share double,
    expected_distance_share double,
    expected_climatology_share double,
    loss_map double not null,
    loss_distance double not null,
    loss_climatology double not null,
    skill_180d double,
    skill_low double,
    skill_high double,
    skill_days bigint not null,
    available_at timestamp not null
);
comment on table stats.liquidation_skill_daily is 'What the map of the day before expected of a day and what was liquidated, with losses and the skill of 180 days; written by the step of statistics.';
comment on column stats.liquidation_skill_daily.asset is 'Canonical ticker of the asset; * for all together.';
comment on column stats.liquidation_skill_daily.side is 'Side of the position.';
comment on column stats.liquidation_skill_daily.trade_date is 'Day scored.';
comment on column stats.liquidation_skill_daily.assets is 'Assets in the row.';
comment on column stats.liquidation_skill_daily.realized_share is 'Liquidated over open interest of the day before; null for all together.';
comment on column stats.liquidation_skill_daily.expected_map_share is 'What the map expected given how far the price went, over open interest.';
comment on column stats.liquidation_skill_daily.expected_distance_share is 'What distance alone expected.';
comment on column stats.liquidation_skill_daily.expected_climatology_share is 'Mean of the 180 days before.';
comment on column stats.liquidation_skill_daily.loss_map is 'Poisson deviance of the map, in units of the mean of the 180 days before.';
comment on column stats.liquidation_skill_daily.loss_distance is 'The same of distance alone.';
comment on column stats.liquidation_skill_daily.loss_climatology is 'The same of the mean.';
comment on column stats.liquidation_skill_daily.skill_180d is '1 less loss of the map over loss of distance, in the last 180 days scored; null below 30.';
comment on column stats.liquidation_skill_daily.skill_low is 'Lower end of its 95% interval.';
comment on column stats.liquidation_skill_daily.skill_high is 'Upper end of its 95% interval.';
comment on column stats.liquidation_skill_daily.skill_days is 'Days in it.';
comment on column stats.liquidation_skill_daily.available_at is 'Latest available_at of the rows used.';
