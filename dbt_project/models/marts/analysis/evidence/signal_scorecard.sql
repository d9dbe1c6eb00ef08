-- What the estimates say about each hypothesis. Estimates come from the step of statistics; here are the false
-- discovery rate of a month's family, the looks in a row and the verdict.
with hypotheses as (
    select * from {{ ref('signal_hypotheses') }}
),

record as (
    select * from {{ ref('int_signal_estimates') }}
    where sample = 'record'
),

-- Who had looked at the record before writing a hypothesis down is judged by later days only.
counted as (
    select
        e.*,
        e.days_known >= {{ threshold('evidence_days_min') }}
        and e.n_days >= {{ threshold('evidence_event_days_min') }}
        and e.p is not null as is_testable
    from {{ ref('int_signal_estimates') }} as e
    inner join hypotheses as h on e.hypothesis_id = h.hypothesis_id
    where e.sample = case when h.seen_through is null then 'record' else 'unseen' end
),

ranked as (
    select
        c.hypothesis_id,
        c.judged_on,
        c.p,
        h.family,
        row_number() over (partition by c.judged_on, h.family order by c.p, c.hypothesis_id) as p_rank,
        count(*) over (partition by c.judged_on, h.family) as family_size
    from counted as c
    inner join hypotheses as h on c.hypothesis_id = h.hypothesis_id
    where c.is_testable
),

-- Benjamini and Hochberg: the least of p · size / rank over this and every larger p.
adjusted as (
    select
        hypothesis_id,
        judged_on,
        family_size,
        least(
            1e0,
            min(p * (family_size / cast(p_rank as double))) over (
                partition by judged_on, family
                order by p_rank desc rows between unbounded preceding and current row
            )
        ) as q
    from ranked
),

looked as (
    select
        c.hypothesis_id,
        c.judged_on,
        c.is_testable,
        adjusted.q,
        adjusted.family_size,
        case
            when
                adjusted.q <= {{ threshold('evidence_false_discovery_rate') }}
                and (c.ci_low > 0 or c.ci_high < 0)
                and sign(c.effect_first_half) = sign(c.effect)
                and sign(c.effect_second_half) = sign(c.effect)
                then cast(sign(c.effect) as int)
            else 0
        end as found_sign,
        row_number() over (partition by c.hypothesis_id order by c.judged_on) as look_no
    from counted as c
    left join adjusted on c.hypothesis_id = adjusted.hypothesis_id and c.judged_on = adjusted.judged_on
),

runs as (
    select
        *,
        coalesce(found_sign <> lag(found_sign) over (partition by hypothesis_id order by look_no), true) as starts
    from looked
),

in_a_row as (
    select
        *,
        case when found_sign = 0 then 0 else
            {{ stats_run_length('look_no', 'starts', 'so_far') }}
        end as looks_in_a_row
    from runs
    window so_far as (partition by hypothesis_id order by look_no rows between unbounded preceding and current row)
),

judged as (
    select
        h.*,
        record.judged_on,
        record.first_day,
        record.last_day,
        record.days_known,
        record.n_events,
        record.n_days,
        record.n_assets,
        record.n_eff,
        record.effect,
        record.ci_low,
        record.ci_high,
        record.p_calendar,
        record.p_ewc,
        record.p_shift,
        record.p,
        record.mde,
        record.effect_first_half,
        record.effect_second_half,
        record.effect_bull,
        record.effect_bear,
        record.effect_calm,
        record.effect_storm,
        record.placebo_rejection_share,
        record.method_version,
        record.available_at,
        counted.is_input_missing,
        counted.days_known as counted_days,
        counted.n_days as counted_event_days,
        counted.n_events as counted_events,
        counted.effect as counted_effect,
        counted.ci_low as counted_ci_low,
        counted.ci_high as counted_ci_high,
        counted.ci90_low as counted_ci90_low,
        counted.ci90_high as counted_ci90_high,
        counted.p as counted_p,
        counted.mde as counted_mde,
        in_a_row.is_testable,
        in_a_row.q,
        coalesce(in_a_row.family_size, 0) as family_size,
        in_a_row.found_sign,
        in_a_row.looks_in_a_row,
        case
            when not in_a_row.is_testable then 'not_testable'
            when
                in_a_row.found_sign <> 0 and in_a_row.looks_in_a_row >= {{ threshold('evidence_looks_in_a_row') }}
                then case when in_a_row.found_sign = h.expected_sign then 'supported' else 'contradicted' end
            when in_a_row.found_sign <> 0 then 'provisional'
            when counted.ci90_low > -h.smallest_effect and counted.ci90_high < h.smallest_effect
                then 'below_smallest_effect'
            when counted.mde > h.smallest_effect then 'cannot_tell'
            else 'no_evidence'
        end as verdict
    from record
    inner join hypotheses as h on record.hypothesis_id = h.hypothesis_id
    inner join counted on record.hypothesis_id = counted.hypothesis_id and record.judged_on = counted.judged_on
    inner join in_a_row on record.hypothesis_id = in_a_row.hypothesis_id and record.judged_on = in_a_row.judged_on
)

select
    judged.hypothesis_id,
    judged.judged_on,
    judged.signal,
    coalesce(signals.hypothesis, 'none') as hypothesis,
    judged.target,
    judged.horizon_days,
    judged.asset_group,
    judged.family,
    cast(judged.expected_sign as int) as expected_sign,
    judged.effect,
    'natural log' as effect_unit,
    judged.ci_low,
    judged.ci_high,
    judged.p_calendar,
    judged.p_ewc,
    judged.p_shift,
    judged.p,
    judged.mde,
    judged.smallest_effect,
    cast(judged.n_events as bigint) as n_events,
    cast(judged.n_days as bigint) as n_days,
    cast(judged.n_assets as bigint) as n_assets,
    judged.n_eff,
    cast(judged.days_known as bigint) as days_known,
    judged.first_day,
    judged.last_day,
    judged.effect_first_half,
    judged.effect_second_half,
    judged.effect_bull,
    judged.effect_bear,
    judged.effect_calm,
    judged.effect_storm,
    judged.placebo_rejection_share,
    judged.since,
    judged.seen_through,
    cast(judged.counted_days as bigint) as counted_days,
    cast(judged.counted_events as bigint) as counted_events,
    judged.counted_effect,
    judged.counted_ci_low,
    judged.counted_ci_high,
    judged.counted_p,
    judged.counted_mde,
    judged.q,
    cast(judged.family_size as bigint) as family_size,
    cast(judged.looks_in_a_row as bigint) as looks_in_a_row,
    judged.verdict,
    case
        when judged.is_input_missing then concat_ws(
            ' ', 'the signal was known on no day',
            case when judged.seen_through is not null then 'after seen_through' end
        )
        when judged.counted_days < {{ threshold('evidence_days_min') }} then concat_ws(
            ' ', 'known on', cast(judged.counted_days as string), 'days',
            case when judged.seen_through is not null then 'after seen_through' end
        )
        when judged.counted_event_days < {{ threshold('evidence_event_days_min') }} then concat_ws(
            ' ', 'events on', cast(judged.counted_event_days as string), 'days',
            case when judged.seen_through is not null then 'after seen_through' end
        )
        when not judged.is_testable then 'no error can be computed'
        when judged.verdict in ('supported', 'contradicted', 'provisional') then concat_ws(
            ' ', 'effect',
            case when judged.found_sign = judged.expected_sign then 'as expected' else 'against the expectation' end,
            'at', cast(judged.looks_in_a_row as string), 'looks in a row'
        )
        when judged.verdict = 'below_smallest_effect' then 'the interval of 90% lies within the smallest effect'
        when judged.verdict = 'cannot_tell' then 'an effect of the smallest size would not be found in this much data'
        else 'the effect is not told from zero'
    end as verdict_reason,
    judged.method_version,
    -- A month without a row is judged at its end all the same.
    greatest(judged.available_at, cast(judged.judged_on + 1 as timestamp)) as available_at
from judged
left join {{ ref('dim_signal') }} as signals on judged.signal = signals.signal
