-- The last judgment of signal_scorecard, a row per hypothesis.
select
    hypothesis_id,
    judged_on,
    signal,
    target,
    horizon_days,
    asset_group,
    family,
    expected_sign,
    effect,
    ci_low,
    ci_high,
    p,
    q,
    mde,
    smallest_effect,
    n_events,
    n_days,
    days_known,
    looks_in_a_row,
    verdict,
    verdict_reason,
    available_at
from marts.signal_scorecard
qualify row_number() over (partition by hypothesis_id order by judged_on desc) = 1
