"""The command report: writes the static pages of the published file, and single pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.cli.screen import Bar, Screen
from pipelines.core.paths import require_writable
from pipelines.core.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("report")(report)


def report(
    *,
    png: Annotated[
        str | None, typer.Option("--png", metavar="NAME", help="Write one chart as a picture, by its name.")
    ] = None,
    asset: Annotated[str, typer.Option("--asset", help="Asset of the picture.")] = "BTC",
    layer: Annotated[
        Literal["realized", "predicted", "both"], typer.Option("--layer", help="Layer of the heatmap.")
    ] = "realized",
    zone: Annotated[str, typer.Option("--zone", metavar="LOW-HIGH", help="Price range drawn in the heatmap.")] = "",
    days: Annotated[str, typer.Option("--days", help="Days of the picture: a number, or all.")] = "",
    size: Annotated[
        Literal["post", "slide", "page"], typer.Option("--size", help="1200 x 675, 1600 x 900 or 1040 x 600.")
    ] = "post",
    theme: Annotated[Literal["light", "dark"], typer.Option("--theme", help="Colors of the picture.")] = "light",
    out: Annotated[
        Path | None, typer.Option("--out", help="File of the picture; default <asset>-<name>.png here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Write the report beside the published file: static pages that open from a file, without server or network.

    With --png, write one of its charts as a picture; needs Chromium.
    """
    from pipelines.report.browser import require_browser
    from pipelines.report.build import write_report
    from pipelines.report.pictures import Picture, draw

    settings, screen = Settings.load(), Screen()
    require_writable(settings)
    if png is not None:
        require_browser()
    with Bar(screen) as bar:
        written = write_report(settings, progress=bar.show)
    shown = {
        "report": written.index, "assets": written.assets, "files": written.files, "bytes": written.bytes,
        "seconds": round(written.seconds, 3),
    }  # fmt: skip
    if png is not None:
        picture = Picture(png, asset=asset, layer=layer, theme=theme, size=size, days=days, zone=zone)
        target = (out or Path(f"{asset.lower()}-{png}.png")).resolve()
        draw(written.index.parent, [(picture, target)])
        shown["picture"] = target
    if as_json:
        screen.json(shown)
        return
    screen.out.print(
        f"Report: {written.index} ({written.assets} assets, {written.bytes / 1e6:,.1f} MB, {written.seconds:.1f} s). "
        "Open it in a browser.",
        markup=False,
    )
    if png is not None:
        screen.out.print(f"Picture: {shown['picture']}", markup=False)
