select
    'volatility_window_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Window of sigma30, the standard deviation of daily log returns, and of its open-interest twin.' as description
union all
select
    'expansion_growth' as name,
    cast(0.08e0 as double) as value,
    'fraction' as unit,
    'H01: least simple growth of oi_base from one day to the next that is an expansion.' as description
union all
select
    'expansion_flat_sigmas' as name,
    cast(0.5e0 as double) as value,
    'sigma30' as unit,
    'H01: the price is flat or choppy while |log return| is at most this many sigma30.' as description
union all
select
    'volume_confirmation_quantile' as name,
    cast(0.8e0 as double) as value,
    'quantile' as unit,
    'H02: base volume at or above this quantile of its window confirms an expansion.' as description
union all
select
    'volume_window_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'H02: window of the volume quantile.' as description
union all
select
    'divergence_fall_sigmas' as name,
    cast(1.0e0 as double) as value,
    'sigma30' as unit,
    'H03: a fall is a log return of at most minus this many sigma30.' as description
union all
select
    'divergence_oi_sigmas' as name,
    cast(0.5e0 as double) as value,
    'sigma_oi' as unit,
    'H03: log change of open interest beyond which a fall is a bought dip (above) or deleveraging (below the negative).' as description
union all
select
    'quadrant_return_sigmas' as name,
    cast(0.5e0 as double) as value,
    'sigma30' as unit,
    'Quadrant: |log return| must exceed this many sigma30, else neutral.' as description
union all
select
    'quadrant_oi_sigmas' as name,
    cast(0.5e0 as double) as value,
    'sigma_oi' as unit,
    'Quadrant: |log change of open interest| must exceed this many of its own standard deviations, else neutral.' as description
union all
select
    'oi_zscore_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'Window of the z-score of log open interest.' as description
union all
select
    'long_run_window_days' as name,
    cast(365 as double) as value,
    'days' as unit,
    'Window of long-run percentiles and medians.' as description
union all
select
    'instrument_end_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'A contract of whose end the venue says nothing has ended once it was not traded, with its price standing still, for this many days.' as description
union all
select
    'month_window_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Window of shares and stability of funding over a month.' as description
union all
select
    'lead_lag_max_days' as name,
    cast(10 as double) as value,
    'days' as unit,
    'Largest lead or lag between change of open interest and return.' as description
union all
select
    'lead_lag_window_months' as name,
    cast(12 as double) as value,
    'months' as unit,
    'Window of the correlations of change of open interest and return by lag: the calendar months before the one they hold for.' as description
union all
select
    'lead_lag_min_pairs' as name,
    cast(180 as double) as value,
    'pairs' as unit,
    'Fewest pairs of days from which such a correlation is stated.' as description
union all
select
    'lead_lag_band_errors' as name,
    cast(3.04e0 as double) as value,
    'standard errors' as unit,
    'Half-width of the band of such a correlation around 0: 5% for the largest of 21 lags.' as description
union all
select
    'venue_lead_band_errors' as name,
    cast(2.58e0 as double) as value,
    'standard errors' as unit,
    'Half-width of the band of the difference between a venue''s correlation with the others a day later and a day before: 1% for one venue.' as description
union all
select
    'oi_plausibility_window_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Days over which a venue''s rate of implausible changes of open interest is taken, the day itself included.' as description
union all
select
    'oi_change_short_days' as name,
    cast(1 as double) as value,
    'days' as unit,
    'Shortest span of the change of open interest.' as description
union all
select
    'oi_change_week_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'Middle span of the change of open interest.' as description
union all
select
    'oi_change_month_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Longest span of the change of open interest.' as description
union all
select
    'funding_neutral_band' as name,
    cast(1e-05 as double) as value,
    'fraction per 8 h' as unit,
    '|rate_8h - neutral| up to which funding is neutral (0.001%).' as description
union all
select
    'funding_percentile_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'Window of the percentile of funding''s distance from neutral where one value a day is known.' as description
union all
select
    'funding_percentile_settlements' as name,
    cast(270 as double) as value,
    'settlements' as unit,
    'The same window in settlements of 8 hours.' as description
union all
select
    'funding_extreme_high_percentile' as name,
    cast(97.5e0 as double) as value,
    'percentile' as unit,
    'extreme_positive from here up.' as description
union all
select
    'funding_elevated_percentile' as name,
    cast(90.0e0 as double) as value,
    'percentile' as unit,
    'elevated from here up; an extreme_positive ends below it.' as description
union all
select
    'funding_depressed_percentile' as name,
    cast(10.0e0 as double) as value,
    'percentile' as unit,
    'depressed from here down; an extreme_negative ends above it.' as description
union all
select
    'funding_extreme_low_percentile' as name,
    cast(2.5e0 as double) as value,
    'percentile' as unit,
    'extreme_negative from here down.' as description
union all
select
    'funding_regime_confirmations' as name,
    cast(3 as double) as value,
    'settlements or days' as unit,
    'A new regime counts after this many in a row.' as description
union all
select
    'funding_normalization_days' as name,
    cast(3 as double) as value,
    'days' as unit,
    'H05: days inside the elevated and depressed percentiles after an extreme.' as description
union all
select
    'funding_interval_carry_days' as name,
    cast(3 as double) as value,
    'days' as unit,
    'How long an observed funding interval is carried over settlements whose own gap says nothing.' as description
union all
select
    'funding_interval_max_hours' as name,
    cast(24 as double) as value,
    'hours' as unit,
    'Longest gap between settlements that is read as an interval; longer ones are missing settlements.' as description
union all
select
    'funding_daily_gap_hours' as name,
    cast(20 as double) as value,
    'hours' as unit,
    'A settlement with no other of its series within this many hours stands for its day (input_grain daily).' as description
union all
select
    'grid_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'H09, H11: window of the percentile of the open-interest z-score.' as description
union all
select
    'grid_high_percentile' as name,
    cast(80.0e0 as double) as value,
    'percentile' as unit,
    'H09, H11: high from here up.' as description
union all
select
    'grid_low_percentile' as name,
    cast(20.0e0 as double) as value,
    'percentile' as unit,
    'H09, H11: low from here down.' as description
union all
select
    'healthy_rate_low' as name,
    cast(3.7e-05 as double) as value,
    'fraction per 8 h' as unit,
    'H04: lower end of the healthy band of the 7-day mean rate.' as description
union all
select
    'healthy_rate_high' as name,
    cast(7.2e-05 as double) as value,
    'fraction per 8 h' as unit,
    'H04: upper end of the healthy band of the 7-day mean rate.' as description
union all
select
    'healthy_mean_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'H04: days of the mean rate.' as description
union all
select
    'positioning_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'H08, H14: window of the percentiles of account long share and gap between top traders and accounts.' as description
union all
select
    'positioning_long_crowded_percentile' as name,
    cast(97.5e0 as double) as value,
    'percentile' as unit,
    'H14: long_crowded from here up.' as description
union all
select
    'positioning_short_crowded_percentile' as name,
    cast(2.5e0 as double) as value,
    'percentile' as unit,
    'H14: short_crowded from here down.' as description
union all
select
    'capitulation_put_call_percentile' as name,
    cast(90.0e0 as double) as value,
    'percentile' as unit,
    'H08: least percentile of put/call by open interest.' as description
union all
select
    'capitulation_account_percentile' as name,
    cast(70.0e0 as double) as value,
    'percentile' as unit,
    'H08: least percentile of the account long share.' as description
union all
select
    'healthy_sd_quantile' as name,
    cast(0.5e0 as double) as value,
    'quantile' as unit,
    'H04: the month''s standard deviation of the rate must be below this quantile of its long-run window, the median.' as description
union all
select
    'implied_liquidation_sigmas' as name,
    cast(2.0e0 as double) as value,
    'sigma30' as unit,
    'Liquidations implied by open interest count only where |return| exceeds this many sigma30.' as description
union all
select
    'divergence_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'Window of the z-scores of exchange and on-chain liquidations.' as description
union all
select
    'correlation_window_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Window of the correlation of exchange and on-chain liquidations.' as description
union all
select
    'comparison_lag_max_days' as name,
    cast(5 as double) as value,
    'days' as unit,
    'Largest lead or lag between exchange and on-chain liquidations.' as description
union all
select
    'comparison_lag_min_days' as name,
    cast(180 as double) as value,
    'days' as unit,
    'Fewest common days from which a best lag is stated.' as description
union all
select
    'comparison_lag_window_days' as name,
    cast(364 as double) as value,
    'days' as unit,
    'Window of those correlations by lag: whole blocks of days before the month they hold for.' as description
union all
select
    'comparison_lag_block_days' as name,
    cast(14 as double) as value,
    'days' as unit,
    'Length of the blocks the bootstrap draws: longer than liquidations remember, and whole weeks.' as description
union all
select
    'comparison_lag_resamples' as name,
    cast(199 as double) as value,
    'resamples' as unit,
    'Resamples of the bootstrap band.' as description
union all
select
    'comparison_lag_confidence' as name,
    cast(0.95e0 as double) as value,
    'quantile' as unit,
    'Quantile of the resamples'' largest deviation over all lags that is the half-width of the band.' as description
union all
select
    'price_gap_max_seconds' as name,
    cast(86400 as double) as value,
    'seconds' as unit,
    'Oldest price that may value an on-chain amount: under 24 hours.' as description
union all
select
    'day_close_min_minutes' as name,
    cast(1440 as double) as value,
    'minutes' as unit,
    'A candle of this length or longer is a day''s close and flagged as such.' as description
union all
select
    'price_reference_usd' as name,
    cast(1.0e0 as double) as value,
    'usd' as unit,
    'Reference price of the bins of the liquidation heatmap, the same for every asset, so that backfilled history never moves a bin.' as description
union all
select
    'heatmap_bin_width' as name,
    cast(0.0025e0 as double) as value,
    'fraction' as unit,
    'Width b of a bin of the liquidation heatmap: bin k is the prices from P_ref (1 + b)^k to below P_ref (1 + b)^(k + 1).' as description
union all
select
    'heatmap_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'Window of the border of a dense bin of the heatmap.' as description
union all
select
    'heatmap_dense_quantile' as name,
    cast(0.9e0 as double) as value,
    'quantile' as unit,
    'A bin is dense strictly above this quantile of the asset''s bins of the window.' as description
union all
select
    'heatmap_color_days' as name,
    cast(365 as double) as value,
    'days' as unit,
    'Days up to the newest one from whose bins the color scale of an asset is taken, one scale for all its days.' as description
union all
select
    'heatmap_color_low_quantile' as name,
    cast(0.1e0 as double) as value,
    'quantile' as unit,
    'Quantile of the bins'' dollars at which the color scale begins (purple).' as description
union all
select
    'heatmap_color_high_quantile' as name,
    cast(0.95e0 as double) as value,
    'quantile' as unit,
    'Quantile of the bins'' dollars at which the color scale ends (yellow).' as description
union all
select
    'zone_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'H06: days whose liquidations make the map of price zones.' as description
union all
select
    'zone_bins' as name,
    cast(4 as double) as value,
    'bins' as unit,
    'H06: heatmap bins that are one step of the map of zones, about 1%; with day totals a single bin holds one day and would never meet a neighbor.' as description
union all
select
    'zone_dense_quantile' as name,
    cast(0.9e0 as double) as value,
    'quantile' as unit,
    'H06: a step of the map is dense strictly above this quantile of the steps with liquidations; adjacent dense steps are one zone.' as description
union all
select
    'zone_near_distance' as name,
    cast(0.02e0 as double) as value,
    'fraction' as unit,
    'H06: the close is near a zone when it is less than this fraction of itself away, a step that most assets take in a day.' as description
union all
select
    'cascade_median_multiple' as name,
    cast(10 as double) as value,
    'times' as unit,
    'A minute belongs to a cascade when its liquidated dollars are strictly above this many typical minutes.' as description
union all
select
    'cascade_typical_quantile' as name,
    cast(0.5e0 as double) as value,
    'quantile' as unit,
    'The typical minute: this quantile (the median) of the minutes with liquidations of the days before.' as description
union all
select
    'cascade_median_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'Days before the day judged from which the typical minute is taken.' as description
union all
select
    'cascade_minute_floor_usd' as name,
    cast(10000 as double) as value,
    'usd' as unit,
    'Least liquidated dollars of a minute of a cascade, so that a quiet market''s small change is none.' as description
union all
select
    'cascade_gap_minutes' as name,
    cast(3 as double) as value,
    'minutes' as unit,
    'Minutes of a cascade whose beginnings are at most this far apart are one cascade, and cascades of assets this far apart happen at once.' as description
union all
select
    'cascade_daily_quantile' as name,
    cast(0.975e0 as double) as value,
    'quantile' as unit,
    'With day totals only, a cascade is a day strictly above this quantile of the days before.' as description
union all
select
    'cascade_daily_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'Window of that quantile.' as description
union all
select
    'cascade_market_assets' as name,
    cast(3 as double) as value,
    'assets' as unit,
    'A cascade is market-wide when at least this many assets have one at once.' as description
union all
select
    'cascade_mark_minutes' as name,
    cast(5 as double) as value,
    'minutes' as unit,
    'Prices around a cascade are closes of candles at most this long, on a grid of this many minutes; coarser candles say nothing about minutes.' as description
union all
select
    'cascade_reversal_short_minutes' as name,
    cast(60 as double) as value,
    'minutes' as unit,
    'After how long the first reversal is measured.' as description
union all
select
    'cascade_reversal_long_minutes' as name,
    cast(1440 as double) as value,
    'minutes' as unit,
    'After how long the second reversal is measured.' as description
union all
select
    'liquidation_rest_min_share' as name,
    cast(1e-06 as double) as value,
    'fraction' as unit,
    'Share of a stated total that must be left beside its two sides to count as liquidations of unknown side; less is rounding.' as description
union all
select
    'listened_whole_day_min_share' as name,
    cast(0.999e0 as double) as value,
    'fraction' as unit,
    'Share of a day that a recorder must have listened for the day to count as heard: all but 86 seconds.' as description
union all
select
    'taint_window_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'Days before whose median is the usual open interest of an instrument.' as description
union all
select
    'taint_known_days_min' as name,
    cast(3 as double) as value,
    'days' as unit,
    'Fewest known days among them from which a jump is judged.' as description
union all
select
    'taint_jump_factor' as name,
    cast(3 as double) as value,
    'times' as unit,
    'Open interest this many times the usual one, or this fraction of it, is implausible if it was not traded that day or another source denies it.' as description
union all
select
    'taint_jump_factor_without_volume' as name,
    cast(20 as double) as value,
    'times' as unit,
    'The same where volume is not known: the largest true jump of 83,936 recorded instrument days is 13 times.' as description
union all
select
    'venue_expected_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'A venue is expected on a day when it reported on it or on one of this many days before; within them a silent venue''s open interest is carried.' as description
union all
select
    'oi_comparable_share_min' as name,
    cast(0.5e0 as double) as value,
    'fraction' as unit,
    'Least share of the day before''s open interest that the venues present on both days must hold, else states of open interest are unknown.' as description
union all
select
    'funding_weighted_share_min' as name,
    cast(0.5e0 as double) as value,
    'fraction' as unit,
    'Least share of the venues with a rate that must have open interest for the OI-weighted rate to judge the regime; below it the median does.' as description
union all
select
    'funding_slot_hours' as name,
    cast(8 as double) as value,
    'hours' as unit,
    'Settlements of every interval are averaged in slots of this length before venues are compared.' as description
union all
select
    'funding_slots_per_day' as name,
    cast(3 as double) as value,
    'slots' as unit,
    'Slots of funding_slot_hours in a day.' as description
union all
select
    'missing_instruments_listed' as name,
    cast(20 as double) as value,
    'instruments' as unit,
    'How many missing instruments a coverage row names.' as description
union all
select
    'sources_gap_open_interest' as name,
    cast(0.05e0 as double) as value,
    'fraction' as unit,
    'Widest relative gap of two sources'' open interest at midnight that counts as agreement.' as description
union all
select
    'sources_gap_close' as name,
    cast(0.01e0 as double) as value,
    'fraction' as unit,
    'Widest relative gap of two sources'' closes that counts as agreement.' as description
union all
select
    'sources_gap_long_share' as name,
    cast(0.02e0 as double) as value,
    'fraction' as unit,
    'Widest gap of two sources'' long shares that counts as agreement.' as description
union all
select
    'sources_gap_rate' as name,
    cast(1e-05 as double) as value,
    'fraction' as unit,
    'Widest gap of two sources'' settled rates that counts as agreement: a tenth of a calm market''s rate.' as description
union all
select
    'option_expiry_hour_utc' as name,
    cast(8 as double) as value,
    'hour of the day' as unit,
    'UTC hour at which options settle on the day of expiry; from then on an option is no position.' as description
union all
select
    'option_snapshot_min_share' as name,
    cast(0.8e0 as double) as value,
    'fraction' as unit,
    'A capture of a chain is whole when it holds at least this share of the instruments of the day''s largest capture, those that expire on the day left out.' as description
union all
select
    'option_chain_usual_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'Days before whose median chain size is the usual one of a venue.' as description
union all
select
    'option_chain_min_share' as name,
    cast(0.6e0 as double) as value,
    'fraction' as unit,
    'A day''s chain with fewer instruments than this share of the usual ones is partial and left out of options_structure_daily.' as description
union all
select
    'option_otm_put_moneyness' as name,
    cast(0.9e0 as double) as value,
    'fraction of the index' as unit,
    'Puts with a strike below this share of the index are far out of the money.' as description
union all
select
    'option_atm_delta' as name,
    cast(0.5e0 as double) as value,
    'delta' as unit,
    'Delta of an option at the money.' as description
union all
select
    'option_wing_delta' as name,
    cast(0.25e0 as double) as value,
    'delta' as unit,
    'Delta of the wings of the risk reversal.' as description
union all
select
    'option_tenor_short_days' as name,
    cast(7 as double) as value,
    'days' as unit,
    'Short constant maturity of implied volatility.' as description
union all
select
    'option_tenor_month_days' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Constant maturity of a month.' as description
union all
select
    'option_percentile_window_days' as name,
    cast(90 as double) as value,
    'days' as unit,
    'H08: window of the percentile of put/call by open interest.' as description
union all
select
    'signal_strength_min' as name,
    cast(0.01e0 as double) as value,
    'score' as unit,
    'Strength of a signal that is on and stands at its threshold: off alone is 0.' as description
union all
select
    'systemic_risk_high_score' as name,
    cast(72.0e0 as double) as value,
    'percentile' as unit,
    'H13: systemic risk is high from this score up. The mean of three independent percentiles passes it on one day of ten; a single venue, whose concentration never moves, can reach 83.3.' as description
union all
select
    'onchain_lead_zscore' as name,
    cast(1.0e0 as double) as value,
    'standard deviations' as unit,
    'H15: on-chain liquidations stand out when their z-score leads that of exchanges by at least this much.' as description
union all
select
    'evidence_entry_hours' as name,
    cast(1 as double) as value,
    'hours' as unit,
    'Scorecard: a signal known up to this long after midnight is entered at that midnight; the first return may hold that hour of hindsight. Later ones enter a day later.' as description
union all
select
    'evidence_largest_assets' as name,
    cast(10 as double) as value,
    'assets' as unit,
    'Scorecard: how many assets, by open interest in dollars on the day of the signal, are the group largest.' as description
union all
select
    'evidence_days_min' as name,
    cast(180 as double) as value,
    'days' as unit,
    'Scorecard: fewest days with a known signal from which a hypothesis is judged.' as description
union all
select
    'evidence_event_days_min' as name,
    cast(20 as double) as value,
    'days' as unit,
    'Scorecard: fewest days with an event from which a hypothesis is judged.' as description
union all
select
    'evidence_false_discovery_rate' as name,
    cast(0.05e0 as double) as value,
    'fraction' as unit,
    'Scorecard: q-value up to which an effect counts, by Benjamini and Hochberg within a month and family.' as description
union all
select
    'evidence_looks_in_a_row' as name,
    cast(3 as double) as value,
    'months' as unit,
    'Scorecard: judgments in a row that must agree before a hypothesis is supported or contradicted. One look in 19 finds something in 22% of families of nulls, three in a row in 6.5%.' as description
union all
select
    'levels_churn_share' as name,
    cast(0.2e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: share of the volume beyond the change of open interest that closes one position and opens another. 0.1 to 0.5 fit alike on 2022 and 2023.' as description
union all
select
    'levels_cohort_days' as name,
    cast(60 as double) as value,
    'days' as unit,
    'Liquidation levels: how long a cohort of positions is followed.' as description
union all
select
    'levels_closed_share_max' as name,
    cast(0.999e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: largest share of positions closed in a day.' as description
union all
select
    'levels_bin_base' as name,
    cast(1.005e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: ratio of a bin''s upper to its lower edge.' as description
union all
select
    'levels_reach' as name,
    cast(0.3e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: bins up to this distance from the close are published.' as description
union all
select
    'levels_bin_share_min' as name,
    cast(0.0005e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: bins with less than this share of open interest are not published.' as description
union all
select
    'levels_map_weight' as name,
    cast(0.8e0 as double) as value,
    'fraction' as unit,
    'Liquidation levels: weight of the map in what is expected; the rest is that of distance alone.' as description
union all
select
    'levels_prior' as name,
    cast(20 as double) as value,
    'pseudo-counts' as unit,
    'Liquidation levels: strength of the gamma prior of a class rate. Without it a class hardly ever reached gets any rate.' as description
union all
select
    'levels_calibration_days' as name,
    cast(180 as double) as value,
    'days' as unit,
    'Liquidation levels: window of calibration, climatology and skill.' as description
union all
select
    'levels_calibration_days_min' as name,
    cast(30 as double) as value,
    'days' as unit,
    'Liquidation levels: fewest known days of the window from which an asset is calibrated.' as description
union all
select
    'levels_skill_days_min' as name,
    cast(120 as double) as value,
    'days' as unit,
    'Liquidation levels: fewest days from which skill is judged.' as description
union all
select
    'evidence_shifts' as name,
    cast(99 as double) as value,
    'shifts' as unit,
    'Scorecard: circular shifts of a signal that its statistic is compared with.' as description
