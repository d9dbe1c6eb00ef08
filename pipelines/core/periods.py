"""Lengths of the values of the column `period` of clean tables, for Python and for DuckDB SQL.

The dbt macro period_minutes and the CHECKs in warehouse/schema list the same periods; a test compares all three.
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
"""Length of every period, by name."""


def period_sql(unit: timedelta) -> str:
    """SQL expression over the column `period`: its length in whole units, null for a name not in PERIODS."""
    cases = " ".join(f"when '{name}' then {length // unit}" for name, length in PERIODS.items())
    return f"case period {cases} end"
