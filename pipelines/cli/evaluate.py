"""The command evaluate: what is planted in simulated markets against what the warehouse finds, and what it finds where nothing is.

Nothing is judged here: pipelines/sandbox/evaluation.py does that. Here is how it is asked for and written down.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.demo import ASSETS, LAST_DAY
from pipelines.cli.screen import Bar, Screen
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from pipelines.sandbox.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("evaluate")(evaluate)


def evaluate(
    *,
    seeds: Annotated[int, typer.Option("--seeds", min=0, max=999, help="How many markets; 0 plants none.")] = 20,
    first_seed: Annotated[
        int,
        typer.Option(
            "--first-seed", min=1, max=999, help="Seed of the first market. The rates were stated on 1 to 20."
        ),
    ] = 21,
    days: Annotated[int, typer.Option("--days", min=100, max=800, help="Days of every market.")] = 120,
    write: Annotated[Path | None, typer.Option("--write", help="Write the tables into this file, as Markdown.")] = None,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", help="Write docs/evidence.md: the published record beside markets of known truth."),
    ] = None,
    panels: Annotated[int, typer.Option("--panels", min=1, max=2000, help="Null panels of each design.")] = 400,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last month end of the record to show.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Look for what is planted in simulated markets, and count what is found where nothing is planted.

    Needs neither network nor warehouse: everything lies in a temporary folder below LEVERHOUSE_HOME. The exit code is 1
    where an episode was not found or a signal was on more often than is stated for a market without any.
    """
    from pipelines.sandbox.evaluation import judge_markets

    settings, screen = Settings.load(), Screen()
    settings.root.mkdir(parents=True, exist_ok=True)
    honest = evidence is None or _write_evidence(settings, screen, evidence, panels=panels, until=until)
    if seeds == 0:
        screen.close()
        raise typer.Exit(0 if honest else 1)
    with tempfile.TemporaryDirectory(prefix="evaluate-", dir=settings.root) as folder, Bar(screen) as bar:
        there = settings.model_copy(update={"home": Path(folder), "mappings": None})
        first = LAST_DAY - timedelta(days=days - 1)
        numbers = range(first_seed, first_seed + seeds)
        found = judge_markets(there, numbers, first=first, last=LAST_DAY, assets=ASSETS, progress=bar.show)
    if write is not None:
        write.write_text("\n".join(markdown(found)) + "\n", encoding="utf-8")
    if as_json:
        screen.json({**asdict(found), "is_sound": found.is_sound})
    else:
        screen.table("Planted", [asdict(one) for one in found.found])
        screen.table("Found where nothing is planted", [
            {"signal": one.signal, "on": one.on, "of": one.known, "rate": one.rate, "at_most": one.bound}
            for one in found.null_rates
        ])  # fmt: skip
    screen.close()
    if not (found.is_sound and honest):
        raise typer.Exit(1)


def _write_evidence(settings: Settings, screen: Screen, file: Path, *, panels: int, until: datetime | None) -> bool:
    """Whether the statistics keep what they claim on markets of known truth; the page is written either way."""
    from pipelines.cli.evidence_page import is_sound, page, read_record
    from pipelines.sandbox.evidence import known_truth
    from pipelines.storage.warehouse import reader

    last = until.date() if until else None
    record = None
    if settings.published_database.exists():
        with reader(settings) as con:
            record = read_record(con, until=last)
    with Bar(screen) as bar:
        truth = known_truth(panels=panels, markets=40, skill_seeds=4, assets=ASSETS, progress=bar.show)
    options = f"--panels {panels}" + (f" --until {last}" if last else "")
    command = f"leverhouse evaluate --seeds 0 {options} --evidence docs/evidence.md"
    file.write_text("\n".join(page(truth, record, command=command)) + "\n", encoding="utf-8")
    return is_sound(truth)


def markdown(found: Evaluation) -> Iterator[str]:
    """docs/signal_evaluation.md."""
    seeds = f"{found.seeds[0]} to {found.seeds[-1]}" if len(found.seeds) > 1 else str(found.seeds[0])
    options = f"--seeds {len(found.seeds)} --first-seed {found.seeds[0]} --days {found.days}"
    command = f"leverhouse evaluate {options} --write docs/signal_evaluation.md"
    yield from (
        "# Signal evaluation: what is planted, what is found, and what is found where nothing is",
        "",
        f"Written by `{command}`; not to be edited.",
        "",
        f"Simulated markets of seeds {seeds}, {found.first} to {found.last}, {len(found.assets)} assets, each once with",
        "everything planted and once with nothing. Their rows go through the loader into clean tables, and dbt builds the marts as",
        "it always does. The way over HTTP and the gate is the demo's; a test shows that both ways end in the same clean rows.",
        "",
        "## Planted",
        "",
        "Found means: the signal is on, or the fault is shown, for the planted asset or venue on one of the planted days.",
        "",
        "| planted | looked for | markets | found | not found in seeds |",
        "|---|---|---|---|---|",
    )
    for one in found.found:
        missed = ", ".join(map(str, one.missed_seeds)) or "–"
        yield f"| {one.kind.replace('_', ' ')} | `{one.looked_for}` | {one.planted} | {one.found} | {missed} |"
    yield from (
        "",
        "A file that comes late and one that is restated need the way over HTTP: the demo plants and finds them.",
        "",
        "## Not planted",
        "",
        "Days of assets on which a signal is on in markets without anything planted, of those on which it is known. Prices there",
        "are random walks with storms, and crowds follow them: what a signal says is true of such a day, but it announces nothing.",
        "So the rate is what chance alone switches on, and a signal that is on as often in real history tells nothing. *At most*",
        "is stated in `pipelines/sandbox/evaluation.py`, after a look at seeds 1 to 20; the command fails where it is exceeded.",
        "",
        "| signal | days known | days on | rate | at most | highest of a seed |",
        "|---|---|---|---|---|---|",
    )
    for null in found.null_rates:
        if null.rate is None:
            yield f"| `{null.signal}` | 0 | – | – | – | – |"
        else:
            yield (
                f"| `{null.signal}` | {null.known:,} | {null.on:,} | {null.rate:.2%} | {_percent(null.bound)} | "
                f"{null.highest_of_a_seed:.1%} |"
            )
    yield from (
        "",
        "Without a day known: the simulated market has no source that the signal needs (liquidations of perpetual DEXs), or too",
        "few days for its windows of a year; `--days 480` fills those.",
        "",
        "Cascades (`large_liquidations`) are judged by minutes here. The record of Binance, judged by the totals of days as",
        "the signal does where it has no minutes, has one on 3.4% of the days of bitcoin and 3.3% of those of ether (2022-01 to",
        "2023-12).",
    )


def _percent(bound: float | None) -> str:
    return "–" if bound is None else f"{bound:.0%}"
