"""Units of imported files: each wrong one is a failed check that names the likely cause; right ones pass."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pytest

from pipelines.core.settings import Settings
from pipelines.operations.import_check import ImportReport, import_checked
from tests.unit.files_fixture import PERPETUALS

DAYS: Final = 40
FIRST: Final = date(2024, 1, 1)
BITCOINS: Final = 5_000.0
PRICE: Final = 40_000.0
VOLUME: Final = 20_000.0

FILE: Final = """
[[file]]
pattern = "{name}.csv"
format = "csv"
instrument = "symbol"
time = {{ column = "day", format = "date", zone = "UTC", shift = "{shift}" }}

[[file.rows]]
table = "{table}"
available = {{ after = "{after}", lag = "1h" }}
set = {{ {set} }}
columns = {{ {columns} }}
"""

CANDLES: Final = FILE.format(
    name="candles", shift="0s", table="candles", after="period",
    set='venue = "binance", market = "perp", period = "1d"', columns='close = "close", volume_base = "volume"',
)  # fmt: skip
INTEREST: Final = FILE.format(
    name="oi", shift="1d", table="open_interest", after="event",
    set='venue = "binance", period = "1d", oi_raw_unit = "base", counting = "one_sided"',
    columns='oi_base = "oi", oi_raw = "oi", oi_usd = "usd"',
)  # fmt: skip
FORCED: Final = FILE.format(
    name="forced", shift="0s", table="liquidation_totals", after="period",
    set='venue = "binance", measure = "position_notional", period = "1d", completeness = "full"',
    columns='long_usd = "long", short_usd = "short", total_usd = "total"',
)  # fmt: skip


def price(number: int) -> float:
    return PRICE * (1 + 0.03 * (number * 7 % 11 - 5))


def files_of(
    folder: Path, *, interest: float = BITCOINS, forced: float = 1e6, volume: float = VOLUME, late: int = 0
) -> tuple[Path, list[Path]]:
    """The mapping and the files of a data set of candles, open interest and liquidations whose amounts may be wrong."""
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    texts = {
        "candles": ["symbol,day,close,volume", *(f"BTCUSDT,{d},{price(n)},{volume}" for n, d in enumerate(days))],
        "oi": [
            "symbol,day,oi,usd",
            *(
                f"BTCUSDT,{d},{interest * (1 + n / 999)},{BITCOINS * (1 + n / 999) * price(n + late)}"
                for n, d in enumerate(days)
            ),
        ],
        "forced": [
            "symbol,day,long,short,total",
            *(f"BTCUSDT,{d},{forced},{forced + n},{2 * forced + n}" for n, d in enumerate(days)),
        ],
    }
    for name, lines in texts.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mapping = folder / "bought.toml"
    head = 'dataset = "bought"\ndescription = "Bought"\n'
    mapping.write_text(head + PERPETUALS + CANDLES + INTEREST + FORCED, encoding="utf-8")
    return mapping, [folder / f"{name}.csv" for name in texts]


def imported(folder: Path, **wrong: float) -> ImportReport:
    """The trial of files_of."""
    mapping, paths = files_of(folder, **wrong)  # type: ignore[arg-type]
    return import_checked(Settings(home=folder / "home"), mapping, paths=paths, dry_run=True)


def failed(report: ImportReport) -> set[str]:
    """Names of failed checks: of what would be refused, or only warned of."""
    names = {check.check_name for check in report.load.checks if not check.passed}
    return names | {
        part for refusal in report.load.refused for part in refusal.detail.replace(":", " ").replace(".", " ").split()
    }


def test_right_units_pass(tmp_path: Path) -> None:
    report = imported(tmp_path)
    assert report.load.refused == ()
    assert not failed(report) & {
        "dollars_not_coins", "price_of_asset", "price_unit_of_asset", "dates_in_step", "within_supply", "within_volume",
        "near_volume", "dollars_a_day",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ({"interest": BITCOINS * PRICE}, "dollars_not_coins"),
        ({"forced": 1e7, "interest": BITCOINS * 1e-3}, "price_unit_of_asset"),
        ({"interest": BITCOINS * 1e-3}, "price_unit_of_asset"),
        ({"interest": 3e8}, "within_supply"),
        ({"forced": 1e10}, "dollars_a_day"),
        ({"volume": VOLUME * PRICE}, "within_supply"),
    ],
)
def test_a_wrong_unit_is_refused_with_its_cause(tmp_path: Path, wrong: dict[str, float], check: str) -> None:
    report = imported(tmp_path, **wrong)
    assert report.load.refused
    assert check in failed(report), report.load.refused
    assert report.landed == ()
