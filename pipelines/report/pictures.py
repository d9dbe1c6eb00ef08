"""Single charts as PNG, for a post or a slide: the report's own page with one card, seen by a headless browser."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import orjson

from pipelines.core.errors import ConfigError
from pipelines.report.browser import Browser, open_browser, require_browser
from pipelines.report.encode import slug
from pipelines.report.views import VIEWS

Size = Literal["post", "slide", "page"]

SIZES: Final[dict[Size, tuple[int, int, float]]] = {
    "post": (1200, 675, 2.0),
    "slide": (1600, 900, 2.0),
    "page": (1040, 600, 1.25),
}
"""Width and height in CSS pixels, and device pixels of each."""

PICTURED: Final = tuple(view.name for view in VIEWS if view.page in ("index", "asset"))


@dataclass(frozen=True)
class Picture:
    """Which chart, of which asset, how. `zone` is a price range as low-high, `days` a number or all."""

    view: str
    asset: str = "BTC"
    layer: str = "realized"
    theme: Literal["light", "dark"] = "light"
    size: Size = "post"
    days: str = ""
    zone: str = ""

    def address(self, report: Path) -> str:
        """The page's address. Raises ConfigError for a chart that is not there."""
        page = next((view.page for view in VIEWS if view.name == self.view and view.name in PICTURED), None)
        if page is None:
            raise ConfigError(f"report: no picture '{self.view}'; there are {', '.join(PICTURED)}.")
        if not (report / "data").is_dir():
            raise ConfigError(f"report: no report in {report}; run 'leverhouse report' first.")
        state = {
            "a": self.asset,
            "layer": self.layer,
            "theme": self.theme,
            "days": self.days,
            "zone": self.zone,
            "png": self.view,
        }
        kept = urlencode({name: value for name, value in state.items() if value}, quote_via=quote)
        return f"{(report.resolve() / f'{page}.html').as_uri()}#{kept}"


def draw(report: Path, wanted: Sequence[tuple[Picture, Path]]) -> None:
    """Write the pictures of the report in folder `report`.

    Raises ConfigError where there is no Chromium, no such chart or asset, or the chart has nothing to show.
    """
    with open_browser(require_browser()) as browser:
        for picture, target in wanted:
            draw_one(browser, report, picture, target)


def draw_one(browser: Browser, report: Path, picture: Picture, target: Path) -> None:
    """Write one picture with a browser that runs. Raises as draw does."""
    width, height, ratio = SIZES[picture.size]
    browser.open(picture.address(report), width=width, height=height, ratio=ratio)
    assets: list[str] = browser.ask("LH.market.assets.map((one) => one.asset)")
    if picture.asset not in assets:
        raise ConfigError(f"report: no asset '{picture.asset}' in the published file; there are {', '.join(assets)}.")
    absent: Any = browser.ask("(document.querySelector('.pictured .absent') || {}).textContent || ''")
    if absent:
        raise ConfigError(f"report: {picture.view} of {picture.asset}: {absent}")
    # Tables of signals and assets are as high as they are; a plot takes the height that is asked for.
    needed = math.ceil(browser.ask("document.body.getBoundingClientRect().height"))
    if needed > height:
        browser.resize(width, needed, ratio=ratio)
    target.parent.mkdir(parents=True, exist_ok=True)
    browser.picture(target)


READ: Final = {
    "heat": ("price", "liq", "heard", "feeds", "oi"),
    "liq": ("price", "liq", "ends", "heard", "feeds", "oi"),
}
"""Datasets that a chart reads, for those whose pictures are kept; the heatmap reads its bins as well."""


def data_digest(report: Path, picture: Picture) -> str:
    """Digest of the numbers that a picture in READ is drawn from."""
    found = hashlib.sha256()
    for path in sorted((report / "data").glob(f"{slug(picture.asset)}-[0-9][0-9][0-9][0-9].js")):
        # LH.put("key","build",{...}); - the build is another one each time.
        content = orjson.loads(path.read_bytes().split(b",", 2)[2].removesuffix(b");\n"))
        kept = {name: content["d"].get(name) for name in READ[picture.view]}
        if picture.view == "heat":
            kept["cells"] = content["heat"]
            kept["levels"] = path.with_name(f"{path.stem}-levels.js").exists()
        found.update(orjson.dumps([content["start"], content["n"], kept], option=orjson.OPT_SORT_KEYS))
    return found.hexdigest()
