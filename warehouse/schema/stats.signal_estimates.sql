-- key: hypothesis_id, judged_on, sample
create table if not exists stats.signal_estimates (
    hypothesis_id varchar not null,
    judged_on date not null,
    sample varchar not null check (sample in ('record', 'unseen')),
    first_day date,
    last_day date,
    days_known bigint not null,
    n_events bigint not null,
    n_days bigint not null,
    n_assets bigint not null,
    effect double,
    se_calendar double,
    se_ewc double,
    ewc_terms bigint,
    p_calendar double,
    p_ewc double,
    p_shift double,
    p double,
    ci_low double,
    ci_high double,
    ci90_low double,
    ci90_high double,
    mde double,
    n_eff double,
    effect_first_half double,
    effect_second_half double,
    effect_bull double,
    effect_bear double,
    effect_calm double,
    effect_storm double,
    placebo_rejection_share double,
    is_input_missing boolean not null,
    available_at timestamp,
    input_digest varchar not null,
    method_version varchar not null
);
comment on table stats.signal_estimates is 'Effect of each hypothesis with its errors, as judged at the end of each month from the days until then; written by the step of statistics between two runs of dbt.';
comment on column stats.signal_estimates.hypothesis_id is 'Id of the hypothesis in the seed signal_hypotheses.';
comment on column stats.signal_estimates.judged_on is 'Last day of the month; nothing later is used.';
comment on column stats.signal_estimates.sample is 'record: every day until then; unseen: the days after the seen_through of the hypothesis.';
comment on column stats.signal_estimates.first_day is 'First day of the sample on which the signal was known.';
comment on column stats.signal_estimates.last_day is 'Last day of the sample with an outcome.';
comment on column stats.signal_estimates.days_known is 'Days of the sample on which the signal was known for at least one asset.';
comment on column stats.signal_estimates.n_events is 'Asset-days with the signal on whose outcomes are all known.';
comment on column stats.signal_estimates.n_days is 'Days with at least one of these events.';
comment on column stats.signal_estimates.n_assets is 'Assets with at least one of these events.';
comment on column stats.signal_estimates.effect is 'Mean outcome of the events over the horizon (returns), or the coefficient of the signal (risk); natural log.';
comment on column stats.signal_estimates.se_calendar is 'Standard error of the calendar-time portfolio under no effect; null for risk.';
comment on column stats.signal_estimates.se_ewc is 'Standard error by equally weighted cosine terms of the daily series.';
comment on column stats.signal_estimates.ewc_terms is 'Number of cosine terms, the degrees of freedom of t.';
comment on column stats.signal_estimates.p_calendar is 'Two-sided p-value of the calendar-time error; null for risk.';
comment on column stats.signal_estimates.p_ewc is 'Two-sided p-value of the cosine error with its t distribution.';
comment on column stats.signal_estimates.p_shift is 'Share of circular shifts of the signal with a statistic as large; null where shifts are not made.';
comment on column stats.signal_estimates.p is 'The larger of the p-values that judge: calendar and cosine for returns, cosine and shift for risk.';
comment on column stats.signal_estimates.ci_low is 'Lower end of the 95% interval, from the larger standard error.';
comment on column stats.signal_estimates.ci_high is 'Upper end of the 95% interval.';
comment on column stats.signal_estimates.ci90_low is 'Lower end of the 90% interval.';
comment on column stats.signal_estimates.ci90_high is 'Upper end of the 90% interval.';
comment on column stats.signal_estimates.mde is 'Effect that a test of 5% finds in 80% of cases.';
comment on column stats.signal_estimates.n_eff is 'Independent events the sample is worth: variance of the outcomes over the squared standard error.';
comment on column stats.signal_estimates.effect_first_half is 'Effect of the events in the first half of the days.';
comment on column stats.signal_estimates.effect_second_half is 'Effect of the events in the second half of the days.';
comment on column stats.signal_estimates.effect_bull is 'Effect of the events after 90 days in which bitcoin rose.';
comment on column stats.signal_estimates.effect_bear is 'Effect of the events after 90 days in which bitcoin fell.';
comment on column stats.signal_estimates.effect_calm is 'Effect of the events while the volatility of the market was at or below its median of 365 days.';
comment on column stats.signal_estimates.effect_storm is 'Effect of the events while the volatility of the market was above that median.';
comment on column stats.signal_estimates.placebo_rejection_share is 'Share of circular shifts of the signal with p below 0.05; about 0.05 where the test is honest.';
comment on column stats.signal_estimates.is_input_missing is 'True where the signal was known on no day of the sample.';
comment on column stats.signal_estimates.available_at is 'Latest available_at of the rows used.';
comment on column stats.signal_estimates.input_digest is 'Digest of everything the row follows from; a row whose digest is the same is not computed again.';
comment on column stats.signal_estimates.method_version is 'Version of the method.';
