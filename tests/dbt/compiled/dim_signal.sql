select
    signal,
    hypothesis,
    title,
    direction,
    cast(case when direction in ('up', 'risk_up') then 1 else -1 end as int) as direction_sign,
    horizon,
    input_marts,
    case signal
        when 'oi_expansion' then 'Growth of open interest since the day before is at least 0.08, and absolute log return of the day is at most 0.5 sigma30'
        when 'oi_expansion_confirmed' then 'Base volume of the day is at least its 0.8 quantile in the 30 days before, and oi_expansion is on'
        when 'bought_dip' then 'Log change of open interest since the day before is above 0.5 sigma_oi, and log return of the day is at most -1 sigma30'
        when 'deleveraging' then 'Log change of open interest since the day before is below -0.5 sigma_oi, and log return of the day is at most -1 sigma30'
        when 'healthy_funding' then 'Mean rate per 8 h of the 7 days before is at least 0.000037, and mean rate per 8 h of the 7 days before is at most 0.000072, and standard deviation of the rate in the 30 days before is below its 0.5 quantile in the 365 days before'
        when 'funding_normalization' then 'Days in a row with a percentile of the excess rate between 10 and 90 is at least 3, and regime of funding is not extreme_positive, and regime of funding is not extreme_negative, and an extreme regime of funding came before, with neither a normalization nor an unknown day since'
        when 'dense_liquidation_zone' then 'Distance of the close to the nearest dense liquidation zone is below 0.02'
        when 'capitulation' then 'Percentile of put/call by open interest among the 90 days before is at least 90, and percentile of the long share of accounts among the 90 days before is at least 70, and change of open interest over 7 days is below 0'
        when 'upside_setup' then 'Percentile of the z-score of open interest among the 90 days before is at least 80, and percentile of the excess rate among the 90 days before is at most 20'
        when 'extreme_positive_funding' then 'Percentile of the excess rate among the 90 days before is at least 97.5, and excess rate per 8 h is above 0.00001, 3 times in a row; it ends when another regime comes 3 times in a row and none of them has percentile of the excess rate among the 90 days before >= 90'
        when 'extreme_negative_funding' then 'Percentile of the excess rate among the 90 days before is at most 2.5, and excess rate per 8 h is below -0.00001, 3 times in a row; it ends when another regime comes 3 times in a row and none of them has percentile of the excess rate among the 90 days before <= 10'
        when 'top_risk' then 'Percentile of the z-score of open interest among the 90 days before is at least 80, and percentile of the excess rate among the 90 days before is at least 80'
        when 'bottom_zone' then 'Percentile of the z-score of open interest among the 90 days before is at most 20, and percentile of the excess rate among the 90 days before is at most 20'
        when 'large_liquidations' then 'Liquidated notional of the day is above its 0.975 quantile in the 90 days before, or number of cascades by the minute (where single liquidations are known) is above 0'
        when 'systemic_risk' then 'Systemic-risk score is at least 72'
        when 'long_crowded' then 'Percentile of the long share of accounts among the 90 days before is at least 97.5'
        when 'short_crowded' then 'Percentile of the long share of accounts among the 90 days before is at most 2.5'
        when 'lending_stress' then 'Z-score of lending liquidations less that of exchange liquidations is at least 1, and z-score of lending liquidations is above 0'
        when 'perp_dex_stress' then 'Z-score of perpetual DEX liquidations less that of exchange liquidations is at least 1, and z-score of perpetual DEX liquidations is above 0'
    end as condition_description,
    value_description,
    strength_description
from seeds.signals
