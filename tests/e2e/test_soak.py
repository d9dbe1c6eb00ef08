"""A month of scheduled operation with faults, kills and restatements gives the same tables as one undisturbed run.

The undisturbed run makes the same captures, because captured data has no history, and fetches everything else once at the
end. One hour is deliberately lost: it is missing in both and must be reported as missing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time as clock_time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.build import HOLDER
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.venues.evm import Log
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_table
from tests.e2e.soak_fixture import (
    CAPTURED,
    CLOSED_AFTER,
    DAILY,
    DAILY_AT,
    DROPPED,
    LISTED,
    LISTED_AT,
    SHORT_RETENTION,
    START,
    Chaos,
    Deployment,
    Injected,
    SoakMarket,
    chain_of,
    deploy,
    permanent_faults,
    transient_faults,
)

VERSIONS: Final = ("landing_id", "available_at")
"""A day fetched in two parts is the second version of its landing: the same rows with another id. A day that came late or was
restated was known later; check_when_rows_were_known compares that."""

OF_LOADS: Final = ("source_freshness",)
"""Marts about loads and landings instead of the market."""


@dataclass(frozen=True)
class Plan:
    """The planned events of a soak test, besides random faults. Days are numbered from 0."""

    days: int
    outage: datetime
    late: int
    restated: tuple[int, ...]
    restated_after: int
    reorganized: int
    share: float
    killed: Mapping[int, str]
    certain: Mapping[tuple[int, str], str] = field(default_factory=dict)
    """Planned faults by night and venue, for kinds that affect few requests."""
    listing: Mapping[tuple[int, str], str] = field(default_factory=dict)
    """Planned faults of captures of instruments."""
    built: tuple[int, ...] = ()
    by_dagster: tuple[int, ...] = ()
    idle: tuple[int, ...] = ()
    """Days without any run: the machine is off."""
    dropped: int | None = None
    """From this day on a venue has nothing of one symbol."""

    @property
    def planned(self) -> set[int]:
        """Nights that must fetch a planned change: random faults in them are transient."""
        return {number + 1 for number in (self.late, self.reorganized, *self.restated)}

    def day(self, number: int) -> date:
        return START + timedelta(days=number)

    def is_idle(self, at: datetime) -> bool:
        return (at.date() - START).days in self.idle

    def market(self) -> SoakMarket:
        """A market of its own for each of the two runs."""
        return SoakMarket(
            logs=chain_of(self.days), dropped=date.max if self.dropped is None else self.day(self.dropped)
        )


SHORT: Final = Plan(
    days=2, outage=datetime.combine(START, time(17, 5)) + timedelta(days=1), late=0, restated=(0,),
    restated_after=1, reorganized=0, share=0.25, killed={},
)  # fmt: skip
MONTH: Final = Plan(
    days=30, outage=datetime.combine(START, time(17, 5)) + timedelta(days=12), late=6, restated=(3, 17),
    restated_after=3, reorganized=9, share=0.12, built=(2, 14, 22), by_dagster=(11, 25),
    certain={
        (10, "binance_archive"): "wrong checksum", (13, "binance_archive"): "truncated zip", (13, "bybit"): "empty page",
        (15, "bybit"): "slow", (12, "evm_ethereum"): "stream broken off", (19, "bybit"): "renamed field",
        (22, "bybit"): "html", (24, "bybit"): "truncated", (26, "bybit"): "400",
    },
    listing={(20, "bybit"): "repeated cursor"},
    killed={5: "fetch", 8: "load", 14: "build", 21: "fetch", 23: "load"}, idle=(17, 18), dropped=24,
)  # fmt: skip


def operate(deployment: Deployment, plan: Plan, chaos: Chaos) -> None:
    """Scheduled operation: hourly captures, nightly fetches and loads, with faults."""
    wrong = deployment.market.wrong
    wrong.update(plan.day(number) for number in plan.restated)
    for at in deployment.captures():
        number = (at.date() - START).days
        if plan.is_idle(at):
            continue
        if at.time() == time(4, 5) and number:
            _night(deployment, plan, chaos, number - 1)
        _capture(deployment, plan, chaos, at)
        if at.time() == LISTED_AT:
            _capture_listings(deployment, plan, chaos, at)
    _capture_listings(deployment, plan, chaos, datetime.combine(deployment.last, LISTED_AT) + timedelta(days=1))
    _night(deployment, plan, chaos, plan.days - 1)
    _close(deployment)
    deployment.load()


def _capture(deployment: Deployment, plan: Plan, chaos: Chaos, at: datetime) -> None:
    """An hourly capture; a failed run is retried once, as Dagster does."""
    venue, _ = CAPTURED
    is_out = at == plan.outage
    down = next(fault for fault in permanent_faults(venue) if fault.kind == "down")
    with chaos.round(venue, at=at, may_last=True, certain=down if is_out else None):
        failed = any(report.failures for report in deployment.capture(at))
    if failed and not is_out:
        assert not any(report.failures for report in deployment.capture(at))


def _capture_listings(deployment: Deployment, plan: Plan, chaos: Chaos, at: datetime) -> None:
    for venue in LISTED:
        planned = _fault(venue, plan.listing.get(((at.date() - START).days, venue)))
        with chaos.round(venue, at=at, may_last=True, certain=planned):
            failed = any(report.failures for report in deployment.capture_listing(venue, at))
        if failed:
            assert not any(report.failures for report in deployment.capture_listing(venue, at))


def _night(deployment: Deployment, plan: Plan, chaos: Chaos, number: int) -> None:
    """The night after a day: its fetches, with faults, then the load; on some nights the build."""
    day = plan.day(number)
    at = datetime.combine(day + timedelta(days=1), DAILY_AT)
    if number in plan.killed and plan.killed[number] != "build":
        _kill(deployment, chaos.chance, plan.killed[number], day)
    if number in plan.by_dagster:
        deployment.clock.now = at
        _run(deployment.settings, "dagster", day, deployment.days)
        return
    for venue in DAILY:
        is_late = venue == "binance_archive" and number == plan.late + 1
        planned = _fault(venue, plan.certain.get((number, venue)))
        certain = _missing_file(plan.day(plan.late)) if is_late else planned
        with chaos.round(venue, at=at, may_last=number not in plan.planned, certain=certain):
            deployment.fetch_night(venue, day)
    deployment.load()
    # Venues restate their data during the day.
    deployment.market.wrong.discard(plan.day(number - plan.restated_after))
    if number == plan.reorganized + 1:
        _reorganize(deployment.market.logs, plan.reorganized)
    if number in plan.built:
        if plan.killed.get(number) == "build":
            _kill(deployment, chaos.chance, "build", day)
        _run(deployment.settings, "build", day, deployment.days)


def _close(deployment: Deployment) -> None:
    """Fetch everything again when it is final. Landed, final data is not requested."""
    at = datetime.combine(deployment.last, time()) + CLOSED_AFTER
    for venue in DAILY:
        for report in deployment.fetch_days(venue, at, first=START, last=deployment.last):
            assert report.failures == {}


def run_undisturbed(deployment: Deployment, plan: Plan) -> None:
    """The same captures; everything else is fetched and loaded once at the end."""
    _reorganize(deployment.market.logs, plan.reorganized)
    for at in deployment.captures():
        if plan.is_idle(at):
            continue
        if at.time() == LISTED_AT:
            for venue in LISTED:
                deployment.capture_listing(venue, at)
        if at != plan.outage:
            assert not any(report.failures for report in deployment.capture(at))
    for venue in LISTED:
        deployment.capture_listing(venue, datetime.combine(deployment.last, LISTED_AT) + timedelta(days=1))
    at = datetime.combine(deployment.last, DAILY_AT) + timedelta(days=1)
    deployment.fetch_days(SHORT_RETENTION, at, first=START, last=deployment.last)
    _close(deployment)
    deployment.load()


def _fault(venue: str, kind: str | None) -> Injected | None:
    menu = [*transient_faults(venue, random.Random(0)), *permanent_faults(venue)]
    return next((fault for fault in menu if fault.kind == kind), None)


def _missing_file(day: date) -> Injected:
    """A file that is published a day late."""
    fault = Fault(f"BTCUSDT-metrics-{day}.zip", "status", times=999, status=404)
    return Injected("file a day late", fault, "", "not_yet_published")


def _reorganize(logs: list[Log], number: int) -> None:
    """Remove one of the day's four liquidations and move another to the next block."""
    gone, moved = logs[4 * number : 4 * number + 2]
    logs[logs.index(moved)] = Log(moved.block + 1, 0, moved.address, moved.topics, moved.data)
    logs.remove(gone)


def _start(settings: Settings, stage: str, day: date, days: int) -> subprocess.Popen[str]:
    """Start a night or a build in a subprocess."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.soak_fixture", stage, str(settings.root), json.dumps(settings.endpoints),
         str(day), str(days)],
        cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _run(settings: Settings, stage: str, day: date, days: int) -> None:
    """Run a stage in a subprocess to its end. In the test process, dbt would keep its log open."""
    process = _start(settings, stage, day, days)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-4000:]


def _kill(deployment: Deployment, chance: random.Random, what: str, day: date) -> None:
    """Start the night in a subprocess and kill it in the stage `what`."""
    deployment.clock.now = datetime.combine(day + timedelta(days=1), DAILY_AT)
    requests = len(deployment.emulator.hits) + chance.randint(2, 12)
    held_for = {"load": "load", "build": HOLDER}.get(what)
    stage = "build" if what == "build" else "night"
    process = _start(deployment.settings, stage, day, deployment.days)
    deadline = clock_time.monotonic() + 300
    while not (_holds(deployment, held_for, process.pid) if held_for else len(deployment.emulator.hits) >= requests):
        assert clock_time.monotonic() < deadline
        if process.poll() is not None:
            pytest.fail(f"ended before its {what}: {process.communicate()[1][-2000:]}")
        clock_time.sleep(0.002)
    clock_time.sleep(chance.uniform(0.0, {"fetch": 0.02, "load": 1.0, "build": 6.0}[what]))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def _holds(deployment: Deployment, held_for: str, pid: int) -> bool:
    """Whether the process holds the writer lock for `held_for`."""
    try:
        text = deployment.settings.lock_file.with_suffix(".holder.json").read_text(encoding="utf-8")
    except OSError:
        return False
    return text == json.dumps({"pid": pid, "what": held_for})


@contextmanager
def opened(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    try:
        con.execute(f"attach '{settings.database}' as house (read_only)")
        con.execute("use house")
        yield con
    finally:
        con.close()


def tables(settings: Settings, schema: str) -> dict[str, Fingerprint]:
    """Fingerprints of the tables of a schema, without landing ids."""
    with opened(settings) as con:
        con.execute("create schema memory.held")
        found = {}
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where database_name = 'house' and schema_name = ? order by 1",
            [schema],
        ).fetchall():
            columns = [row[0] for row in con.execute(f"describe house.{schema}.{name}").fetchall()]
            kept = ", ".join(f'"{column}"' for column in columns if column not in VERSIONS)
            masked = MASKED if name == "data_coverage_daily" else ""
            con.execute(
                f"create view memory.held.{name} as select {kept} from (select *{masked} from house.{schema}.{name})"
            )
        con.execute("use memory")
        for (name,) in con.execute("select view_name from duckdb_views() where schema_name = 'held'").fetchall():
            found[name] = fingerprint_table(con, "held", name, exact_doubles=schema == "clean")
    return found


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with opened(settings) as con:
        return con.execute(query).fetchall()


MASKED: Final = """
    replace (
        case when not coalesce(starts_with(primary_detail, 'captured'), false) then primary_reason end as primary_reason,
        case when not coalesce(starts_with(primary_detail, 'captured'), false) then forgotten_on end as forgotten_on
    )
"""
"""Of data_coverage_daily what `coverage` leaves out of ops.coverage."""


def coverage(settings: Settings) -> list[tuple[Any, ...]]:
    """Coverage without what is known of lost slots: one of the two runs asked in vain, the other never asked."""
    known = "case when not coalesce(starts_with(detail, 'captured'), false) then {0} end as {0}"
    columns = ", ".join(known.format(name) for name in ("reason", "forgotten_on"))
    return rows(settings, f"select * replace ({columns}) from ops.coverage order by all")


@dataclass(frozen=True)
class Soaked:
    """A warehouse operated with faults, its faults, and an undisturbed one."""

    plan: Plan
    disturbed: Settings
    undisturbed: Settings
    chaos: Chaos


def soak(folder: Path, plan: Plan, *, seed: int) -> Soaked:
    with deploy(Settings(home=folder / "disturbed"), plan.market(), plan.days) as deployment:
        chaos = Chaos(deployment, random.Random(seed), plan.share)
        operate(deployment, plan, chaos)
        disturbed = deployment.settings
    with deploy(Settings(home=folder / "undisturbed"), plan.market(), plan.days) as other:
        run_undisturbed(other, plan)
        undisturbed = other.settings
    return Soaked(plan, disturbed, undisturbed, chaos)


def check_clean_tables(soaked: Soaked) -> None:
    assert compare(tables(soaked.undisturbed, "clean"), tables(soaked.disturbed, "clean")) == []
    assert coverage(soaked.disturbed) == coverage(soaked.undisturbed)


def check_when_rows_were_known(soaked: Soaked) -> None:
    """Only rows of later versions were known later than in the undisturbed run, none earlier."""
    con = duckdb.connect()
    try:
        for name, settings in (("disturbed", soaked.disturbed), ("undisturbed", soaked.undisturbed)):
            con.execute(f"attach '{settings.database}' as {name} (read_only)")
        moved = 0
        for table in load_contract(soaked.disturbed.schema_dir).clean.values():
            [(earlier, unexplained, later)] = con.execute(
                f"""
                select
                    count(*) filter (d.available_at < u.available_at),
                    count(*) filter (d.available_at > u.available_at and l.version = 1),
                    count(*) filter (d.available_at > u.available_at)
                from disturbed.{table.qualified} as d
                join undisturbed.{table.qualified} as u using ({", ".join(table.key)})
                join disturbed.ops.landings as l on l.landing_id = d.landing_id
                """
            ).fetchall()
            assert (table.name, earlier, unexplained) == (table.name, 0, 0)
            moved += later
        assert moved > 0
    finally:
        con.close()


def check_nothing_is_lost(soaked: Soaked) -> None:
    """Checks the current state of every partition, and the landing byte for byte."""
    newest = """
        select table_name, sum(received), sum(accepted), sum(duplicates), sum(quarantined)
        from (from ops.loads qualify row_number() over (
            partition by source, table_name, trade_date order by load_seq desc) = 1)
        group by table_name
    """
    counted = rows(soaked.disturbed, newest)
    assert len(counted) >= 6
    for table, received, accepted, duplicates, quarantined in counted:
        assert received == accepted + duplicates + quarantined
        if table != "instruments":
            assert rows(soaked.disturbed, f"select count(*) from clean.{table}") == [(accepted,)], table
    store = LandingStore(soaked.disturbed.root)
    assert list(store.verify(store.all())) == []


def check_faults_are_visible(soaked: Soaked) -> None:
    """Every fault that affected a request is recorded with its time."""
    recorded = set(rows(soaked.disturbed, "select venue, noted_at, problem, effect from ops.fetch_problems"))
    met = [seen for seen in soaked.chaos.seen if seen.injected.problem]
    missing = [s for s in met if (s.venue, s.at, s.injected.problem, s.injected.effect) not in recorded]
    assert missing == []
    assert rows(soaked.undisturbed, "select * from ops.fetch_problems") == []


def check_what_came_late_or_changed(soaked: Soaked) -> None:
    plan = soaked.plan
    versions = "select completeness from ops.landings where source = '{}' and partition = '{}' order by version"
    late = rows(soaked.disturbed, versions.format("binance_archive.um_metrics", plan.day(plan.late)))
    assert late[0][0] in ("partial", "not_yet_published")
    assert late[-1] == ("complete",)
    for number in plan.restated:
        assert len(rows(soaked.disturbed, versions.format("binance_archive.um_metrics", plan.day(number)))) >= 2
    assert len(rows(soaked.disturbed, versions.format("evm_ethereum.aave", plan.day(plan.reorganized)))) >= 2


def check_the_lost_hour(soaked: Soaked) -> None:
    """The hour has no rows, its day lacks one capture, and the fetch log has the reason."""
    outage = soaked.plan.outage
    captures = (
        "select trade_date, max(present) from ops.coverage where table_name = 'option_chain' group by 1 order by 1"
    )
    idle = [soaked.plan.day(number) for number in soaked.plan.idle]
    short = [day for day, present in rows(soaked.disturbed, captures) if present < 24]
    assert short == [outage.date(), *idle]
    off = [(day, "missing", "never asked", "captured 0 of 24 slots") for day in idle]
    gaps = "from ops.coverage where table_name = 'option_chain' and status <> 'complete'"
    columns = "distinct trade_date, status, reason, detail"
    assert rows(soaked.disturbed, f"select {columns} {gaps} order by all") == [
        (outage.date(), "partial", "refused: status", "captured 23 of 24 slots"), *off
    ]  # fmt: skip
    assert rows(soaked.undisturbed, f"select {columns} {gaps} order by all") == [
        (outage.date(), "partial", "never asked", "captured 23 of 24 slots"), *off
    ]  # fmt: skip
    given_up = f"from ops.fetch_problems where noted_at = timestamp '{outage}' and effect = 'given_up' and problem = 'unavailable'"
    assert ("okx.option_chain",) in rows(soaked.disturbed, f"select distinct source {given_up}")


def check_coverage_is_the_truth(soaked: Soaked) -> None:
    """Of days whose data the venues still had, everything but the dropped symbol is complete, and its days say why they are
    missing."""
    _, instrument = DROPPED
    gaps = rows(
        soaked.disturbed,
        "select distinct source, instrument, trade_date, status, reason from ops.coverage where status in ('missing', 'partial') "
        "and table_name in ('open_interest', 'long_short_ratios', 'funding_rates', 'candles') order by all",
    )
    # Every day of every instrument has its rows, whatever arrived of it.
    judged: dict[tuple[str, str, str], set[date]] = {}
    for source, table, name, day in rows(
        soaked.disturbed,
        "select distinct source, table_name, instrument, trade_date from ops.coverage where table_name in "
        "('open_interest', 'long_short_ratios', 'funding_rates', 'candles')",
    ):
        judged.setdefault((source, table, name), set()).add(day)
    tables_of = {(source, table) for source, table, _ in judged}
    assert {source for source, _ in tables_of} == {
        f"{venue}.{feed}" for venue, feeds in DAILY.items() for feed in feeds if not venue.startswith("evm_")
    }
    last = soaked.plan.days - 1
    for source, table in tables_of:
        since = max(0, last - 26) if source.startswith(f"{SHORT_RETENTION}.") else 0
        wanted = {soaked.plan.day(number) for number in range(since, soaked.plan.days)}
        for name in ("BTCUSDT", "ETHUSDT"):
            assert judged.get((source, table, name), set()) >= wanted, (source, table, name)
    first = soaked.plan.days if soaked.plan.dropped is None else soaked.plan.dropped
    assert gaps == [
        ("binance_archive.um_metrics", instrument, soaked.plan.day(number), "missing", "not in the source")
        for number in range(first, soaked.plan.days)
    ]


def test_two_days_with_faults_end_in_the_clean_tables_of_one_undisturbed_run(tmp_path: Path) -> None:
    soaked = soak(tmp_path, SHORT, seed=4)
    check_clean_tables(soaked)
    check_when_rows_were_known(soaked)
    check_nothing_is_lost(soaked)
    check_faults_are_visible(soaked)
    check_what_came_late_or_changed(soaked)
    check_the_lost_hour(soaked)
    assert len(soaked.chaos.seen) > 10


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Soaked:
    soaked = soak(tmp_path_factory.mktemp("soak"), MONTH, seed=30)
    for settings in (soaked.disturbed, soaked.undisturbed):
        _run(settings, "build", START, MONTH.days)
    return soaked


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestMonth:
    """Thirty days, with kills and builds in between."""

    def test_every_kind_of_fault_met_a_request(self, month: Soaked) -> None:
        met = {(seen.venue, seen.injected.kind) for seen in month.chaos.seen}
        chance = random.Random(0)
        wanted = {
            (venue, fault.kind)
            for venue in (CAPTURED[0], *DAILY)
            for fault in (*transient_faults(venue, chance), *permanent_faults(venue))
        }
        assert {kind for _, kind in wanted} <= {kind for _, kind in met}
        assert len(wanted - met) < len(wanted) / 4

    def test_clean_tables_and_coverage_are_those_of_the_undisturbed_run(self, month: Soaked) -> None:
        check_clean_tables(month)
        check_when_rows_were_known(month)

    def test_marts_are_those_of_the_undisturbed_run(self, month: Soaked) -> None:
        disturbed, undisturbed = tables(month.disturbed, "marts"), tables(month.undisturbed, "marts")
        for name in OF_LOADS:
            del disturbed[name], undisturbed[name]
        assert compare(undisturbed, disturbed) == []
        assert sum(found.rows > 0 for found in disturbed.values()) > 15

    def test_coverage_is_what_the_venues_know(self, month: Soaked) -> None:
        check_coverage_is_the_truth(month)

    def test_nothing_received_is_lost(self, month: Soaked) -> None:
        check_nothing_is_lost(month)

    def test_every_fault_is_recorded(self, month: Soaked) -> None:
        check_faults_are_visible(month)

    def test_late_and_restated_files_and_the_reorganized_chain_are_versions_of_landings(self, month: Soaked) -> None:
        check_what_came_late_or_changed(month)

    def test_the_lost_hour_is_a_gap_and_recorded(self, month: Soaked) -> None:
        check_the_lost_hour(month)
