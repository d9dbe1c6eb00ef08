"""The pages' HTML, from the templates: heads, cards and their captions. What fills them is drawn by static/app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.report.views import VIEWS, Page

HERE: Final = Path(__file__).resolve().parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"
LIBRARY: Final = STATIC / "lib" / "echarts"

PAGES: Final[Mapping[Page, str]] = {"index": "Market", "asset": "Asset", "asof": "As of", "trust": "Data trust"}

SCRIPTS: Final[Mapping[Page, Sequence[str]]] = {
    "index": ("position", "signals", "market"),
    "asset": ("heat", "zone", "position", "flows", "options", "signals", "asset"),
    "asof": ("asof",),
    "trust": ("trust",),
}
"""Scripts of a page, after those that all pages read."""


def render_pages(
    target: Path, *, build: str, simulated: bool, assets: Sequence[Mapping[str, Any]], tables: frozenset[str]
) -> None:
    """Write every page into `target`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for page, title in PAGES.items():
        text = environment.get_template("page.html.j2").render(
            page=page,
            title=title,
            pages=PAGES,
            build=build,
            simulated=simulated,
            assets=[one["asset"] for one in assets],
            views=[{"view": view, "missing": view.missing(tables)} for view in VIEWS if view.page == page],
            scripts=SCRIPTS[page],
        )
        (target / f"{page}.html").write_text(text, encoding="utf-8")
