-- Each hypothesis of the seed has a row in every month judged, whether or not it could be tested. Rows that lack.
with months as (
    select distinct judged_on from {{ ref('signal_scorecard') }}
)

select
    hypotheses.hypothesis_id,
    months.judged_on
from {{ ref('signal_hypotheses') }} as hypotheses
cross join months
left join {{ ref('signal_scorecard') }} as judged
    on hypotheses.hypothesis_id = judged.hypothesis_id and months.judged_on = judged.judged_on
where judged.hypothesis_id is null
