"""Commands about mappings: proposing one for a file, and listing the built-in ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.core.errors import ConfigError

commands = typer.Typer(no_args_is_help=True, help="Describe files: propose a mapping, or name a built-in one.")

Table = Literal["open_interest", "funding_rates", "liquidation_totals", "candles", "long_short_ratios"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(commands, name="mapping")


def chosen_mapping(mapping: Path | None, vendor: str | None) -> Path:
    """The mapping of --mapping or --vendor. Raises ConfigError unless one of them is given."""
    from pipelines.sources.files.vendors import vendor_mapping, vendor_names

    if (mapping is None) == (vendor is None):
        raise ConfigError(f"give either --mapping or --vendor; built-in are {', '.join(vendor_names())}.")
    return mapping.resolve() if mapping is not None else vendor_mapping(vendor or "")


@commands.command("propose")
def propose_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files alike.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the mapping here instead of printing it.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Built-in mapping to begin with.")] = None,
    table: Annotated[Table | None, typer.Option(help="What the values are.")] = None,
    venue: Annotated[str | None, typer.Option(help="Venue of all rows.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Instrument of all rows.")] = None,
    period: Annotated[str | None, typer.Option(help="Length of a row's period.")] = None,
    unit: Annotated[
        Literal["usd", "base", "percent", "fraction"] | None, typer.Option(help="Unit of the values.")
    ] = None,
    label: Annotated[
        Literal["start", "end"] | None, typer.Option(help="Whether a row's time begins or ends its period.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of times that state none.")] = None,
    interval_hours: Annotated[float | None, typer.Option(help="Hours that a funding rate covers.")] = None,
    absent_is: Annotated[
        Literal["zero", "unknown"] | None, typer.Option(help="What an empty cell of liquidations means.")
    ] = None,
) -> None:
    """Write a commented mapping for files that are alike.

    Format, header, times and periods are read off the first file; vendors that are known are recognized. What a file cannot say
    is asked for: the error names the options. Try the result with 'leverhouse import --dry-run'.
    """
    from pipelines.sources.files.propose import Answers, propose

    answers = Answers(
        dataset=dataset, table=table, venue=venue, symbol=symbol, period=period, unit=unit, label=label, zone=zone,
        interval_hours=interval_hours, absent_is=absent_is, vendor=vendor,
    )  # fmt: skip
    text = propose(files, answers)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise ConfigError(f"{out} exists. Give another name, or remove it.")
    out.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {out}; try it with: leverhouse import --mapping {out} --dry-run {files[0]}")


@commands.command("vendors")
def vendors() -> None:
    """List the built-in mappings, for 'leverhouse import --vendor'."""
    from pipelines.sources.files.vendors import about, vendor_mapping, vendor_names

    for name in vendor_names():
        typer.echo(f"{name}: {about(vendor_mapping(name))}")
