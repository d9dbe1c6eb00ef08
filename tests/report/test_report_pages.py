"""The pages in a real browser, opened from files: they draw what the marts hold, reach nothing, and stay text whatever a venue is
called. One browser serves all tests of this module."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import duckdb
import pytest

from pipelines.core.settings import Settings
from pipelines.report.browser import Browser, open_browser
from pipelines.report.build import write_report
from pipelines.report.pictures import SIZES, Picture, draw_one
from pipelines.report.views import VIEWS
from tests.browser import browser_or_skip
from tests.report.report_fixture import (
    BAD_VENUE,
    DAYS,
    LAST,
    MARKUP,
    MISSING_DAY,
    PUBLISHED,
    SIGNALS,
    TAINTED_DAYS,
    UNHEARD_DAYS,
    day,
    publish,
)  # fmt: skip

RAMP = ["#4a1c8c", "#6a1fa0", "#8b2a9f", "#ad3a8e", "#cb4f77", "#e46b5d", "#f58f43", "#fcbb35", "#f7ee5a"]
WIDE, PHONE = 1440, 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser(browser_or_skip()) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("report"))
    publish(settings.published_database)
    write_report(settings)
    return settings


@pytest.fixture(scope="module")
def report(home: Settings) -> Path:
    return home.published_dir / "report"


@pytest.fixture(scope="module")
def con(home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(home.published_database), read_only=True) as opened:
        yield opened


def show(browser: Browser, report: Path, page: str, state: str = "", *, width: int = WIDE) -> None:
    browser.events.clear()
    browser.open(f"{(report / page).as_uri()}.html#{state}", width=width, height=900, phone=width < 800)


def complaints(browser: Browser) -> list[str]:
    """What the console says, and what was asked for outside the page's folder."""
    found: list[str] = list(browser.ask("LH.api.errors()"))
    for event in browser.events:
        about = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            found.append(about["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            found.append(str(about["exceptionDetails"].get("text")))
        elif event.get("method") == "Runtime.consoleAPICalled" and about["type"] in {"error", "warning"}:
            found.append(str(about["args"]))
    return found


def requested(browser: Browser) -> list[str]:
    urls = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("about:", "data:", "blob:"))]


def scalar(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return con.execute(sql).fetchall()[0][0]


def marks(browser: Browser, chart: str) -> dict[str, Any]:
    found: dict[str, Any] = browser.ask(f"LH.api.marks({chart!r})")
    return found


def color_along(at: float) -> str:
    place = min(max(at, 0.0), 1.0) * (len(RAMP) - 1)
    low = min(math.floor(place), len(RAMP) - 2)
    parts = [[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in (RAMP[low], RAMP[low + 1])]
    mixed = [a + (b - a) * (place - low) for a, b in zip(*parts, strict=True)]
    return "#" + "".join(f"{math.floor(value + 0.5):02x}" for value in mixed)


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (PHONE, "dark")])
def test_every_page_opens_from_a_file_without_error_or_outside_request(
    browser: Browser, report: Path, width: int, theme: str
) -> None:
    for page in ("index", "asset", "asof", "trust"):
        show(browser, report, page, f"a=BTC&theme={theme}", width=width)
        assert complaints(browser) == []
        asked = [unquote(url.removeprefix("file://")) for url in requested(browser)]
        assert asked
        assert all(Path(path).is_relative_to(report) for path in asked), asked
        assert browser.ask("LH.api.charts()") == [view.name for view in VIEWS if view.page == page]
        assert browser.ask("document.documentElement.dataset.theme") == theme
        assert browser.ask("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_text_never_overlaps(browser: Browser, report: Path, width: int) -> None:
    parts = ".card > *, .head > *, .legend > *, .foot > *, .figures > div, .top .line > *, nav > *, .signals .row > *"
    for page, state in (
        ("index", ""),
        ("asset", "a=BTC&layer=both&zone=38-40"),
        ("asset", f"a={quote(MARKUP)}"),
        ("trust", ""),
    ):
        show(browser, report, page, state, width=width)
        overlapping = browser.ask(
            f"""[...document.querySelectorAll({parts!r})].map((node) => [node, node.getBoundingClientRect()])
            .filter(([, box]) => box.width && box.height)
            .flatMap(([node, box], at, all) => all.slice(at + 1).filter(([other, next]) => other.parentNode === node.parentNode
                && Math.min(box.right, next.right) - Math.max(box.left, next.left) > 1
                && Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top) > 1)
                .map(([other]) => node.textContent.slice(0, 40) + ' | ' + other.textContent.slice(0, 40)))"""
        )
        assert overlapping == []


def test_charts_have_the_marks_that_the_marts_hold(
    browser: Browser, report: Path, con: duckdb.DuckDBPyConnection
) -> None:
    show(browser, report, "asset", "a=BTC&days=all")
    hidden = 1 + len(TAINTED_DAYS)
    interest = marks(browser, "oi")
    assert interest["series"] == {"oi 0": DAYS - hidden, "oi 1": DAYS - hidden, "close": DAYS}
    assert interest["unknownDays"] == hidden
    split = marks(browser, "split")
    plausible = scalar(
        con, "select count(*) from marts.oi_trends_daily where asset = 'BTC' and oi_change_plausible = 'on'"
    )
    assert set(split["series"].values()) == {plausible}
    assert split["unknownDays"] == DAYS - plausible
    heat = marks(browser, "heat")
    assert heat["cells"] == scalar(con, "select count(*) from marts.liquidation_heatmap_daily where asset = 'BTC'")
    assert heat["unknownDays"] == UNHEARD_DAYS
    assert heat["zones"] == scalar(
        con, "select count(distinct trade_date) from marts.liquidation_heatmap_daily where asset = 'BTC' and is_dense"
    )
    sides = marks(browser, "liq")
    by_end = "select count(*) from marts.fct_liquidations_daily where asset = 'BTC' and "
    assert sides["series"] == {"shorts": DAYS - UNHEARD_DAYS, "longs": DAYS - UNHEARD_DAYS, "close": DAYS}
    assert sides["whiskers"] == scalar(con, by_end + "notional_usd_upper > notional_usd")
    assert sides["arrows"] == scalar(con, by_end + "notional_usd_upper is null")
    assert sides["unknownDays"] == UNHEARD_DAYS
    funding = marks(browser, "funding")
    known = scalar(con, "select count(*) from marts.fct_funding_daily where asset = 'BTC'")
    regimes = scalar(
        con, "select count(*) from marts.funding_regimes_daily where asset = 'BTC' and regime <> 'unknown'"
    )
    assert (funding["cells"], funding["unknownDays"], funding["outlines"]) == (
        known + regimes,
        3 * DAYS - known - regimes,
        1,
    )
    assert marks(browser, "kinds")["series"] == {
        "exchange_usd": DAYS - UNHEARD_DAYS, "perp_dex_usd": 0, "lending_usd": DAYS, "z 0": DAYS - 60, "z 1": 0,
    }  # fmt: skip
    assert marks(browser, "crowd")["series"] == {
        "crowd 0": DAYS,
        "crowd 1": DAYS,
        "long_crowded": 3,
        "short_crowded": 0,
    }
    assert marks(browser, "strikes")["bars"] == 18
    assert set(marks(browser, "smile")["series"].values()) == {9}
    assert marks(browser, "vol")["series"] == {"line 0": DAYS, "line 1": (DAYS - 45 + 1) // 2, "line 2": DAYS}
    signals = marks(browser, "signals")
    for state, name in (("on", "on"), ("off", "off"), ("unknown", "unknownDays")):
        assert signals[name] == scalar(
            con, f"select count(*) from marts.signals_daily where asset = 'BTC' and state = '{state}' and "
            f"trade_date > date '{LAST}' - 60"
        )  # fmt: skip
    assert (signals["rows"], signals["intervals"]) == (len(SIGNALS), 1)
    show(browser, report, "trust", "days=all")
    cells = scalar(con, "select count(*) from marts.data_coverage_daily")
    assert (marks(browser, "coverage")["cells"], marks(browser, "coverage")["unknownDays"]) == (cells, 2 * DAYS - cells)
    show(browser, report, "index", "days=365")
    assert marks(browser, "fundingmap")["cells"] == 2 * DAYS
    assert marks(browser, "board")["rows"] == 2


def test_heatmap_colors_are_those_of_the_marts_dollars(
    browser: Browser, report: Path, con: duckdb.DuckDBPyConnection
) -> None:
    show(browser, report, "asset", "a=BTC&overlays=off")
    scale = browser.ask("LH.entry().scale")
    low, high = con.execute(
        "select distinct color_low_usd, color_high_usd from marts.liquidation_heatmap_daily where asset = 'BTC'"
    ).fetchall()[0]
    assert scale == {"low": pytest.approx(low, rel=1e-6), "high": pytest.approx(high, rel=1e-6)}
    rows = con.execute(
        "select cast(trade_date as varchar), bin_no, (price_low_usd + price_high_usd) / 2, notional_usd "
        "from marts.liquidation_heatmap_daily where asset = 'BTC' order by all"
    ).fetchall()
    for ratio in (1.0, 1.25):
        browser.resize(WIDE, 900, ratio=ratio)
        browser.ask("LH.drawAll()")
        for wanted, bin_no, middle, usd in (rows[1], rows[len(rows) // 2], rows[-2]):
            span = math.log1p(scale["high"]) - math.log1p(scale["low"])
            expected = color_along((math.log1p(usd) - math.log1p(scale["low"])) / span)
            found = browser.ask(f"LH.api.at('heat', {wanted!r}, {middle})")
            assert found == {"bin": bin_no, "value": pytest.approx(usd, rel=1e-6), "color": expected, "pixel": expected}
    quiet = browser.ask(f"LH.api.at('heat', {str(day(UNHEARD_DAYS))!r}, 100)")
    assert (quiet["bin"], quiet["value"], quiet["color"]) == (None, 0, "#0f0a1c"), "covered, and none"
    unknown = browser.ask(f"LH.api.at('heat', {str(day(3))!r}, 40)")
    assert (unknown["value"], unknown["color"]) == (None, "unknown")


ASSET_VIEWS = [view.name for view in VIEWS if view.page == "asset"]


def close_to(value: Any, expected: Any) -> bool:
    if expected is None or value is None:
        return value is None and expected is None
    if isinstance(expected, bool):
        return str(value) in {str(expected), str(expected).lower()}
    if isinstance(expected, int | float):
        return bool(math.isclose(float(value), float(expected), rel_tol=5e-7, abs_tol=1e-12))
    if hasattr(expected, "isoformat"):
        return str(value) == str(expected.isoformat())
    return str(value) == str(expected)


def compare(table: dict[str, Any], con: duckdb.DuckDBPyConnection, sql: str, *, keys: int = 0) -> None:
    """The table's rows are those of the query, in its order. Of a chart by day, whose rows have `keys`, one whose every number is
    unknown may be left out: it says nothing."""
    cursor = con.execute(sql)
    expected = [row for row in cursor.fetchall() if not keys or any(value is not None for value in row[keys:])]
    if expected:
        assert table["columns"] == [column[0] for column in cursor.description or ()]
    assert len(table["rows"]) == len(expected)
    for shown, row in zip(table["rows"], expected, strict=True):
        assert all(close_to(a, b) for a, b in zip(shown, row, strict=True)), (shown, row)


@pytest.mark.parametrize("asset", ["BTC", MARKUP])
def test_tables_and_copied_queries_give_the_numbers_of_the_marts(
    browser: Browser, report: Path, con: duckdb.DuckDBPyConnection, asset: str
) -> None:
    show(browser, report, "asset", f"a={quote(asset)}&days=all")
    for view in (view for view in VIEWS if view.page == "asset"):
        sql, table = browser.ask(f"[LH.api.meta({view.name!r}).sql, LH.api.table({view.name!r})]")
        compare(table, con, sql, keys=(1 + bool(view.key)) if view.columns else 0)


def test_tables_of_market_and_trust_are_those_of_their_queries(
    browser: Browser, report: Path, con: duckdb.DuckDBPyConnection
) -> None:
    for page in ("index", "trust"):
        show(browser, report, page)
        for view in (view for view in VIEWS if view.page == page):
            sql, table = browser.ask(f"[LH.api.meta({view.name!r}).sql, LH.api.table({view.name!r})]")
            compare(table, con, sql)


def test_every_chart_names_its_mart_unit_and_freshness_and_says_what_it_shows(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    for name in ASSET_VIEWS:
        meta = browser.ask(f"LH.api.meta({name!r})")
        assert meta["mart"]
        assert meta["unit"]
        assert meta["freshness"].startswith("2025-02-18")
        assert browser.ask(f"document.querySelector('#{name} .source').textContent").startswith(
            meta["mart"].split(",")[0][:8]
        )
        if name not in {"signals", "strikes", "smile"}:
            known = meta["coverage"]
            assert 0 < known["days"] <= known["of"] == DAYS
            assert known["last"] == str(LAST)
            assert f"known on {known['days']} of {DAYS} days" in browser.ask(
                f"document.querySelector('#{name} .source').textContent"
            )
        if name != "signals":
            assert (
                str(LAST) in meta["label"]
                or "Chain of" in meta["label"]
                or "last" in meta["label"]
                or "days" in meta["label"]
            )


def test_layers_switch_and_levels_of_a_day_stand_in_the_next_column(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    browser.ask("document.querySelector('button[data-value=predicted]').click()")
    browser.ask("LH.set({layer: 'predicted', overlays: 'off'})")
    assert "PREDICTED" in browser.ask("document.querySelector('#heat .chips').textContent")
    assert "better" in browser.ask("document.querySelector('#heat .chips').textContent")
    assert marks(browser, "heat")["unknownDays"] == 31, "levels are known from day 30 on and drawn from day 31"
    assert browser.ask(f"LH.api.at('heat', {str(day(30))!r}, 40.1)")["color"] == "unknown"
    first = browser.ask(f"LH.api.at('heat', {str(day(31))!r}, 40.1)")
    assert (first["bin"], first["value"], first["color"]) == (700, 2e5, "#f7ee5a")
    assert first["pixel"] == first["color"]
    browser.ask("LH.set({layer: 'both', overlays: ''})")
    assert marks(browser, "heat")["circles"] > 0
    browser.ask("LH.set({layer: 'realized', oi: 'base'})")
    assert "oi 0" in marks(browser, "oi")["series"]
    assert browser.ask("document.querySelector('#heat .chips').textContent") == "REALIZED"
    assert complaints(browser) == []


def test_window_asset_and_theme_change_without_loading_the_page_again(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC&days=30")
    assert browser.ask("LH.api.window()") == {"from": str(day(DAYS - 30)), "to": str(LAST), "n": 30}
    assert not any("-2024.js" in url for url in requested(browser)), "an earlier year is loaded when it is shown"
    browser.ask("document.querySelector('button[data-value=\"90\"]').click()")
    assert browser.ask("LH.set({days: 'all'}).then(() => LH.api.window().n)") == DAYS
    assert any("-2024.js" in unquote(url) for url in requested(browser))
    assert browser.ask(f"LH.set({{to: {str(day(49))!r}, days: 20}}).then(() => LH.api.window())") == {
        "from": str(day(30)), "to": str(day(49)), "n": 20,
    }  # fmt: skip
    before = browser.ask("getComputedStyle(document.body).backgroundColor")
    browser.ask("document.getElementById('theme').click()")
    browser.ask("LH.drawAll()")
    assert browser.ask("document.documentElement.dataset.theme") == "dark"
    assert browser.ask("getComputedStyle(document.body).backgroundColor") != before
    browser.ask(f"location.hash = 'a={quote(MARKUP)}'; LH.set({{a: {MARKUP!r}}})")
    assert browser.ask("document.getElementById('title').textContent") == MARKUP
    assert browser.ask("LH.charts.get('strikes').result.absent").startswith("No option chain")
    assert complaints(browser) == []


def test_arrow_keys_move_the_cursor_and_it_is_read_out(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    browser.ask("document.querySelector('#split .plot').focus()")
    for _ in range(2):
        browser.ask(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}))"
        )
    said = browser.ask("document.getElementById('live').textContent")
    assert said.startswith(str(day(DAYS - 2)))
    assert "change" in said
    browser.ask("document.querySelector('#split button[data-do=table]').click()")
    assert browser.ask("document.querySelector('#split-table caption').textContent").startswith(
        "Change of open interest"
    )
    assert browser.ask("document.querySelectorAll('#split-table tbody tr').length") == DAYS


def test_a_named_range_of_prices_says_what_was_liquidated_and_what_followed(
    browser: Browser, report: Path, con: duckdb.DuckDBPyConnection
) -> None:
    show(browser, report, "asset", "a=BTC&zone=38-40&days=all")
    study = browser.ask("(({A, i0, i1}) => LH.zone.study(A, i0, i1, [38, 40]))(LH.frame())")
    long, short, days = con.execute(
        "select sum(long_usd), sum(short_usd), count(distinct trade_date) from marts.liquidation_heatmap_daily "
        "where asset = 'BTC' and (price_low_usd + price_high_usd) / 2 >= 38 and (price_low_usd + price_high_usd) / 2 < 40"
    ).fetchall()[0]
    assert study["long"] == pytest.approx(long, rel=1e-6)
    assert (study["short"], study["days"]) == (pytest.approx(short, rel=1e-6), days)
    entered = con.execute(
        "with p as (select trade_date, close_usd as c, lag(close_usd) over w as b, lead(close_usd, 1) over w as n1, "
        "lead(close_usd, 8) over w as n8 from marts.fct_price_daily where asset = 'BTC' window w as (order by trade_date)) "
        "select cast(trade_date as varchar), n8 / n1 - 1 from p where c >= 38 and c < 40 and not (b >= 38 and b < 40) order by 1"
    ).fetchall()
    assert [one["day"] for one in study["entries"]] == [row[0] for row in entered]
    for one, (_, after) in zip(study["entries"], entered, strict=True):
        assert one["after7"] == (None if after is None else pytest.approx(after, rel=1e-5))
    told = browser.ask("document.querySelector('#heat .foot').textContent")
    assert "Range 38.00 to 40.00" in told
    assert "counted from the next day's close" in told


def test_what_was_known_then_stands_beside_what_is_known_now(browser: Browser, report: Path) -> None:
    first, second = (stamp.isoformat() for stamp in PUBLISHED)
    show(browser, report, "asof", "a=BTC")
    options = browser.ask("[...document.querySelectorAll('#publication option')].map((one) => one.value)")
    assert options == [second, first]
    browser.ask(
        "(() => { const pick = document.getElementById('publication'); "
        f"pick.value = {first!r}; pick.dispatchEvent(new Event('change')); }})()"
    )
    browser.ask("LH.drawAll()")
    assert browser.ask("document.getElementById('known-day').value") == str(day(79)), "later days were not known then"
    state = next(
        row for row in browser.ask("LH.asof.compared()") if row["column"] == "state" and row["key"] == SIGNALS[0][0]
    )
    assert (state["then"], state["now"], state["changed"], state["since"]) == ("off", "on", True, second)
    browser.ask(f"LH.set({{pub: {second!r}, day: {str(day(79))!r}}})")
    assert marks(browser, "then")["changed"] == 0
    assert complaints(browser) == []


def test_names_that_look_like_markup_stay_text(browser: Browser, report: Path) -> None:
    for page, state in (("asset", f"a={quote(MARKUP)}"), ("index", ""), ("asof", f"a={quote(MARKUP)}"), ("trust", "")):
        show(browser, report, page, state)
        browser.ask("window.alert = () => { LH.errors.push('alert'); }")
        for name in browser.ask("LH.api.charts()"):
            browser.ask(f"document.querySelector('#{name} button[data-do=table]:not(:disabled)')?.click()")
        assert browser.ask("document.querySelectorAll('img').length") == 0
        assert browser.ask("[...document.scripts].filter((one) => !one.src).length") == 0
        assert MARKUP in browser.ask("document.body.textContent")
        assert complaints(browser) == []
    show(browser, report, "asset", f"a={quote(MARKUP)}")
    assert BAD_VENUE in browser.ask("document.querySelector('#oi .legend').textContent")
    assert f"asset = '{MARKUP}'" in browser.ask("LH.api.meta('oi').sql")
    for path in report.rglob("*.js"):
        if path.parent.name == "data":
            assert b"<" not in path.read_bytes()


def test_csv_runs_nothing_in_a_spreadsheet(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    lines = browser.ask("LH.api.csv('oi')").splitlines()
    assert lines[0] == "trade_date,venue,oi_usd,oi_base,close_usd"
    assert len(lines) == 1 + 2 * DAYS - 1
    assert browser.ask(
        "(LH.charts.get('oi').result.rows = () => ({columns: [['a', 'text']], rows: [['=1+1'], ['say \"x\"']]}), LH.api.csv('oi'))"
    ) == ('a\n\'=1+1\n"say ""x"""\n')


def test_a_file_without_the_later_marts_says_what_is_not_available(browser: Browser, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    publish(settings.published_database, extras=False)
    with duckdb.connect(str(settings.published_database)) as writable:
        writable.execute("drop table marts.liquidation_heatmap_daily; drop table marts.fct_option_oi_by_strike_daily")
        writable.execute("drop table marts.signals_daily")
    report = write_report(settings).index.parent
    show(browser, report, "asset", "a=BTC")
    assert complaints(browser) == []
    for name, table in (("heat", "marts.liquidation_heatmap_daily"), ("signals", "marts.signals_daily")):
        assert f"Not available: the published file has no {table}" in browser.ask(
            f"document.getElementById({name!r}).textContent"
        )
        assert browser.ask(f"document.querySelector('#{name} button[data-do=table]').disabled")
    show(browser, report, "asof", "a=BTC")
    assert "keeps no vintages" in browser.ask("document.getElementById('asof-note').textContent")
    assert browser.ask("document.getElementById('publication').disabled")
    show(browser, report, "index")
    assert complaints(browser) == []


def test_a_page_left_open_says_that_a_newer_report_was_written(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    browser.ask("LH.put('market', 'another build', {})")
    assert "newer report" in browser.ask("document.querySelector('.banner.stale').textContent")
    assert not browser.ask("document.querySelector('.banner.stale').hidden")


def test_a_picture_holds_one_chart_at_the_size_that_was_asked_for(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    target = tmp_path / "heat.png"
    draw_one(browser, report, Picture("heat", asset="BTC", size="post", theme="dark"), target)
    head = target.read_bytes()[:24]
    width, height, ratio = SIZES["post"]
    assert head[1:4] == b"PNG"
    assert (int.from_bytes(head[16:20]), int.from_bytes(head[20:24])) == (width * ratio, height * ratio)
    assert browser.ask(
        "[...document.querySelectorAll('.card')].filter((one) => one.offsetHeight).map((one) => one.id)"
    ) == ["heat"]
    assert browser.ask("document.body.getBoundingClientRect().height") <= height


def test_days_lacking_a_venue_are_hatched_and_keep_their_values_in_the_table(browser: Browser, report: Path) -> None:
    show(browser, report, "asset", "a=BTC")
    rows = browser.ask("LH.api.table('oi').rows")
    assert [row[1] for row in rows if row[0] == str(day(MISSING_DAY))] == ["binance"]
    strip = browser.ask("LH.charts.get('oi').result.strip")
    assert [at for at, state in enumerate(strip) if state == "unknown"] == [MISSING_DAY]
    assert [at for at, state in enumerate(strip) if state == "partial"] == list(TAINTED_DAYS)
