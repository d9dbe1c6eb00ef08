"""Writes docs/sources.md: every venue with its feeds, as declared in pipelines/sources.

The content comes from the fields of Venue and Feed; this script has the layout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import ALL_DAYS, Daily, Feed, Venue
from pipelines.sources import registry
from pipelines.sources.chain.evm import gmx
from pipelines.sources.chain.evm.venue import FAMILIES
from pipelines.sources.instruments import EVENT_TABLES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "sources.md"

EXCHANGES_ON_CHAIN = ("dydx", "hyperliquid", "hyperliquid_fills", "orderly")

HEAD = """# Sources

Written by `make docs` from the modules in `pipelines/sources`; edit them instead of this page.

**Tested live: no.** No module has been run against its real venue yet. Each was built from the venue's documentation and
tested on payloads as the venue sends them and, over loopback HTTP, against an emulator with the venue's paging, bounds, rate
limits and error codes. On a machine with network access, first run `leverhouse doctor --live`: it requests one day of one
instrument from every feed and prints what differs.

How to read the tables. *Since*: the first day the module requests. *Venue keeps*: how much history the venue serves; older
data is lost unless it was captured. *Cadence*: `daily` feeds return whole UTC days, which are fetched again until they are
*final*, the given time after the end of the day; `captured` feeds return the current state. *Completeness*: how much of the
real events the venue publishes.

If two sources report the same fact, both are kept, and `dbt_project/seeds/source_precedence.csv` defines which one the marts
use.
"""


def page() -> str:
    """The whole page."""
    venues = (line for name in registry.VENUES for line in _venue(registry.venue(name)))
    return "\n".join([HEAD, *_on_chain(), *venues]) + "\n"


def _on_chain() -> Iterator[str]:
    """On-chain sources of liquidations: protocols, chains, first month, measures."""
    yield "## On chain\n"
    yield (
        "Liquidations of lending protocols and of on-chain perpetual exchanges. Different measures are kept separate and never "
        "summed; auto-deleveraging is flagged (`is_adl`).\n"
    )
    yield "| protocol | chains, each with the first month fetched | measure |"
    yield "|---|---|---|"
    for family in FAMILIES.values():
        for protocol in family.protocols:
            measures = "collateral seized, debt repaid" + (", bad debt" if protocol.bad_debt else "")
            yield _protocol(protocol.name, protocol.since, measures)
    for version in gmx.VERSIONS:
        yield _protocol(version.name, version.since, "position notional")
    for name in EXCHANGES_ON_CHAIN:
        first = min(feed.retention.since for feed in registry.venue(name).feeds if set(feed.tables) & set(EVENT_TABLES))
        yield _protocol(name, {"its own": first}, "position notional")
    yield ""


def _protocol(name: str, since: Mapping[str, date], measure: str) -> str:
    chains = ", ".join(f"{chain} {first:%Y-%m}" for chain, first in sorted(since.items(), key=lambda one: one[1]))
    return f"| {name} | {chains} | {measure} |"


def _venue(venue: Venue) -> Iterator[str]:
    yield f"## {venue.name}\n"
    if venue.notes:
        yield f"{venue.notes}\n"
    keys = [f"`{s.variable}`{'' if s.required else ' (optional)'}" for s in venue.secrets]
    limits = "; ".join(_limit(limit) for limit in venue.limits) or "none published"
    addresses = ", ".join(f"{base} (`{venue.name}.{name}`)" for name, base in venue.endpoints.items())
    yield f"Limits: {limits}. Key: {', '.join(keys) or 'none'}. Base: {addresses}.\n"
    yield "| feed | clean tables | what it is | since | venue keeps | cadence | completeness |"
    yield "|---|---|---|---|---|---|---|"
    yield from (_feed(feed) for feed in venue.feeds)
    yield ""


def _feed(feed: Feed) -> str:
    keeps = "everything" if feed.retention.days is None else f"{feed.retention.days} days"
    hours = feed.published_after.total_seconds() / 3600 + feed.recheck_after.total_seconds() / 3600
    if isinstance(feed.cadence, Daily):
        together = ", past months in one fetch" if feed.partitioning.months == "past" else ""
        if feed.partitioning.most_days:
            most = "all" if feed.partitioning.most_days == ALL_DAYS else f"up to {feed.partitioning.most_days}"
            together = f", {most} consecutive days in one fetch"
        cadence = f"daily, final after {hours:g} h{together}"
    else:
        cadence, keeps = f"captured every {feed.cadence.every_hours} h", "nothing"
    since = f"{feed.retention.since}" + (f" to {feed.retention.until}" if feed.retention.until else "")
    cells = [f"`{feed.name}`", ", ".join(feed.tables) or "none", feed.description, since, keeps, cadence]
    return "| " + " | ".join([*cells, feed.completeness]) + " |"


def _limit(limit: Limit) -> str:
    return f"{limit.amount:g} {limit.name.replace('_', ' ')} in {limit.seconds:g} s"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check report whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    wanted = page()
    if parser.parse_args(arguments).check:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
