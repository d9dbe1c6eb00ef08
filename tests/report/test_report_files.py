"""The report's files without a browser: how they take each other's place, what is written into them, what they are made of."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.report import build
from pipelines.report.build import code_digest, write_report
from pipelines.report.encode import CODES, UNKNOWN, numbers, rounded, script, slug, texts, words
from pipelines.report.gather import Span
from pipelines.report.pages import LIBRARY
from pipelines.report.pictures import Picture, data_digest
from scripts import report_pictures
from tests.report.report_fixture import publish


@pytest.fixture
def published(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    publish(settings.published_database)
    return settings


def test_a_reader_sees_the_old_report_until_the_new_one_is_whole(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_report(published).index.resolve()

    def breaks(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(build, "render_pages", breaks)
        with pytest.raises(OSError, match="disk full"):
            write_report(published)
    assert (published.published_dir / "report" / "index.html").resolve() == first
    assert [path.name for path in published.published_dir.glob("report-*")] == [first.parent.name], (
        "nothing half-written is left"
    )

    second = write_report(published).index.resolve()
    assert second != first
    assert first.exists(), "an open page may still ask for a year"
    third = write_report(published).index.resolve()
    assert not first.exists()
    assert second.exists()
    assert third.exists()


def test_without_a_published_file_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leverhouse run"):
        write_report(Settings(home=tmp_path))
    assert not (tmp_path / "published" / "report").exists()


def test_a_file_without_rows_still_makes_pages(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.published_dir.mkdir(parents=True)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("create schema marts; create table marts.fct_price_daily (asset varchar, trade_date date, close_usd double, "
                    "volume_usd double, realized_vol_30d_daily double)")  # fmt: skip
    written = write_report(settings)
    assert written.assets == 0
    assert "not available" in (written.index.parent / "asset.html").read_text().lower()


def test_the_demos_pages_say_that_the_market_is_simulated(published: Settings) -> None:
    said = "Simulated market: no number on this page is a real one"
    assert said not in write_report(published).index.read_text()
    (published.root / "home.json").write_text(json.dumps({"kind": "simulated"}))
    index = write_report(published).index
    assert all(said in (index.parent / f"{page}.html").read_text() for page in ("index", "asset", "asof", "trust"))


def test_the_vendored_library_is_the_release_it_says() -> None:
    stated = json.loads((LIBRARY / "version.json").read_text())
    digest = base64.b64encode(hashlib.sha512((LIBRARY / "echarts.min.js").read_bytes()).digest()).decode()
    assert (stated["name"], stated["version"], stated["sha512"]) == ("echarts", "6.1.0", digest)
    assert "://" not in json.dumps(stated)
    assert all((LIBRARY / name).stat().st_size for name in ("LICENSE", "NOTICE", "LICENSE-d3"))


def test_pages_load_nothing_but_what_lies_beside_them(published: Settings) -> None:
    folder = write_report(published).index.parent
    for page in folder.glob("*.html"):
        text = page.read_text()
        assert "default-src 'none'" in text
        assert "://" not in text
    written = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert written == {"index.html", "asset.html", "asof.html", "trust.html", "style.css", "app", "lib", "data"}


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15).filter(lambda x: abs(x) > 1e-15)
)
def test_numbers_keep_seven_digits(value: float) -> None:
    [found] = rounded(np.array([value])).tolist()
    assert found == pytest.approx(value, rel=5.1e-7)
    assert found == float(f"{found:.6e}")


def test_columns_say_unknown_as_null_and_nothing_as_nothing() -> None:
    known = numbers(rounded(np.array([1.5, np.nan, 2.0, np.inf])))
    assert orjson.loads(orjson.dumps(known)) == [1.5, None, 2, None]
    assert numbers(np.array([np.nan])) is None
    assert words(["on", None, "off"]) == {"u": ["off", "on"], "c": f"{CODES[1]}{UNKNOWN}{CODES[0]}"}
    assert texts(["a", "a", None]) == [2, "a", 1, None]
    assert texts([None, None]) is None
    with pytest.raises(ValueError, match="distinct words"):
        words([str(number) for number in range(100)])


def test_scripts_hold_no_markup() -> None:
    text = script("k", "b", {"name": "</script><!--\u2028"})
    assert b"<" not in text
    assert orjson.loads(text[len(b'LH.put("k","b",') : -3]) == {"name": "</script><!--\u2028"}


def test_no_two_assets_share_a_file_and_no_name_leaves_the_folder() -> None:
    names = ["BTC", "btc", "B.T.C", "../../etc/passwd", "<script>", "1000PEPE", "币"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(part.replace("-", "").isalnum() and part.isascii() for part in slugs)


def test_a_span_is_cut_into_years() -> None:
    assert Span(date(2022, 12, 30), date(2024, 1, 2)).years() == [(2022, 0, 2), (2023, 2, 367), (2024, 367, 369)]


def test_the_kept_pictures_were_drawn_by_the_code_as_it_is() -> None:
    kept = json.loads(report_pictures.FITS.read_text())
    assert kept.keys() == report_pictures.PICTURES.keys()
    for name, picture in report_pictures.PICTURES.items():
        assert (kept[name]["picture"], kept[name]["code"]) == (repr(picture), code_digest()), (
            f"{name} no longer fits: run `make docs`"
        )
        assert (report_pictures.IMAGES / name).stat().st_size < 250_000


def test_a_picture_no_longer_fits_when_its_numbers_change(published: Settings) -> None:
    report = write_report(published).index.parent
    heat, liq = Picture("heat", asset="BTC"), Picture("liq", asset="BTC")
    before = data_digest(report, heat), data_digest(report, liq)
    assert (data_digest(write_report(published).index.parent, heat), data_digest(report, liq)) == before
    with duckdb.connect(str(published.published_database)) as con:
        con.execute("update marts.liquidation_heatmap_daily set notional_usd = notional_usd * 1.01 where asset = 'BTC'")
    report = write_report(published).index.parent
    assert data_digest(report, heat) != before[0]
    assert data_digest(report, liq) == before[1]


def test_a_picture_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are board, fundingmap"):
        Picture("nonsense").address(tmp_path)
    with pytest.raises(ConfigError, match="run 'leverhouse report' first"):
        Picture("heat").address(tmp_path)
