"""Venues added in 2026: samples and evidence give the right values, refusals have their types, and what is gone is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.core.errors import (
    LeverhouseError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.venue import Context, Job, Page, Parsed, Span
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import bitget as bitget_emulator
from pipelines.sources import registry
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import SCHEMA
from tests.sources.in_process import InProcessApi, fetch_pages
from tests.sources.test_evidence import AT, EVER, contract, evidence, parsed

MARKET = AnalyticMarket()
NOW = datetime(2026, 7, 3, 6)


def sampled(
    folder: Path, name: str, *, feed: str, subject: str = "*", known: pl.DataFrame | None = None, path: str = "/x",
    params: Mapping[str, Any] | None = None, at: datetime = AT, wrap: bool = False,
) -> list[Parsed]:  # fmt: skip
    """A recorded answer, read in place, as its feed reads it; `wrap` puts a bare sample of Bitget's rows into the envelope."""
    venue = name.partition("/")[0]
    body = (folder / "cex_more" / name).read_bytes()
    if wrap:
        body = orjson.dumps({"code": "00000", "data": orjson.loads(body)})
    page = Page(subject, {"endpoint": "api", "path": path, "params": dict(params or {})}, 200, at, body)
    registry.venue(venue).check(page)
    instruments = pl.DataFrame(schema=SCHEMA) if known is None else known
    return list(registry.venue(venue).feed(feed).parse([page], Context(venue, at, EVER, instruments)))


def linear(venue: str, instrument: str, size: float = 1.0, **more: Any) -> pl.DataFrame:
    facts = {"contract_type": "linear", "contract_size": size, "contract_size_unit": "base", "multiplier": 1.0}
    return contract(venue, instrument, **facts | more)


def rejects(found: Parsed) -> list[str]:
    assert found.rejects is not None
    return found.rejects["reason"].to_list()


def fetched(venue: str, feed: str, routes: Sequence[Any], subject: str, span: Span, **facts: Any) -> list[Page]:
    """The pages of an emulated venue whose behavior is `routes`."""
    api = InProcessApi(routes, MARKET, NOW)
    row = {**dict.fromkeys(SCHEMA), "instrument": subject, "quote": "USDT", "contract_type": "linear"} | facts
    return fetch_pages(registry.venue(venue).feed(feed), api, Job(subject, span, row))


@pytest.mark.parametrize(
    ("venue", "body", "error"),
    [
        ("bitget", {"code": "429", "msg": "too many requests"}, ThrottledError),
        ("bitget", {"code": "40725", "msg": "service return an error"}, VenueUnavailableError),
        ("bitget", {"code": "40034", "msg": "no such parameter"}, RequestRefusedError),
    ],
)
def test_an_error_in_a_200_is_raised(venue: str, body: Mapping[str, Any], error: type[LeverhouseError]) -> None:
    with pytest.raises(error):
        registry.venue(venue).check(Page("*", {}, 200, AT, orjson.dumps(body)))


@pytest.mark.parametrize("venue", ["bitget"])
def test_open_interest_of_unsettled_counting_is_shown_and_marked(venue: str) -> None:
    assert [fact.sides for fact in FACTS[venue]] == ["unknown"]
    assert registry.venue(venue).feed("open_interest").counting == FACTS[venue]


# Bitget


def test_bitget_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "bitget/instruments_v3.json", feed="instruments")
    classes = dict(listed.rows.select("asset", "asset_class").rows())
    assert (classes["BTC"], classes["PKX.STOCK"], classes["EURUSD.OTHER"]) == ("crypto", "stock", "other")
    first = listed.rows.row(by_predicate=pl.col("asset") == "BTC", named=True)
    assert (first["listed_at"], first["delisted_at"], first["contract_size"]) == (None, None, 1.0)
    [held] = sampled(samples_dir, "bitget/tickers_v3.json", feed="open_interest")
    bitcoin = held.rows.row(by_predicate=pl.col("instrument") == "BTCUSDT", named=True)
    assert (bitcoin["oi_base"], bitcoin["counting"], bitcoin["period"]) == (35917.05359999992, "unknown", "snapshot")
    assert bitcoin["event_at"] == datetime(2026, 9, 13, 22, 6, 20, 512_000)
    [paid] = sampled(samples_dir, "bitget/history_fund_rate.json", feed="funding", subject="BTCUSDT")
    assert paid.rows.select("rate", "settled_at").row(0) == (0.000076, datetime(2026, 9, 13, 16))
    # The sample is of minutes; the columns are those of the hours.
    [candle] = sampled(
        samples_dir,
        "bitget/candles.json",
        feed="candles",
        subject="BTCUSDT",
        known=linear("bitget", "BTCUSDT"),
        wrap=True,
    )
    assert candle.rows.select("close", "volume_base", "volume_quote").row(0) == (39379.0, 35.526, 1399132.341)
    [accounts] = sampled(samples_dir, "bitget/account_long_short.json", feed="account_ratio", subject="BTCUSDT")
    # The published ratio of 0.0138 contradicts the shares.
    assert accounts.rows.select("ratio", "long_share").row(0) == pytest.approx((0.58 / 0.42, 0.58))


def test_bitget_mixed_list() -> None:
    [found] = parsed("bitget", "instruments", evidence("bitget", "instruments", "mixed_list"))
    assert dict(found.rows.select("asset", "asset_class").rows()) == {
        "BTC": "crypto", "NET.STOCK": "stock", "XAU.COMMODITY": "commodity", "EURUSD.OTHER": "other", "龙": "crypto",
    }  # fmt: skip
    assert found.rows["listed_at"][0] is None
    assert found.rows["delisted_at"].drop_nulls().to_list() == [datetime(2026, 10, 2)]
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(7, "type")]


def test_bitget_liquidations_are_of_positions_and_equal_rows_are_two() -> None:
    [found] = parsed("bitget", "liquidations", evidence("bitget", "liquidations", "longs"))
    assert found.rows.select("side", "quantity_base").rows() == [("long", 0.25), ("long", 0.25), ("short", 1.5)]
    assert found.rows["liquidation_id"].n_unique() == 3
    assert set(found.rows["completeness"]) == {"throttled"}
    assert rejects(found) == ["undecodable"]
    with pytest.raises(RequestRefusedError, match="NOUSDT"):
        registry.venue("bitget").check(evidence("bitget", "funding", "refused"))


@pytest.mark.parametrize("cap", [100, 7])
def test_bitget_history_survives_a_lower_cap_and_ends_where_it_is_kept(cap: int) -> None:
    behavior = bitget_emulator.ResponseBehavior(rows=cap, keeps_funding=timedelta(days=20))
    routes = bitget_emulator.routes(behavior)
    day = Span(datetime(2026, 6, 20), datetime(2026, 6, 21))
    for feed, expected in (("funding", 3), ("candles", 24)):
        pages = fetched("bitget", feed, routes, "BTCUSDT", day)
        context = Context("bitget", NOW, day, linear("bitget", "BTCUSDT"))
        [found] = registry.venue("bitget").feed(feed).parse(pages, context)
        assert found.rows.drop("_line").unique().height == expected
    month = Span(datetime(2026, 6, 1), datetime(2026, 7, 1))
    with pytest.raises(NoLongerAvailableError, match="begins at 2026-06-13 08:00"):
        fetched("bitget", "funding", routes, "BTCUSDT", month)
    # A contract that was listed then has no more to give.
    assert fetched("bitget", "funding", routes, "BTCUSDT", month, listed_at=datetime(2026, 6, 13))


def test_bitget_liquidations_of_a_day_that_begins_before_what_is_kept_are_gone() -> None:
    routes = bitget_emulator.ROUTES
    with pytest.raises(NoLongerAvailableError, match="begin at 2026-06-30"):
        fetched("bitget", "liquidations", routes, "*", Span(datetime(2026, 6, 30), datetime(2026, 7, 1)))
    assert fetched("bitget", "liquidations", routes, "*", Span(datetime(2026, 7, 1), datetime(2026, 7, 2)))


def test_a_page_that_repeats_the_one_before_is_an_error() -> None:
    [fixed] = [r for r in bitget_emulator.ROUTES if r.path.endswith("history-fund-rate")]

    def first_page(request: Any, market: Any) -> Any:
        return fixed.handler(type(request)(**{**vars(request), "params": {**request.params, "pageNo": "1"}}), market)

    routes = [type(fixed)("GET", "api", fixed.path, first_page)]
    with pytest.raises(SourceFormatError, match="repeats the one before"):
        fetched("bitget", "funding", routes, "BTCUSDT", Span(datetime(2026, 1, 1), datetime(2026, 2, 1)))
