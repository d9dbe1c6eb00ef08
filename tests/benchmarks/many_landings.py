"""A home with years of small captures, as it lies on the disk: manifests, the journal, plans, and the rows a load has recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.settings import Settings
from pipelines.extract.fetch_log import ASKED, FOLDER
from pipelines.extract.landing import Landing, LandingStore
from pipelines.extract.manifests import manifest_text
from pipelines.extract.plan_start import freeze_plan
from pipelines.sources import registry
from pipelines.storage.query import execute_with
from pipelines.storage.warehouse import writer

SOURCES: Final = (
    "aster.open_interest", "binance.current_open_interest", "binance.predicted_funding", "bingx.open_interest",
    "bitget.open_interest", "gate.current_open_interest", "kraken.current_open_interest", "lighter.details",
    "mexc.open_interest", "phemex.open_interest",
)  # fmt: skip
SUBJECTS: Final = tuple(f"C{number:02d}USDT" for number in range(40))
END: Final = datetime(2026, 11, 1)


def captures(store: LandingStore, source: str, slots: int) -> Iterator[Landing]:
    """One landing an hour, of all subjects but one that never answers."""
    for number in range(slots):
        start = END - timedelta(hours=slots - number)
        digest = hashlib.sha256(f"{source} {number}".encode()).hexdigest()
        partition, part = f"{start:%Y-%m-%d}", f"{start:%H%M}"
        yield Landing(
            landing_id=digest[:20],
            source=source,
            partition=partition,
            part=part,
            version=1,
            path=store.raw_dir / source / partition / f"{part}~{digest[:20]}",
            original_name=f"{part}.zip",
            sha256=digest,
            bytes=2,
            fetched_at=start + timedelta(minutes=2),
            completeness="partial",
            request={
                "span": [start.isoformat(), (start + timedelta(hours=1)).isoformat()],
                "covers": dict.fromkeys(SUBJECTS[1:], "complete"),
                "content": digest,
            },
        )


def make_home(settings: Settings, landings: int) -> None:
    """Fill an empty home with as many landings, all of them loaded."""
    store = LandingStore(settings.root)
    slots = landings // len(SOURCES)
    rows: list[dict[str, Any]] = []
    for source in SOURCES:
        freeze_plan(store.raw_dir, source, END - timedelta(hours=slots))
        several = list(captures(store, source, slots))
        rows += [_row(settings, landing, registry.parser_version(source, several)) for landing in several]
        for landing in several:
            land(settings, landing)
    with writer(settings, what="test") as con:
        frame = pl.DataFrame(rows, infer_schema_length=None)
        execute_with(con, frame, "insert into ops.landings by name select * from frame")


def land(settings: Settings, landing: Landing) -> None:
    """Write one capture and what its fetch noted in the journal; unsynced, which is what takes the time of a real one."""
    store = LandingStore(settings.root)
    landing.path.parent.mkdir(parents=True, exist_ok=True)
    landing.path.write_bytes(b"{}")
    manifest = manifest_text(landing, settings.root)
    landing.path.with_name(f"{landing.path.name}.manifest.json").write_text(manifest, encoding="utf-8")
    log = store.raw_dir / FOLDER / landing.source.partition(".")[0] / f"{landing.partition}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    common = {"noted_at": landing.fetched_at.isoformat(), "source": landing.source, "partition": landing.partition}
    asked = {"part": landing.part, "span": landing.request["span"], "subjects": SUBJECTS, "effect": ASKED}
    failed = {"subject": SUBJECTS[0], "problem": "refused", "effect": "given_up", "detail": "status 400",
              "reason": "refused: status"}  # fmt: skip
    with log.open("ab") as file:
        file.write(orjson.dumps(common | asked) + b"\n" + orjson.dumps(common | failed) + b"\n")


def _row(settings: Settings, landing: Landing, parser_version: int | None) -> dict[str, Any]:
    names = (
        "landing_id", "source", "partition", "part", "version", "original_name", "sha256", "bytes", "fetched_at",
        "completeness",
    )  # fmt: skip
    return {name: getattr(landing, name) for name in names} | {
        "path": landing.path.relative_to(settings.root).as_posix(),
        "request": orjson.dumps(landing.request).decode(),
        "is_current": True,
        "parser_version": parser_version,
    }


def settings_of(home: Path) -> Settings:
    """Settings of a home that follows two assets, so that no universe is worked out."""
    return Settings(home=home, assets=("BTC", "ETH"))
