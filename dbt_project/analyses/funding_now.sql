-- Question: Which funding regime is each asset in now, for how long, and how far is funding above neutral?
-- Unit: one row per asset; rates are fractions per year, without compounding.
-- Trust: the day is that of trade_date, the newest that is known of the asset. Regimes change only after several
-- settlements in a row, so days_in_regime is never the age of a single print.
select
    asset,
    trade_date,
    regime,
    days_in_regime,
    funding_rate_annual,
    excess_rate_annual,
    excess_rate_percentile_90d
from {{ ref('latest_by_asset') }}
order by excess_rate_annual desc nulls last, asset asc
