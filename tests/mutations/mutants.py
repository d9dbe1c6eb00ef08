"""The defects that tests are tested with: each is one change of one text, and names the tests that must see it.

A mutant belongs here when somebody could make the mistake in good faith and no error would tell. `tests` are pytest node
ids, as narrow as they can be; `units` are unit tests of dbt. How they are run: test_mutants.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """`text` stands in `file` exactly once; with `instead` in its place, at least one of the tests must fail."""

    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


SOURCES: Final = "pipelines/sources"
HERE: Final = "tests/sources"
INTERMEDIATE: Final = "dbt_project/models/intermediate"
FACTS: Final = "dbt_project/models/marts/facts"
ANALYSIS: Final = "dbt_project/models/marts/analysis"

SIDES: Final = (
    Mutant(
        "binance archive: a forced buy is taken for a liquidated long",
        f"{SOURCES}/cex/binance_archive/history.py",
        '{"BUY": "short", "SELL": "long"}',
        '{"BUY": "long", "SELL": "short"}',
        (
            f"{HERE}/test_binance_archive_files.py::test_a_forced_buy_closed_a_short_and_both_rows_of_a_pair_are_one_event",
        ),
    ),
    Mutant(
        "dydx: the side of the taker's order is taken for that of the position",
        f"{SOURCES}/dex/dydx.py",
        '{"SELL": "long", "BUY": "short"}',
        '{"SELL": "short", "BUY": "long"}',
        (f"{HERE}/test_dydx.py::test_recorded_trades_say_which_position_was_closed_and_how",),
    ),
    Mutant(
        "okx: a netted position has the side of its forced order",
        f"{SOURCES}/cex/okx/capture.py",
        '{"sell": "long", "buy": "short"}',
        '{"sell": "short", "buy": "long"}',
        (f"{HERE}/test_okx.py::test_a_netted_position_is_known_by_its_forced_order_and_a_contradiction_is_rejected",),
    ),
)

UNITS: Final = (
    Mutant(
        "gate: open interest that counts both sides is not halved",
        f"{SOURCES}/counting.py",
        'pl.when(counted == "two_sided").then(0.5)',
        'pl.when(counted == "two_sided").then(1.0)',
        (f"{HERE}/test_second_source.py::test_gates_statistics_have_the_level_of_its_positions",),
    ),
    Mutant(
        "comet: a value in ether or bitcoin is taken for dollars",
        f"{SOURCES}/chain/evm/lending.py",
        'in_dollars = pl.col("contract_unit").is_null()',
        "in_dollars = pl.lit(value=True)",
        (f"{HERE}/test_evm_comet.py::test_values_carry_the_unit_of_their_comet",),
    ),
    Mutant(
        "lending: a value in a unit of account is not converted",
        "dbt_project/macros/lending_prices.sql",
        "case p.basis when 'unit' then s.stated_value else s.amount end * p.price_usd as priced_usd",
        "coalesce(s.stated_value, s.amount * p.price_usd) as priced_usd",
        units=("a_value_in_a_protocol_s_unit_of_account_is_converted_by_the_price_of_the_unit",),
    ),
    Mutant(
        "okx: contracts are taken for coin",
        f"{SOURCES}/cex/okx/capture.py",
        '(pl.col("contracts") * pl.col("contract_size")).alias("amount")',
        'pl.col("contracts").alias("amount")',
        (f"{HERE}/test_okx.py::test_a_recorded_liquidation_is_a_short_bought_back",),
    ),
    Mutant(
        "binance: contracts of 100 dollars are taken for dollars",
        f"{SOURCES}/cex/binance/history.py",
        '.then(pl.col("amount") * pl.col("contract_size")).otherwise(in_dollars)',
        '.then(pl.col("amount")).otherwise(in_dollars)',
        (f"{HERE}/test_binance.py::test_coin_margined_open_interest_is_contracts_and_coin",),
    ),
    Mutant(
        "binance archive: the value of a coin-margined contract is taken for its number",
        f"{SOURCES}/cex/binance_archive/history.py",
        'base, usd, unit = pl.col("value"), pl.col("amount") * pl.col("contract_size"), "contracts"',
        'base, usd, unit = pl.col("amount"), pl.col("value") * pl.col("contract_size"), "contracts"',
        (f"{HERE}/test_binance_archive_files.py::test_coin_margined_metrics_are_contracts_with_their_value_in_coin",),
    ),
    Mutant(
        "coinalyze: funding in percent is taken for a fraction",
        f"{SOURCES}/cex/coinalyze.py",
        '(pl.col("percent") / 100).alias("rate")',
        'pl.col("percent").alias("rate")',
        (f"{HERE}/test_coinalyze.py::test_funding_is_in_percent_and_settled_at_16",),
    ),
    Mutant(
        "deribit: volatility in percent is taken for a fraction",
        f"{SOURCES}/cex/deribit/capture.py",
        '(pl.col("mark_iv_percent") / 100).alias("mark_iv")',
        'pl.col("mark_iv_percent").alias("mark_iv")',
        (f"{HERE}/test_deribit.py::test_a_decimal_strike_is_read_from_the_list_and_a_linear_mark_becomes_coin",),
    ),
    Mutant(
        "lending: every token has eighteen decimals",
        "dbt_project/macros/lending_prices.sql",
        "power(10e0, n.decimals)",
        "power(10e0, 18)",
        units=("loans_are_scaled_and_priced_by_the_last_price_known_at_the_event",),
    ),
    Mutant(
        "funding: a rate per interval is taken for one per eight hours",
        f"{INTERMEDIATE}/int_funding_settlements.sql",
        "s.rate * 8e0 / s.interval_hours as rate_8h",
        "s.rate as rate_8h",
        units=(
            "a_whole_day_of_settlements_wins_over_one_that_stands_for_it",
            "a_change_of_interval_is_seen_and_a_missing_settlement_is_not_one",
        ),
    ),
    Mutant(
        "scaled contracts: a unit of 1000PEPE is one PEPE",
        "dbt_project/macros/units.sql",
        "{{ amount }} * {{ multiplier }}",
        "{{ amount }}",
        units=("totals_in_base_take_the_close_and_quiet_days_are_zero_only_inside_coverage",),
    ),
)

PAGES: Final = (
    Mutant(
        "paging forward: the last, short page is dropped",
        "pipelines/extract/paging.py",
        "        yield page\n        if not seen:\n            return\n        newest, is_short",
        "        if len(seen) < limit:\n            return\n        yield page\n        newest, is_short",
        ("tests/unit/test_paging.py::test_forward_and_backward_paging_return_every_row_of_the_span_once",),
    ),
    Mutant(
        "paging backward: one page is taken for all of them",
        "pipelines/extract/paging.py",
        "        if len(seen) < limit and oldest - step >= last:\n            return\n",
        "        return\n",
        ("tests/unit/test_paging.py::test_forward_and_backward_paging_return_every_row_of_the_span_once",),
    ),
    Mutant(
        "cursors: the first page is taken for all of them",
        "pipelines/extract/paging.py",
        "        if after is None or is_last:\n            return\n",
        "        return\n",
        ("tests/unit/test_paging.py::test_cursors_are_followed_to_the_end",),
    ),
    Mutant(
        "okx: exclusive bounds are taken for inclusive ones",
        f"{SOURCES}/cex/okx/history.py",
        "wire.FUNDING, job.subject, instId=job.subject, before=first - 1, after=last + 1, limit=LIMIT",
        "wire.FUNDING, job.subject, instId=job.subject, before=first, after=last, limit=LIMIT",
        (f"{HERE}/test_okx.py::test_a_day_of_funding_holds_its_first_settlement",),
    ),
    Mutant(
        "fetching: a subject that failed counts as covered",
        "pipelines/extract/fetch.py",
        '                    self.failures[f"{partition.name} {name}"] = outcome\n',
        '                    self.failures[f"{partition.name} {name}"] = outcome\n'
        '                    fetched[name] = "empty"\n',
        ("tests/unit/test_fetch.py::test_a_partially_fetched_instrument_is_not_landed",),
    ),
    Mutant(
        "fetching: a subject that fails when it is checked again loses what it had answered",
        "pipelines/extract/fetch.py",
        "if covers.get(name) in ANSWERED}",
        "if not covers}",
        (
            "tests/unit/test_fetch.py::test_a_subject_that_fails_when_it_is_checked_again_keeps_its_answer_and_is_checked_again",
        ),
    ),
    Mutant(
        "due: only yesterday is",
        "pipelines/extract/due.py",
        "        for day in sorted(known | set(self._planned_days(yesterday))):",
        "        for day in [yesterday]:",
        ("tests/unit/test_due.py::test_ten_nights_with_failures_and_a_pause_leave_nothing_that_the_venue_still_has",),
    ),
    Mutant(
        "due: a fetch that was killed leaves no trace",
        "pipelines/extract/due.py",
        "            if subject in question.subjects:",
        "            if subject in question.failures:",
        ("tests/unit/test_due.py::test_a_killed_fetch_leaves_what_it_asked_for",),
    ),
)

TIME: Final = (
    Mutant(
        "loading: a state of 00:00 belongs to the day that begins",
        "pipelines/clean/parsed.py",
        "((day - pl.duration(microseconds=1)) if table.day_is_state else day)",
        "day",
        ("tests/unit/test_load.py::test_state_at_midnight_belongs_to_the_day_before",),
    ),
    Mutant(
        "volatility: the window before a day holds the day",
        f"{FACTS}/fct_price_daily.sql",
        "range between interval '{{ threshold(\"volatility_window_days\") }}' day preceding "
        "and interval '1' day preceding",
        "range between interval '{{ threshold(\"volatility_window_days\") }}' day preceding and current row",
        units=("volatility_looks_only_at_whole_windows_before_the_day",),
    ),
    Mutant(
        "windows of rows: a day is judged by itself",
        "dbt_project/macros/stats_windows.sql",
        "    rows between {{ periods }} preceding and 1 preceding\n",
        "    rows between {{ periods }} preceding and current row\n",
        units=(
            "a_window_without_spread_has_no_z_score",
            "a_market_is_healthy_inside_the_band_and_calmer_than_its_median",
        ),
    ),
    Mutant(
        "liquidation zones: the map of a day holds the day",
        f"{ANALYSIS}/liquidations/helpers/int_liquidation_zone_maps_daily.sql",
        "range between interval '{{ threshold(\"zone_window_days\") }}' day preceding and interval '1' day preceding",
        "range between interval '{{ threshold(\"zone_window_days\") }}' day preceding and current row",
        units=("the_map_of_zones_is_that_of_the_days_before",),
    ),
    Mutant(
        "tainted values: the usual open interest holds the day judged",
        f"{INTERMEDIATE}/int_open_interest_daily.sql",
        "range between interval '{{ threshold(\"taint_window_days\") }}' day preceding and interval '1' day preceding",
        "range between interval '{{ threshold(\"taint_window_days\") }}' day preceding and current row",
        units=("a_jump_is_tainted_if_it_was_not_traded_or_another_source_denies_it",),
    ),
    Mutant(
        "venues that lead: a day later and a day before are swapped",
        f"{ANALYSIS}/trends/venue_lead_lag_monthly.sql",
        "        day_after.others_change as others_after,\n",
        "        day_before.others_change as others_after,\n",
        units=("a_venue_that_the_others_repeat_a_day_later_leads",),
    ),
)

COUNTS: Final = (
    Mutant(
        "two sources of one fact are added up",
        f"{INTERMEDIATE}/int_liquidations_daily.sql",
        "            partition by venue, chain, series, subject, trade_date\n"
        "            order by feed_rank, {{ best_source_first() }}, table_name\n",
        "            partition by source, venue, chain, series, subject, trade_date\n"
        "            order by feed_rank, {{ best_source_first() }}, table_name\n",
        units=("a_full_source_replaces_a_sample_and_the_two_are_never_added",),
    ),
    Mutant(
        "events and the totals of the same events are added up",
        f"{INTERMEDIATE}/int_liquidations_daily.sql",
        "            and j.table_name = c.table_name\n            and j.period_minutes = c.period_minutes\n",
        "",
        units=("events_of_a_source_and_its_totals_are_never_added",),
    ),
    Mutant(
        "open interest: every source of an instrument counts",
        "dbt_project/macros/sources.sql",
        "            partition by {{ series | join(', ') }}, trade_date\n",
        "            partition by {{ series | join(', ') }}, trade_date, source, period\n",
        units=("the_more_complete_day_wins_then_the_module_then_the_finer_grain",),
    ),
    Mutant(
        "loading: a row that came twice is kept twice",
        "pipelines/clean/stage.py",
        "from ranked where position > 1",
        "from ranked where position > 2",
        ("tests/unit/test_load.py::test_equal_rows_of_one_key_are_counted_as_duplicates",),
    ),
    Mutant(
        "loading: rows that break the contract vanish instead of going to quarantine",
        "pipelines/clean/stage.py",
        "\"where o.outcome in ('contract', 'conflicting_duplicate')\"\n",
        "\"where o.outcome in ('conflicting_duplicate')\"\n",
        ("tests/unit/test_load.py::test_rows_that_violate_the_contract_are_quarantined_with_the_violated_rule",),
    ),
    Mutant(
        "loading: the oldest version of a landing is the one that counts",
        "pipelines/extract/landing.py",
        "if held is None or landing.version > held.version:",
        "if held is None or landing.version < held.version:",
        ("tests/unit/test_load.py::test_a_restated_file_replaces_its_days_and_removes_days_it_no_longer_contains",),
    ),
    Mutant(
        "loading: of two landings the older one's row stays",
        "pipelines/clean/stage.py",
        "order by rank desc, _line, _field nulls first",
        "order by rank, _line, _field nulls first",
        ("tests/unit/test_load.py::test_the_newest_landing_overrides_an_older_one_and_the_replaced_row_is_counted",),
    ),
)

GAPS: Final = (
    Mutant(
        "liquidations: a day that nobody watched is a day without any",
        f"{INTERMEDIATE}/int_liquidations_by_source_daily.sql",
        "(c.status = 'empty' or (",
        "(c.status in ('empty', 'missing') or (",
        units=("totals_in_base_take_the_close_and_quiet_days_are_zero_only_inside_coverage",),
    ),
    Mutant(
        "coverage: a day that is not there is called empty",
        "pipelines/clean/coverage.py",
        "case when is_empty then 'empty' else 'missing' end, case when not is_empty then reason end",
        "'empty', case when not is_empty then reason end",
        ("tests/unit/test_load.py::test_gaps_have_a_reason",),
    ),
    Mutant(
        "load: a restated row claims to have been known with its first version",
        "pipelines/clean/parsed.py",
        "if len(versions) == 1 or not any(found.files for found in parsed.tables.values()):",
        "if len(versions) >= 1 or not any(found.files for found in parsed.tables.values()):",
        ("tests/unit/test_versions.py::test_a_restated_file_is_loaded_with_the_time_of_each_row",),
    ),
    Mutant(
        "coverage: a day of captures wants no more slots than it had",
        "pipelines/clean/coverage.py",
        ".then(24 // captures.every_hours)",
        '.then(pl.col("had"))',
        ("tests/unit/test_load.py::test_a_day_of_captures_is_complete_only_with_every_slot",),
    ),
    Mutant(
        "open interest of a venue is that of the instruments that are known",
        f"{FACTS}/fct_open_interest_daily.sql",
        "case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd",
        "sum(oi_usd) as oi_usd",
        units=("open_interest_of_a_venue_is_known_only_if_every_instrument_is",),
    ),
)

METRICS: Final = (
    Mutant(
        "tainted values: an implausible value enters the totals",
        f"{ANALYSIS}/trends/helpers/int_oi_by_venue_daily.sql",
        "    where taint_reason is null\n",
        "    where true\n",
        ("tests/dbt/test_trend_marts.py::test_an_implausible_value_changes_no_state_of_another_day",),
    ),
    Mutant(
        "strength: a signal at its threshold has none",
        f"{ANALYSIS}/signals/signals_daily.sql",
        "            then {{ threshold('signal_strength_min') }}\n                +",
        "            then 0e0\n                +",
        ("tests/dbt/test_signal_marts.py::test_a_day_worked_out_by_hand",),
    ),
    Mutant(
        "risk score: less risk is a higher score",
        f"{ANALYSIS}/signals/signal_matrix_daily.sql",
        """            "avg(" ~ signal_sign('direction') ~ " * strength) filter (where direction in ('risk_up', 'risk_down'))\"""",
        """            "avg(-" ~ signal_sign('direction') ~ " * strength) filter (where direction in ('risk_up', 'risk_down'))\"""",
        units=("a_score_is_the_mean_of_the_known_strengths_and_of_each_half",),
    ),
    Mutant(
        "heatmap: the newest day alone makes the color scale",
        f"{ANALYSIS}/liquidations/liquidation_heatmap_daily.sql",
        "where trade_date > newest_date - {{ threshold('heatmap_color_days') }}",
        "where trade_date = newest_date",
        ("tests/dbt/test_liquidation_marts.py::test_every_row_agrees_with_an_independent_computation",),
    ),
    Mutant(
        "max pain is where options pay most",
        f"{ANALYSIS}/options/options_max_pain_daily.sql",
        "(calls_at_or_below - puts_above) / nullif(",
        "(puts_above - calls_at_or_below) / nullif(",
        units=("max_pain_is_where_all_options_together_pay_least",),
    ),
    Mutant(
        "put/call is call/put",
        f"{ANALYSIS}/options/options_structure_daily.sql",
        "    put_oi_base / nullif(call_oi_base, 0) as put_call_oi_ratio,",
        "    call_oi_base / nullif(put_oi_base, 0) as put_call_oi_ratio,",
        units=("ratios_walls_and_far_puts_add_up_over_venues_and_volatility_is_the_largest_venues",),
    ),
    Mutant(
        "capitulation is called while open interest grows",
        "dbt_project/dbt_project.yml",
        '[oi_base_change_judged, "<", 0]',
        '[oi_base_change_judged, ">", 0]',
        units=("capitulation_stands_on_its_borders_and_is_unknown_without_an_input",),
    ),
    Mutant(
        "an expansion needs a moving price",
        "dbt_project/dbt_project.yml",
        '[price_move, "<=", expansion_flat_sigmas,',
        '[price_move, ">=", expansion_flat_sigmas,',
        units=("borders_are_neutral_and_missing_inputs_are_unknown",),
    ),
    Mutant(
        "shorts are named where longs build up",
        f"{ANALYSIS}/trends/oi_trends_daily.sql",
        "when price_return > quadrant_return_border and oi_change > quadrant_oi_border then 'long_build_up'",
        "when price_return < -quadrant_return_border and oi_change > quadrant_oi_border then 'long_build_up'",
        units=("borders_are_neutral_and_missing_inputs_are_unknown",),
    ),
    Mutant(
        "extreme funding is called below its border",
        "dbt_project/dbt_project.yml",
        '[excess_rate_percentile_90d, ">=", funding_extreme_high_percentile]',
        '[excess_rate_percentile_90d, "<=", funding_extreme_high_percentile]',
        units=("an_extreme_is_confirmed_held_while_elevated_and_left_only_inside",),
    ),
    Mutant(
        "lending: what was repaid is counted as seized",
        "dbt_project/macros/lending.sql",
        "when 'collateral' then 'collateral_seized' else 'debt_repaid' end",
        "when 'debt' then 'collateral_seized' else 'debt_repaid' end",
        units=("a_dollar_loan_on_a_coin_is_long_and_unknown_tokens_are_counted",),
    ),
)

BUILDS: Final = (
    Mutant(
        "a build of what changed leaves out what reads it through another model",
        "pipelines/operations/selection.py",
        """                    found.add(reader)
                    waiting.append(reader)
        return found

    def ledger_readers""",
        """                    found.add(reader)
        return found

    def ledger_readers""",
        (
            "tests/dbt/test_partial_builds.py::test_every_model_that_reads_a_changed_table_is_planned_and_no_other[open_interest]",
        ),
    ),
    Mutant(
        "the rows of a model that reads the ledger differ, and nothing follows",
        "pipelines/operations/selection.py",
        "return set(self.changed) | graph.downstream(differing)",
        "return set(self.changed)",
        (
            "tests/dbt/test_partial_builds.py::test_of_a_changed_ledger_only_its_readers_are_planned_and_the_rest_follows_their_rows",
        ),
    ),
    Mutant(
        "a run that was refused a landing counts as faultless",
        "pipelines/operations/current.py",
        """"refusals": _refusals(settings), **seen_now(settings)}""",
        """**seen_now(settings)}""",
        ("tests/unit/test_current.py::test_whatever_differs_is_a_reason_to_run[a landing that was refused]",),
    ),
)

MUTANTS: Final = (*SIDES, *UNITS, *PAGES, *TIME, *COUNTS, *GAPS, *METRICS, *BUILDS)
