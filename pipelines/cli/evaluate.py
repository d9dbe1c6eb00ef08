"""The command evaluate: detection of planted episodes in simulated markets, and false positives in markets without any.

pipelines/sandbox/evaluation.py does the evaluation; this module has the command line and the Markdown output.
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
from pipelines.core.files import make_home
from pipelines.core.paths import require_writable
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from pipelines.sandbox.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    *,
    seeds: Annotated[int, typer.Option("--seeds", min=0, max=999, help="Number of markets; 0 for none.")] = 20,
    first_seed: Annotated[
        int,
        typer.Option(
            "--first-seed", min=1, max=999, help="Seed of the first market. The bounds were set on seeds 1 to 20."
        ),
    ] = 21,
    days: Annotated[int, typer.Option("--days", min=100, max=800, help="Days per market.")] = 120,
    write: Annotated[Path | None, typer.Option("--write", help="Write the tables to this file as Markdown.")] = None,
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
    """Detect planted episodes in simulated markets, and count false positives in markets without any.

    Needs neither network nor warehouse; works in a temporary folder in LEVERHOUSE_HOME. The exit code is 1 if an episode was
    not found or a signal was on more often than its bound for markets without episodes.
    """
    from pipelines.sandbox.evaluation import evaluate_markets

    settings, screen = Settings.load(), Screen()
    require_writable(settings)
    make_home(settings.root)
    honest = evidence is None or _write_evidence(settings, screen, evidence, panels=panels, until=until)
    if seeds == 0:
        screen.close()
        raise typer.Exit(0 if honest else 1)
    with tempfile.TemporaryDirectory(prefix="evaluate-", dir=settings.root) as folder, Bar(screen) as bar:
        temporary = settings.model_copy(update={"home": Path(folder), "mappings": None})
        first = LAST_DAY - timedelta(days=days - 1)
        numbers = range(first_seed, first_seed + seeds)
        found = evaluate_markets(temporary, numbers, first=first, last=LAST_DAY, assets=ASSETS, progress=bar.show)
    if write is not None:
        write.write_text("\n".join(markdown(found)) + "\n", encoding="utf-8")
    if as_json:
        screen.json({**asdict(found), "is_sound": found.is_sound})
    else:
        screen.table("Planted episodes", [asdict(one) for one in found.found])
        screen.table("False positives: markets without episodes", [
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
    """Lines of docs/signal_evaluation.md."""
    seeds = f"{found.seeds[0]} to {found.seeds[-1]}" if len(found.seeds) > 1 else str(found.seeds[0])
    options = f"--seeds {len(found.seeds)} --first-seed {found.seeds[0]} --days {found.days}"
    command = f"leverhouse evaluate {options} --write docs/signal_evaluation.md"
    yield from (
        "# Signal evaluation: detection of planted episodes, and false positives",
        "",
        f"Written by `{command}`; do not edit.",
        "",
        f"Simulated markets of seeds {seeds}, {found.first} to {found.last}, {len(found.assets)} assets, each once with",
        "all episodes planted and once with none. The loader loads their rows into clean tables, and dbt builds the marts as",
        "usual. HTTP and the gate are skipped here and covered by the demo; a test shows that both give the same clean rows.",
        "",
        "## Planted",
        "",
        "Found means that the signal is on, or the fault is reported, for the planted asset or venue on one of the planted days.",
        "",
        "| planted | looked for | markets | found | not found in seeds |",
        "|---|---|---|---|---|",
    )
    for one in found.found:
        missed = ", ".join(map(str, one.missed_seeds)) or "–"
        yield f"| {one.kind.replace('_', ' ')} | `{one.looked_for}` | {one.planted} | {one.found} | {missed} |"
    yield from (
        "",
        "A late file and a restated file require HTTP: the demo plants and finds them.",
        "",
        "## Not planted",
        "",
        "Asset-days on which a signal is on, as a share of those on which it is known, in markets without episodes. Prices",
        "there are random walks with volatile periods, and crowd positioning follows prices: a signal's condition holds on such",
        "a day, but it predicts nothing. The rate is therefore the false positive rate; a signal that is on as often in real",
        "history carries no information. *At most* is the bound in `pipelines/sandbox/evaluation.py`, set on seeds 1 to 20; the",
        "command fails if it is exceeded.",
        "",
        "| signal | days known | days on | rate | at most | highest rate of a seed |",
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
        "A signal without known days needs a source that the simulated market lacks (liquidations of perpetual DEXs), or a",
        "one-year window; use `--days 480` for the latter.",
        "",
        "Cascades (`large_liquidations`) are detected by minute here. The history of Binance, evaluated by daily totals as the",
        "signal is without minute data, has one on 3.4% of the days of bitcoin and 3.3% of those of ether (2022-01 to 2023-12).",
    )


def _percent(bound: float | None) -> str:
    return "–" if bound is None else f"{bound:.0%}"
