"""What a venue answers wrongly costs the day it is about: others load, the reason is in ops, and the next good answer heals it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

import duckdb
import orjson
import polars as pl
import pytest

from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport, Partition, fetch_feed, plan_days
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import WHOLE_VENUE, Api, Job, Page, Span
from pipelines.operations.load import LoadOutcome, load_pending
from pipelines.sandbox.venues.evm import BLOCK_SECONDS, ChainMarket
from pipelines.sandbox.venues.kamino import SolanaMarket
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, InstrumentHistory, jobs_of
from tests.sources.chain_cases import CHAIN_CASES, DAY, ChainCase
from tests.sources.fuzz_fixture import SHAPES, STAMPS, ChangedApi, contract
from tests.sources.test_pages import in_process_api, instruments
from tests.sources.venue_case import VenueCase
from tests.sources.venue_cases import VENUE_CASES


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.database), read_only=True) as con:
        return con.execute(sql).fetchall()


@dataclass
class Fetching:
    """Fetches a daily feed of a case from its emulator, in-process, with answers that may be changed."""

    settings: Settings
    case: VenueCase | ChainCase
    feed_name: str

    def __post_init__(self) -> None:
        self.venue = registry.venue(self.case.venue)
        self.feed = self.venue.feed(self.feed_name)
        self.store = LandingStore(self.settings.root)
        self.now = self.case.now

    @property
    def exchange(self) -> VenueCase:
        assert isinstance(self.case, VenueCase)
        return self.case

    def clock(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def instruments(self) -> None:
        """Land the venue's instruments."""
        feed = self.venue.feed(INSTRUMENTS)
        start = self.case.now.replace(hour=0)
        slot = Partition(f"{start:%Y-%m-%d}", "0000", Span(start, start + timedelta(days=1)))
        report = asyncio.run(
            self._fetch(feed, in_process_api(self.exchange), [slot], lambda span: {"*": Job("*", span)})
        )
        report.raise_failures()

    def fetch(self, day: date, change: Callable[[bytes], bytes] | None = None) -> FetchReport:
        """Fetch a day; the answers about every other subject are changed."""
        history = InstrumentHistory(lambda: [(self.store.all()[0], instruments(self.exchange.venue))])
        jobs = jobs_of(self.feed, lambda: (history, self.exchange.assets))
        partitions = plan_days(self.feed, day, day, now=self.now, landed=[])
        subjects = sorted(jobs(partitions[0].span))[::2]
        api: Api = in_process_api(self.exchange)
        if change is not None:
            api = ChangedApi(api, change, subjects)
        return asyncio.run(self._fetch(self.feed, api, partitions, jobs))

    async def _fetch(
        self, feed: Any, api: Api, partitions: list[Partition], jobs: Callable[[Span], Mapping[str, Job]]
    ) -> FetchReport:
        reader = registry.answer_reader(self.store, contract(), self.venue, feed)
        return await fetch_feed(
            self.store, self.venue, feed, api, partitions=partitions, jobs=jobs, reader=reader, now=self.now,
            clock=self.clock,
        )  # fmt: skip

    def load(self) -> LoadOutcome:
        """Load without the gate, whose import takes longer than all the rest."""
        return load_pending(self.settings, gate=lambda _con, _inputs: [], clock=self.clock)

    def rows(self) -> pl.DataFrame:
        table = self.feed.tables[0]
        with duckdb.connect(str(self.settings.database), read_only=True) as con:
            return con.sql(
                f"select * exclude (landing_id, loaded_at, available_at) from clean.{table} order by all"
            ).pl()


class ChainFetching(Fetching):
    """The same of a chain's feed, which has one subject and no instruments."""

    def instruments(self) -> None:
        """Nothing is listed."""

    def fetch(self, day: date, change: Callable[[bytes], bytes] | None = None) -> FetchReport:
        partitions = plan_days(self.feed, day, day, now=self.now, landed=[])
        assert isinstance(self.case, ChainCase)
        api, subject = self.case.api(), self.case.subject
        asked: Api = api if change is None else ChangedApi(api, change, [WHOLE_VENUE, subject])
        return asyncio.run(self._fetch(self.feed, asked, partitions, lambda span: {subject: Job(subject, span)}))


CHAIN_FEEDS: Final = ("evm_ethereum.aave", "kamino.liquidations", "hyperliquid_fills.liquidations", "defillama.prices")


def three_days(case: ChainCase) -> ChainCase:
    """The case with its events on the day before and the day after too."""
    if not isinstance(case.market, ChainMarket):
        return case
    days = [timedelta(days=number) // timedelta(seconds=BLOCK_SECONDS) for number in (-1, 0, 1)]
    logs = [
        replace(log, block=log.block + blocks, tx_hash=f"0x{number:02x}{log.tx_hash[4:]}")
        for number, blocks in enumerate(days)
        for log in case.market.logs
    ]
    more: dict[str, Any] = {"logs": logs}
    if isinstance(case.market, SolanaMarket):
        more["solana"] = [
            replace(one, slot=one.slot + blocks, number=one.number + 10 * number)
            for number, blocks in enumerate(days)
            for one in case.market.solana
        ]
    return replace(case, market=replace(case.market, **more))


ONE_OF_EACH: Final = {
    case.venue: next(
        feed.name
        for feed in registry.venue(case.venue).feeds
        if feed.cadence.name == "daily" and feed.partitioning.months != "only"
    )
    for case in VENUE_CASES
    if case.venue != "binance_archive"
}
MUTATIONS: Final = {**SHAPES, **STAMPS}


QUICK: Final = ("bybit", "kraken", "orderly")
NUMBERS: Final = [
    pytest.param(number, id=venue, marks=() if venue in QUICK else pytest.mark.slow)
    for number, venue in enumerate(ONE_OF_EACH)
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_day_of_wrong_answers_heals_and_leaves_the_others_as_they_are(settings: Settings, number: int) -> None:
    """One feed of each venue, each with another fault; test_fuzz.py has every fault of every feed."""
    venue, feed = list(ONE_OF_EACH.items())[number]
    case = next(case for case in VENUE_CASES if case.venue == venue)
    homes = [settings.model_copy(update={"home": settings.root / kind}) for kind in ("good", "bad")]
    undisturbed, there = (Fetching(home, case, feed) for home in homes)
    day_of_wrong_answers(undisturbed, there, case.day, number)


@pytest.mark.parametrize("number", [pytest.param(n, id=name) for n, name in enumerate(CHAIN_FEEDS)])
def test_a_day_of_wrong_answers_of_a_chain_heals(settings: Settings, number: int) -> None:
    homes = [settings.model_copy(update={"home": settings.root / kind}) for kind in ("good", "bad")]
    case = three_days(CHAIN_CASES[CHAIN_FEEDS[number]])
    undisturbed, there = (ChainFetching(home, case, case.feed) for home in homes)
    day_of_wrong_answers(undisturbed, there, DAY.start.date(), number)


def day_of_wrong_answers(undisturbed: Fetching, there: Fetching, day: date, number: int) -> None:
    """Three days, the second of which is answered wrongly in one of the two homes and then asked for again."""
    name, mutation = list(MUTATIONS.items())[number % len(MUTATIONS)]
    for one in (undisturbed, there):
        one.instruments()
        one.fetch(day - timedelta(days=1)).raise_failures()
    undisturbed.fetch(day).raise_failures()
    undisturbed.load().raise_failures()

    report = there.fetch(day, partial(mutation, random.Random(0)))
    assert report.failures, name
    assert len(report.unreadable) == 1, name
    outcome = there.load()
    outcome.raise_failures()
    [(refused, detail)] = query(there.settings, "select reason, detail from ops.refused_landings")
    assert refused == "unreadable"
    assert detail
    before = undisturbed.rows().filter(pl.col("trade_date") < day)
    assert there.rows().filter(pl.col("trade_date") < day).equals(before)

    there.fetch(day + timedelta(days=1)).raise_failures()
    there.load().raise_failures()
    assert there.load().reports == ()

    there.fetch(day).raise_failures()
    there.load().raise_failures()
    days = pl.col("trade_date") <= day
    assert there.rows().filter(days).equals(undisturbed.rows().filter(days))
    assert query(there.settings, "select count(*) from ops.refused_landings") == [(0,)]
    assert query(there.settings, "select count(*) from ops.coverage where reason = 'unreadable answer'") == [(0,)]


FIRST: Final = date(2021, 1, 1)
LANDINGS: Final = 1_000


def oi_answer(day: date) -> dict[str, Any]:
    stamp = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    stamps = (stamp, stamp + 300_000)
    return {"retCode": 0, "result": {"list": [{"openInterest": "5.5", "timestamp": str(at)} for at in stamps]}}


def bad_bodies(day: date) -> list[bytes]:
    """Eighteen answers that nobody can read."""
    good, chance = oi_answer(day), random.Random(0)
    bodies = [mutation(chance, orjson.dumps(good)) for mutation in MUTATIONS.values()]
    odd: list[Any] = [
        [], 5, {"result": None}, {"result": {"list": None}}, {"result": {"list": "none"}}, {"result": {"list": {"a": 1}}},
        {"result": {"list": [7, 8]}},
    ]  # fmt: skip
    return [*bodies, *(orjson.dumps(one) for one in odd), b"[" * 10_000 + b"]" * 10_000]


@pytest.mark.slow
def test_of_a_thousand_landings_twenty_bad_ones_are_refused_and_the_others_load(settings: Settings) -> None:
    case = next(case for case in VENUE_CASES if case.venue == "bybit")
    there = Fetching(settings, case, "open_interest")
    there.instruments()
    bad = dict(enumerate(bad_bodies(FIRST)))
    for number in range(LANDINGS):
        day = FIRST + timedelta(days=number)
        span = Span.of_days(day, day)
        with there.store.draft("bybit.open_interest", f"{day}", "all") as draft:
            body = bad.get(number, orjson.dumps(oi_answer(day)))
            draft.add(
                Page("BTCUSDT", {"endpoint": "api", "path": "/v5/market/open-interest"}, 200, there.clock(), body)
            )
            landed = draft.land(
                completeness="complete", original_name=f"{day}.zip", clock=there.clock,
                request={"span": [span.start.isoformat(), span.end.isoformat()], "covers": {"BTCUSDT": "complete"}},
            )  # fmt: skip
        if number == len(bad):
            landed.path.unlink()
        elif number == len(bad) + 1:
            landed.path.write_bytes(landed.path.read_bytes()[:-9])
    there.load()
    refused = query(settings, "select landing_id, reason, detail from ops.refused_landings order by partition")
    assert len(refused) == 20
    assert len({detail for _, _, detail in refused}) == 20
    assert {reason for _, reason, _ in refused} == {"unreadable", "altered"}
    assert query(settings, "select count(*) from clean.open_interest") == [(2 * (LANDINGS - 20),)]
    assert there.load().reports == ()
    chosen = next(landing for landing in there.store.all() if landing.landing_id == refused[0][0])
    there.store.forget(chosen, reason="not of this feed", clock=there.clock)
    there.load()
    assert query(settings, "select count(*) from ops.refused_landings") == [(19,)]
    assert query(settings, "select count(*) from clean.open_interest") == [(2 * (LANDINGS - 20),)]
