"""What the parsers of recorded streams share: events out of recorded frames, identity, sizes, rows of clean.liquidations.

The wire formats are in the venues' modules. No socket here, and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl

from pipelines.contract.batch import no_rejects
from pipelines.extract.stream import Frame, Rule, frames_of, inflated
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.account import leave_out
from pipelines.sources.records import LINE, SUBJECT, Field, Record, Records, read_records, rejected

Events = Callable[[Any], Sequence[Mapping[str, Any]]]
"""The events in the content of one frame, each with the facts that the frame states for all; none for a frame of another kind.
Raises KeyError, TypeError, ValueError, AttributeError or IndexError for a frame that has not the venue's shape."""

RECEIVED: Final = "received_us"
UNIQUE_TEXT: Final = "-"
WHOLE_FRAME: Final = 2000
"""Characters of a frame that cannot be read which are kept in quarantine; all of it stays in the landing."""

_FAULTS: Final = (
    Field("detail", "detail", str),
    Field("raw", "raw", str),
    Field(RECEIVED, RECEIVED, int),
)


def is_payload(frame: Frame) -> bool:
    """Whether a recorded frame came from the venue and has content."""
    return frame.kind in ("T", "B")


def read_events(pages: Sequence[Page], events: Events, fields: Sequence[Field]) -> Records:
    """The events of all frames in `pages`, in the order of arrival within each connection, with `received_us` and the connection as
    `subject`. Frames that are no JSON or not of the venue's shape are rejects.

    Texts that are no JSON by the venue's rules, such as a pong of one word, are for `events` to name: they arrive as text.
    """
    found: dict[int, list[Record]] = {}
    faults: dict[int, list[Record]] = {}
    for page in pages:
        rows, wrong = found.setdefault(id(page), []), faults.setdefault(id(page), [])
        for frame in frames_of(page):
            if not is_payload(frame):
                continue
            try:
                rows += [{**event, RECEIVED: frame.wall_us} for event in events(content_of(frame.payload))]
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                text = frame.payload[:WHOLE_FRAME].decode("utf-8", "replace")
                detail = f"the frame is not of the venue's format: {type(error).__name__}: {error}"
                wrong.append({"detail": detail[:300], "raw": orjson.dumps(text).decode(), RECEIVED: frame.wall_us})
    read = read_records(pages, lambda page: found[id(page)], (*fields, Field(RECEIVED, RECEIVED, int)))
    unread = read_records([page for page in pages if faults[id(page)]], lambda page: faults[id(page)], _FAULTS).frame
    refused = unread.select(
        pl.from_epoch(RECEIVED, time_unit="us").dt.date().alias("trade_date"),
        pl.col(LINE).alias("line"),
        pl.lit(None, pl.String).alias("field"),
        pl.lit(None, pl.String).alias("instrument"),
        pl.lit("unparsable").alias("reason"),
        "detail",
        "raw",
    )
    return Records(read.frame, pl.concat([no_rejects(), read.rejects, refused]))


def content_of(payload: bytes) -> Any:
    """A frame as JSON; a short word, such as OKX's pong, as text."""
    if len(payload) <= 8 and payload.isalpha():
        return payload.decode()
    return orjson.loads(inflated(payload))


def markets_of_topics(pages: Sequence[Page]) -> dict[str, str]:
    """The instrument of every topic whose name is a number, as the recorded connections say."""
    found: dict[str, str] = {}
    for page in pages:
        for frame in frames_of(page):
            if frame.kind == "E":
                found |= orjson.loads(frame.payload).get("topics", {})
    return found


def sized(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`frame` with `quantity_base` and `notional_usd` of its `amount` (contracts, by the instrument's contract size) at its
    `price`, and what is of no known instrument. An instrument without a contract size is counted in its base."""
    facts = context.instruments.select(
        "instrument", pl.lit(value=True).alias("is_known"), "contract_type", "contract_size", "contract_size_unit"
    )
    joined = frame.join(facts, on="instrument", how="left", maintain_order="left")
    amount = pl.col("amount").abs() * pl.col("contract_size").fill_null(1.0)
    is_usd = pl.col("contract_size_unit") == "usd"
    is_perpetual = pl.col("is_known") & pl.col("contract_type").is_in(["linear", "inverse"])
    known = joined.filter(is_perpetual.fill_null(value=False)).with_columns(
        pl.when(is_usd).then(amount / pl.col("price")).otherwise(amount).alias("quantity_base"),
        pl.when(is_usd).then(amount).otherwise(amount * pl.col("price")).alias("notional_usd"),
    )
    return known, joined.filter(~is_perpetual.fill_null(value=False))


def liquidations(
    frame: pl.DataFrame,
    *,
    venue: str,
    rules: Sequence[Rule],
    facts: Iterable[str],
    is_counted: bool,
    venue_kind: str = "cex",
) -> pl.DataFrame:
    """Rows of clean.liquidations from events with `at`, `instrument`, `side`, `price`, `quantity_base`, `notional_usd`, `is_adl`.

    The id is made of `facts`. Where the venue gives none (`is_counted`), equal events of one connection are numbered, so that two
    of them stay two, and the same two heard on another connection are the same two: connections are merged as multisets, the larger
    count counts. Of an event heard several times the first is kept.
    """
    names = list(facts)
    number = [pl.int_range(1, pl.len() + 1).over(SUBJECT, *names).cast(pl.String)] if is_counted else []
    identity = pl.concat_str([*(pl.col(name).cast(pl.String) for name in names), *number], separator=UNIQUE_TEXT)
    named = frame.with_columns(identity.alias("liquidation_id")).sort(RECEIVED, LINE)
    first = named.unique("liquidation_id", keep="first", maintain_order=True)
    leave_out(named.join(first.select(LINE), on=LINE, how="anti"), "counted_before")
    completeness = pl.lit(rules[0].completeness)
    for rule in rules[1:]:
        completeness = pl.when(pl.col("at") >= rule.since).then(pl.lit(rule.completeness)).otherwise(completeness)
    received = pl.from_epoch(RECEIVED, time_unit="us")
    return first.sort(LINE).select(
        pl.lit(venue).alias("venue"),
        "liquidation_id",
        pl.lit(venue_kind).alias("venue_kind"),
        "instrument",
        pl.col("at").alias("occurred_at"),
        "side",
        "price",
        "quantity_base",
        "notional_usd",
        completeness.alias("completeness"),
        "is_adl",
        # A venue's clock may be ahead of ours; nothing is known before it happened.
        pl.max_horizontal(received, pl.col("at")).alias("available_at"),
        LINE,
    )


def unknown_instruments(frame: pl.DataFrame, venue: str) -> pl.DataFrame:
    """Events of instruments that no landed list of the venue has, as rejects."""
    return rejected(
        frame,
        reason="unknown_instrument",
        detail=f"in no landed list of {venue}'s instruments",
        stamp="at",
        instrument="instrument",
    )


def undecodable(frame: pl.DataFrame, field: str, detail: str) -> pl.DataFrame:
    """Events whose `field` has a value that no document names, or whose meaning is not known, as rejects."""
    return rejected(frame, reason="undecodable", field=field, detail=detail, stamp="at", instrument="instrument")


def from_connections(rows: pl.DataFrame, *rejects: pl.DataFrame) -> Parsed:
    """The liquidations of a recorded segment."""
    return Parsed("liquidations", rows, pl.concat([no_rejects(), *rejects]))
