-- key: asset, side, class_no, valid_from
create table if not exists stats.liquidation_kernel_monthly (
    asset varchar not null,
    side varchar not null check (side in ('long', 'short')),
    class_no integer not null,
    valid_from date not null,
    distance double not null,
    opening_weight double,
    beta double not null,
    beta_distance double not null,
    phi double not null,
    calibration_factor double,
    calibration_distance double,
    training_days bigint not null,
    training_rows bigint not null,
    feed_completeness varchar,
    available_at timestamp not null,
    input_digest varchar not null
);
comment on table stats.liquidation_kernel_monthly is 'How much of what a class of leverage holds is liquidated when the price comes to it, fitted before each month on the days until then; written by the step of statistics.';
comment on column stats.liquidation_kernel_monthly.asset is 'Canonical ticker of the asset; * for the rates all assets share.';
comment on column stats.liquidation_kernel_monthly.side is 'Side of the position.';
comment on column stats.liquidation_kernel_monthly.class_no is 'Class of the seed liquidation_classes; 0 is what is liquidated wherever the price goes.';
comment on column stats.liquidation_kernel_monthly.valid_from is 'First day of the month it is used in.';
comment on column stats.liquidation_kernel_monthly.distance is 'Distance of the class, a fraction; 0 for class 0.';
comment on column stats.liquidation_kernel_monthly.opening_weight is 'Declared part of new positions; null for class 0.';
comment on column stats.liquidation_kernel_monthly.beta is 'Rate of the class in the map, relative to the mean of its asset.';
comment on column stats.liquidation_kernel_monthly.beta_distance is 'Rate of the class where every position is taken as entered at the last close.';
comment on column stats.liquidation_kernel_monthly.phi is 'Share of excess volume that turns positions over.';
comment on column stats.liquidation_kernel_monthly.calibration_factor is 'What makes the map the liquidated share of open interest, from the last 180 days; null where too few are known.';
comment on column stats.liquidation_kernel_monthly.calibration_distance is 'The same for distance alone.';
comment on column stats.liquidation_kernel_monthly.training_days is 'Days the rates were fitted on.';
comment on column stats.liquidation_kernel_monthly.training_rows is 'Asset-days the rates were fitted on.';
comment on column stats.liquidation_kernel_monthly.feed_completeness is 'Poorest feed of liquidations in the calibration of the asset.';
comment on column stats.liquidation_kernel_monthly.available_at is 'Latest available_at of the rows used.';
comment on column stats.liquidation_kernel_monthly.input_digest is 'Digest of everything the fit of the month follows from.';
