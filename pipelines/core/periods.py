"""Lengths of the periods that rows of clean tables name (`period`), for Python and for SQL on DuckDB.

dbt's macro period_minutes and the CHECKs of warehouse/schema name the same periods; a test compares the three.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

PERIODS: Final[Mapping[str, timedelta]] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "8h": timedelta(hours=8),
    "1d": timedelta(days=1),
}
"""Every period by its name."""


def period_sql(unit: timedelta) -> str:
    """An expression of the column `period`: its length in whole units, null for a name that is not in PERIODS."""
    cases = " ".join(f"when '{name}' then {length // unit}" for name, length in PERIODS.items())
    return f"case period {cases} end"
