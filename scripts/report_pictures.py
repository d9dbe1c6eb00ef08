"""Draws the pictures of docs/images from the report of the simulated market, and writes what each follows from beside it.

Runs the demo in a temporary home, or reads the one that is named. `--check HOME` compares only, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.core.errors import LeverhouseError
from pipelines.core.settings import Settings
from pipelines.report.browser import require_browser
from pipelines.report.build import code_digest, write_report
from pipelines.report.pictures import Picture, data_digest, draw

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
FITS: Final = IMAGES / "pictures.json"

PICTURES: Final = {
    "liquidation_heatmap.png": Picture("heat", asset="AVAX", zone="41-43", size="page", theme="dark"),
    "liquidations.png": Picture("liq", asset="ETH", size="page"),
}


def fits(report: Path) -> dict[str, dict[str, str]]:
    """By picture: digests of the drawing code and of the numbers it is drawn from."""
    return {
        name: {"picture": repr(picture), "code": code_digest(), "data": data_digest(report, picture)}
        for name, picture in PICTURES.items()
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="home of a finished demo, such as warehouse/demo; default: run one")
    parser.add_argument("--check", action="store_true", help="say which pictures no longer fit, and write nothing")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            require_browser()
        return _run(options.home, check=options.check)
    except LeverhouseError as error:
        print(f"report_pictures: {error}", file=sys.stderr)
        return error.exit_code


def _run(home: Path | None, *, check: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="leverhouse-pictures-") as folder:
        if home is None:
            environment = {**os.environ, "LEVERHOUSE_HOME": folder}
            subprocess.run([sys.executable, "-m", "pipelines.cli", "demo", "--json"], cwd=ROOT, env=environment,
                           stdout=subprocess.DEVNULL, check=True)  # fmt: skip
            home = Path(folder) / "demo"
        report = write_report(Settings(home=home)).index.parent
        found = fits(report)
        if check:
            stale = [name for name, digests in json.loads(FITS.read_text()).items() if found.get(name) != digests]
            print("\n".join(f"{name} no longer fits: run `make docs`" for name in stale) or "all pictures fit")
            return 1 if stale else 0
        draw(report, [(picture, IMAGES / name) for name, picture in PICTURES.items()])
        FITS.write_text(json.dumps(found, indent=1) + "\n")
    for name in PICTURES:
        print(f"docs/images/{name}: {(IMAGES / name).stat().st_size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
