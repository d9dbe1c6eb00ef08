"""Inputs that are small or ordinary by size and cost much to read, each loaded in a process of its own and measured.

`python -m tests.e2e.bombs` prints the table; test_bombs.py holds every row against the bounds.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.core.errors import LeverhouseError
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Page
from pipelines.operations.load import import_files, load_pending
from pipelines.storage import warehouse
from pipelines.storage.warehouse import writer_lock

SECONDS: Final = 120.0
"""After this a bomb's process is ended: it has gone off."""
MEMORY: Final = 5 << 30
"""Address space of a bomb's process."""

_RULE: Final = """
[[file.rows]]
table = "open_interest"
available = { after = "event", lag = "5m" }
set = { venue = "binance", period = "5m", oi_raw_unit = "base", counting = "one_sided" }
columns = { oi_base = "oi", oi_raw = "oi", oi_usd = "value" }
"""


def _mapping(form: str, *, name: str = "(?P<base>[A-Z0-9]+)USDT", extra: str = "") -> str:
    return (
        f"""
dataset = "bomb"
description = "A bomb"

[[instrument]]
venue = "binance"
name = '{name}'
symbol = "{{base}}USDT"
base = "{{base}}"
quote = "USDT"
contract_type = "linear"

[[file]]
pattern = "*"
format = "{form}"
instrument = "symbol"
time = {{ column = "time", format = "%Y-%m-%d %H:%M:%S", zone = "UTC" }}
absent = [""]
{extra}
"""
        + _RULE
    )


_WIDE: Final = """
dataset = "bomb"
description = "A bomb"

[[instrument]]
venue = "binance"
name = '(?P<base>[A-Z0-9]+)'
symbol = "{base}USDT"
base = "{base}"
quote = "USDT"
contract_type = "linear"

[[file]]
pattern = "*"
format = "csv"
absent = [""]
wide = { columns = '(?P<instrument>.+)_(?P<metric>l|s)', metrics = ["l", "s"] }
time = { column = "t", format = "date", zone = "UTC" }

[[file.rows]]
table = "liquidation_totals"
available = { after = "period", lag = "1h" }
set = { venue = "binance", measure = "position_notional", period = "1d", completeness = "throttled" }
columns = { long_base = "l", short_base = "s" }
"""


@dataclass(frozen=True)
class Bomb:
    """A mapping and how its file is written."""

    mapping: str
    write: Callable[[Path], object]


def _rows(count: int) -> bytes:
    frame = pl.select(pl.int_range(count).alias("n")).select(
        symbol=pl.format("A{}USDT", pl.col("n") % 50),
        time=(pl.lit(datetime(2020, 1, 1)) + pl.duration(minutes=5 * (pl.col("n") // 50))).dt.strftime(
            "%Y-%m-%d %H:%M:%S"
        ),
        oi=pl.lit("1.5"),
        value=pl.lit("60000"),
    )
    return frame.write_csv().encode()


def _json_list(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"[1")
        for _ in range(75):
            file.write(b",1" * 1_000_000)
        file.write(b"]")


def _json_records(path: Path) -> None:
    lines = pl.read_csv(_rows(1_600_000), infer_schema=False).write_ndjson().encode().rstrip(b"\n")
    path.write_bytes(b"[" + lines.replace(b"\n", b",") + b"]")


def _empty_records(path: Path) -> None:
    good = b'{"symbol":"AUSDT","time":"2024-01-01 00:05:00","oi":"1","value":"1"}'
    path.write_bytes(b"[" + good + b",{}" * 50_000_000 + b"]")


def _overlapping(path: Path) -> None:
    """One compressed member, listed 1,500 times by the central directory."""
    content = _rows(20_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    sizes = (zlib.crc32(content), len(packed), len(content))
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 33, *sizes, 10, 0) + b"000000.csv" + packed
    entries = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, *sizes, 10, 0, 0, 0, 0, 0, 0) + b"000000.csv"
        for _ in range(1_500)
    )
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1_500, 1_500, len(entries), len(local), 0)
    path.write_bytes(local + entries + end)


def _columns(path: Path) -> None:
    names = [f"A{n}_{metric}" for n in range(50_000) for metric in ("l", "s")]
    line = ",1" * len(names)
    path.write_text(
        "t," + ",".join(names) + "\n" + "".join(f"2024-01-{day:02d}{line}\n" for day in range(1, 29)), encoding="ascii"
    )


def _nested(path: Path) -> None:
    deep = "[" * 900 + "1" + "]" * 900
    row = f'{{"symbol":"AUSDT","time":"2024-01-01 00:05:00","oi":{deep},"value":{deep}}}\n'
    path.write_text(row * 30_000, encoding="ascii")


def _nested_parquet(path: Path) -> None:
    value: pl.Series = pl.Series("oi", [[1.5]])
    for _ in range(60):
        value = pl.select(pl.struct(value.alias("x")).implode()).to_series()
    pl.DataFrame(
        {"symbol": ["AUSDT"], "time": ["2024-01-01 00:05:00"], "oi": value.alias("oi"), "value": ["1"]}
    ).write_parquet(path)


def _repeated_parquet(path: Path) -> None:
    """A hundred million rows of one value in each column, in a few kilobytes."""
    pl.select(
        symbol=pl.repeat("AUSDT", 100_000_000, dtype=pl.Categorical),
        time=pl.repeat("2024-01-01 00:05:00", 100_000_000, dtype=pl.Categorical),
        oi=pl.repeat(1.5, 100_000_000),
        value=pl.repeat(1.5, 100_000_000),
    ).write_parquet(path, compression="zstd", statistics=False)


def _long_names(path: Path) -> None:
    head = "symbol,time,oi,value\n"
    rows = "".join(f"{'A' * 40}{n},2024-01-01 00:05:00,1,1\n" for n in range(50))
    path.write_text(head + rows, encoding="ascii")


def _gzip_zeros(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(_rows(10))
        for _ in range(2_000):
            file.write(b"A1USDT,2020-01-01 00:00:00,1.5,60000\n" * 28_000)


def _broken_lines(path: Path) -> None:
    path.write_bytes(_rows(10) + b'"a"\n' * 40_000_000 + _rows(10).partition(b"\n")[2])


BOMBS: Final[Mapping[str, Bomb]] = {
    "150 MB list of numbers": Bomb(_mapping("json"), _json_list),
    "150 MB list of records": Bomb(_mapping("json"), _json_records),
    "150 MB list of empty records": Bomb(_mapping("json"), _empty_records),
    "overlapping zip members": Bomb(_mapping("csv"), _overlapping),
    "100,000 columns": Bomb(_WIDE, _columns),
    "nested values, JSON lines": Bomb(_mapping("jsonl"), _nested),
    "nested values, Parquet": Bomb(_mapping("parquet"), _nested_parquet),
    "100 million rows of one value, Parquet": Bomb(_mapping("parquet"), _repeated_parquet),
    "expression without end": Bomb(_mapping("csv", name="(?P<base>(A+)+)USDT"), _long_names),
    "expression without end, look-around": Bomb(_mapping("csv", name="(?P<base>(?=A)(A+)+)USDT"), _long_names),
    "2 GB of one line, gzip": Bomb(_mapping("csv"), _gzip_zeros),
    "160 MB of broken lines": Bomb(_mapping("csv"), _broken_lines),
}
"""Files, by name."""

ANSWERS: Final[Mapping[str, bytes]] = {
    "60 MB answer of empty records": b'{"retCode":0,"result":{"category":"linear","list":[{}'
    + b",{}" * 20_000_000
    + b"]}}",
    "60 MB answer of small lists": b'{"retCode":0,"result":{"category":"linear","list":[[]'
    + b",[]" * 20_000_000
    + b"]}}",
}
"""Answers of a venue, by name."""

PACKS: Final[Mapping[str, int]] = {"150 MB of answers about 300 instruments": 300}
"""Landings of open interest by five minutes in answers of 200 records, by name: how many instruments they are about."""


def _land(store: LandingStore, feed: str, pages: Iterable[tuple[str, str, bytes]]) -> None:
    """Land answers, each with its subject and path, as those of a month of Bybit's `feed`."""
    span = ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]
    with store.draft(f"bybit.{feed}", "2024-01", "pack") as draft:
        covers = {}
        for subject, path, body in pages:
            request = {"method": "GET", "endpoint": "api", "path": path, "params": {"category": "linear"}}
            draft.add(Page(subject, request, 200, datetime(2024, 2, 2), body))
            covers[subject] = "complete"
        draft.land(
            completeness="complete", request={"span": span, "covers": covers}, original_name=feed,
            clock=lambda: datetime(2024, 2, 2),
        )  # fmt: skip


def _instruments(count: int) -> bytes:
    common = (
        '"contractType":"LinearPerpetual","status":"Trading","quoteCoin":"USDT","launchTime":"0","deliveryTime":"0"'
    )
    listed = ",".join(f'{{"symbol":"A{n:03}USDT","baseCoin":"A{n:03}",{common}}}' for n in range(count))
    return f'{{"retCode":0,"result":{{"category":"linear","list":[{listed}],"nextPageCursor":""}}}}'.encode()


def _answers(count: int) -> Iterator[tuple[str, str, bytes]]:
    """44 answers about each instrument, which hold most of a month."""
    start = 1_704_067_200_000
    for number, asset in ((number, asset) for asset in range(count) for number in range(44)):
        rows = ",".join(
            f'{{"openInterest":"{5.5 + n:.3f}","timestamp":"{start + (number * 200 + n) * 300_000}"}}'
            for n in range(1, 201)
        )
        body = f'{{"retCode":0,"result":{{"symbol":"A{asset:03}USDT","category":"linear","list":[{rows}]}}}}'
        yield f"A{asset:03}USDT", "/v5/market/open-interest", body.encode()


@dataclass(frozen=True)
class Measured:
    """What a bomb cost and how it ended. `waited` is the longest time a second command waited for the writer lock, `held` the
    longest processor time that was spent with it."""

    name: str
    size: int
    seconds: float
    processor: float
    peak: int
    waited: float
    held: float
    ended: str


def measure(name: str, folder: Path) -> Measured:
    """Load a bomb in a process of its own, with a second one that asks for the writer lock all the time."""
    home = folder / "home"
    target = folder / "bomb"
    if name in BOMBS:
        BOMBS[name].write(target)
        (folder / "bomb.toml").write_text(BOMBS[name].mapping, encoding="utf-8")
        size = target.stat().st_size
    elif name in PACKS:
        size = sum(len(body) for _, _, body in _answers(PACKS[name]))
    else:
        size = len(ANSWERS[name])
    waits = [0.0]
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            started = time.monotonic()
            with writer_lock(Settings(home=home), what="second command"):
                waits.append(time.monotonic() - started)

    asking = threading.Thread(target=ask)
    asking.start()
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.bombs", name, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=PROJECT_ROOT,
    )  # fmt: skip
    try:
        out, err = child.communicate(timeout=SECONDS)
        told = (
            json.loads(out.splitlines()[-1])
            if out
            else {"ended": f"exit {child.returncode}: {err[-200:]}", "peak": 0, "processor": 0.0, "held": 0.0}
        )
    except subprocess.TimeoutExpired:
        peak = _peak(child.pid)
        child.kill()
        child.communicate()
        told = {"ended": f"still going after {SECONDS:g} s", "peak": peak, "processor": 0.0, "held": 0.0}
    finally:
        over.set()
        asking.join()
    return Measured(
        name, size, time.monotonic() - started, told["processor"], told["peak"], max(waits), told["held"], told["ended"]
    )


def _peak(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(text.partition("VmHWM:")[2].split()[0]) << 10


def _load(name: str, folder: Path) -> str:
    settings = Settings(home=folder / "home")
    if name in BOMBS:
        import_files(settings, folder / "bomb.toml", files=[folder / "bomb"])
    elif name in PACKS:
        store, count = LandingStore(settings.root), PACKS[name]
        _land(store, "instruments", [("*", "/v5/market/instruments-info", _instruments(count))])
        _land(store, "open_interest", _answers(count))
    else:
        span = ["2024-01-01T00:00:00", "2024-01-02T00:00:00"]
        request = {
            "method": "GET",
            "endpoint": "api",
            "path": "/v5/market/open-interest",
            "params": {"category": "linear"},
        }
        store = LandingStore(settings.root)
        with store.draft("bybit.open_interest", "2024-01-01", "pack") as draft:
            draft.add(Page("BTCUSDT", request, 200, datetime(2024, 1, 2), ANSWERS[name]))
            draft.land(
                completeness="complete", request={"span": span, "covers": {"BTCUSDT": "complete"}},
                original_name="bybit.open_interest", clock=lambda: datetime(2024, 1, 2),
            )  # fmt: skip
    outcome = load_pending(settings, gate=lambda con, inputs: [])
    try:
        outcome.raise_failures()
    except LeverhouseError as error:
        return " ".join(str(error).splitlines()[1].split())[:400]
    return f"loaded {sum(table.accepted for report in outcome.reports for table in report.tables):,} rows"


def _child(name: str, folder: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    holds = [0.0]
    take = warehouse.writer_lock

    @contextmanager
    def timed(settings: Settings, *, what: str) -> Iterator[None]:
        with take(settings, what=what):
            started = time.process_time()
            yield
            holds.append(time.process_time() - started)

    warehouse.writer_lock = timed
    try:
        ended = _load(name, folder)
    except MemoryError:
        ended = f"more than {MEMORY >> 30} GiB of memory"
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(one.ru_utime + one.ru_stime for one in spent)
    print(json.dumps({"ended": ended, "peak": _peak(os.getpid()), "processor": processor, "held": max(holds)}))


def main() -> None:
    names = sys.argv[1:] or [*BOMBS, *ANSWERS, *PACKS]
    if len(names) == 2 and Path(names[1]).is_dir():
        _child(names[0], Path(names[1]))
        return
    heads = ("input", "bytes", "seconds", "processor s", "peak MB", "lock waited s", "lock held, processor s", "ended")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, Path(folder))
        cells = (
            name, f"{found.size:,}", f"{found.seconds:.1f}", f"{found.processor:.1f}", f"{found.peak / 1e6:,.0f}",
            f"{found.waited:.1f}", f"{found.held:.1f}", found.ended,
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
