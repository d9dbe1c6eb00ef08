"""File import: bought or downloaded history, described by a mapping, as parsed batches.

The entry point of the package: matching files to a mapping, landing them, parsing a landing. The mapping's model is in
mapping.py, file reading in reader.py, row shaping in shape.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.contract.batch import REJECT_SCHEMA, ParsedBatch, SourceRules
from pipelines.contract.ddl import Contract
from pipelines.core.errors import LandingError, MappingError, SourceFormatError
from pipelines.core.progress import Progress, no_progress
from pipelines.extract.landing import Clock, Landing, LandingStore, Parser, utc_now
from pipelines.sources.chain.evm.abi import decode_logs
from pipelines.sources.files.cells import NullRule
from pipelines.sources.files.check import check_mapping, load_mapping
from pipelines.sources.files.instruments import InstrumentBook
from pipelines.sources.files.mapping import EVENTS, File, Mapping
from pipelines.sources.files.patterns import full_matches
from pipelines.sources.files.reader import read_records
from pipelines.sources.files.records import LINE, Columns, Records
from pipelines.sources.files.shape import Fault, Shaper, as_json
from pipelines.sources.files.times import file_instants
from pipelines.sources.files.wide import FIELD, INSTRUMENT, WideLayout, lengthen, wide_layout

__all__ = [
    "FileMatch",
    "Mapping",
    "covered_files",
    "land_matches",
    "load_mapping",
    "match_files",
    "open_landings",
    "parse",
]

PARTITION: Final = "history"
"""The single partition of imported files, which are not scheduled by day."""

_RECEIVED: Final = "_received"

MAPPING_KEY: Final = "mapping"
"""Key of the mapping's digest in a landing's request (LandingStore.mapping_path)."""


@dataclass(frozen=True)
class FileMatch:
    """A file that a mapping imports; `part` is its name within the landing."""

    path: Path
    part: str
    file: File


def match_files(mapping: Mapping, root: Path) -> list[FileMatch]:
    """The files below `root` (or `root` itself, if it is a file) that `mapping` imports, by name.

    Raises SourceFormatError for a file that no pattern matches and, for a folder, for a required pattern without a file.
    """
    if not root.exists():
        raise SourceFormatError(f"{mapping.source}: {root} does not exist. Check the path.")
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    matches: list[FileMatch] = []
    for path in paths:
        section = _section(mapping, path.name)
        if section is not None:
            matches.append(FileMatch(path, _part(path, section), section))
        elif not any(fnmatchcase(path.name, ignored.pattern) for ignored in mapping.ignore):
            patterns = ", ".join(file.pattern for file in mapping.file)
            raise SourceFormatError(
                f"{mapping.source}: {path} matches no pattern of {mapping.path.name} ({patterns})."
                " Add a [[file]] for it, or an [[ignore]] with the reason."
            )
    if root.is_dir():
        missing = [
            file.pattern for file in mapping.file if file.required and all(match.file != file for match in matches)
        ]
        if missing:
            raise SourceFormatError(
                f"{mapping.source}: no file in {root} matches {missing[0]!r}. Add the file, or set required = false."
            )
    _check_unique_names(mapping, matches)
    return matches


def covered_files(mapping: Mapping, paths: Sequence[Path]) -> tuple[list[FileMatch], list[Path]]:
    """The files at `paths` (files, or folders to search) that `mapping` imports, and those that it says nothing about.

    Raises SourceFormatError if there is none to import, or if a folder lacks a file for a required pattern.
    """
    matches: dict[Path, FileMatch] = {}
    uncovered: list[Path] = []
    for root in paths:
        if not root.exists():
            raise SourceFormatError(f"{mapping.source}: {root} does not exist. Check the path.")
        found = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in found:
            if any(part.startswith(".") for part in path.relative_to(root).parts):
                continue
            one = match_files(mapping, path) if is_covered(mapping, path.name) else []
            matches.update({match.path: match for match in one})
            if not one and not any(fnmatchcase(path.name, ignored.pattern) for ignored in mapping.ignore):
                uncovered.append(path)
        held = {match.file.pattern for path, match in matches.items() if path.is_relative_to(root)}
        lacking = [file.pattern for file in mapping.file if file.required and file.pattern not in held]
        if root.is_dir() and lacking:
            raise SourceFormatError(
                f"{mapping.source}: no file in {root} matches {lacking[0]!r}. Add the file, or set required = false."
            )
    _check_unique_names(mapping, list(matches.values()))
    if not matches:
        patterns = ", ".join(file.pattern for file in mapping.file)
        named = f"{uncovered[0]} matches no pattern of" if uncovered else "nothing to import matches"
        raise SourceFormatError(
            f"{mapping.source}: {named} {mapping.path.name} ({patterns}). Add a [[file]] for it, or an [[ignore]] with the reason."
        )
    return list(matches.values()), uncovered


def is_covered(mapping: Mapping, name: str) -> bool:
    """Whether a file of this name is imported."""
    return any(fnmatchcase(name, file.pattern) for file in mapping.file)


def land_matches(
    store: LandingStore,
    mapping: Path,
    *,
    files: Sequence[Path] | None = None,
    root: Path | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[Landing, ...]:
    """Land the given files, or all files below `root`, that the mapping imports, and store the mapping with them.

    A file already landed with the same mapping is skipped. All files are matched before any is landed.
    Raises MappingError, SourceFormatError (a missing file, or one that the mapping does not match) or LandingError.
    """
    loaded = load_mapping(mapping)
    paths = [*(files or ()), *((root,) if root is not None else ())]
    if not paths:
        raise SourceFormatError(f"{loaded.source}: no files to import. Give files or a folder.")
    matches = [match for path in paths for match in match_files(loaded, path)]
    _check_unique_names(loaded, matches)
    if not matches:
        raise SourceFormatError(f"{loaded.source}: {loaded.path.name} lists every file given under [[ignore]].")
    digest = store.keep_mapping(loaded.source, loaded.text)
    landed = []
    for done, match in enumerate(matches):
        progress(f"land {match.part}", done, len(matches))
        landed.append(
            store.land_file(
                match.path,
                source=loaded.source,
                partition=PARTITION,
                part=match.part,
                request={MAPPING_KEY: digest},
                clock=clock,
            )
        )
    progress("land files", len(matches), len(matches))
    return tuple(landed)


PARSER_VERSION: Final = 3
"""Raised by one when the same file and mapping give other rows, or what was refused can be read; see Feed.parser_version."""

_VERSIONS: Final = 1000
"""More than PARSER_VERSION and READING_VERSION will ever be: the part of a version above it tells mappings apart."""


def open_landings(store: LandingStore, contract: Contract, landings: Sequence[Landing]) -> tuple[Parser, SourceRules]:
    """Parser of a data set's landings and its rules, both of the newest mapping: a corrected one repairs what is landed.

    A landing that the newest mapping has no pattern for is read with the one it was landed with. A mapping that is wrong or gone
    is the fault of each landing that is read with it, and of no other.
    """
    opened: dict[str, Mapping] = {}

    def of(landing: Landing, digest: str) -> Mapping:
        if digest not in opened:
            opened[digest] = _kept_mapping(store, contract, landing, digest)
        return opened[digest]

    newest = newest_mapping(landings)

    def parser(landing: Landing) -> Iterator[ParsedBatch]:
        own = mapping_digest(landing)
        mapping = of(landing, newest or own)
        if own != newest and _section(mapping, landing.original_name) is None:
            mapping = of(landing, own)
        return parse(landing, mapping, contract)

    if newest is None:
        return parser, SourceRules()
    try:
        return parser, of(max(landings, key=_age), newest).rules
    except (MappingError, LandingError):
        # Each landing is refused because of it.
        return parser, SourceRules()


def newest_mapping(landings: Iterable[Landing]) -> str | None:
    """The digest of the mapping that was imported last."""
    newest = max(landings, key=_age, default=None)
    return None if newest is None else mapping_digest(newest)


def mapping_digest(landing: Landing) -> str:
    """The digest of the mapping that a file was landed with. Raises LandingError if it names none."""
    digest = landing.request.get(MAPPING_KEY)
    if not isinstance(digest, str):
        raise LandingError(f"{landing.source}: landing {landing.landing_id} names no mapping. Import the file again.")
    return digest


def reading_version(landings: Sequence[Landing]) -> int:
    """Version of what a data set is read with: PARSER_VERSION and, where its landings name several mappings, the newest one.

    Where it has changed, what was loaded is read again.
    """
    digests = {landing.request.get(MAPPING_KEY) for landing in landings}
    newest = max(landings, key=_age, default=None)
    if newest is None or len(digests) == 1:
        return PARSER_VERSION
    digest = hashlib.sha256(str(newest.request.get(MAPPING_KEY)).encode()).digest()
    return PARSER_VERSION + _VERSIONS * (1 + int.from_bytes(digest[:4], "big"))


def _age(landing: Landing) -> tuple[datetime, str]:
    return landing.fetched_at, landing.landing_id


def _kept_mapping(store: LandingStore, contract: Contract, landing: Landing, digest: str) -> Mapping:
    mapping = load_mapping(store.mapping_path(landing.source, digest), contract=contract)
    if hashlib.sha256(mapping.text).hexdigest() != digest:
        raise LandingError(
            f"{landing.source}: the mapping kept for landing {landing.landing_id} was altered; restore "
            f"{mapping.path}, or import the file again."
        )
    return mapping


def parse(landing: Landing, mapping: Mapping, contract: Contract) -> Iterator[ParsedBatch]:
    """The rows of `landing` for every table it feeds, `instruments` last.

    Raises MappingError if mapping and contract disagree, SourceFormatError for a structural fault of the file. After either,
    nothing of the landing may be loaded, not even batches already yielded.
    """
    check_mapping(mapping, contract)
    file = _section(mapping, landing.original_name)
    if file is None:
        raise MappingError(
            f"mapping {mapping.path}: no pattern matches {landing.original_name!r}, landed as {mapping.source}."
            " Add a [[file]] for it."
        )
    book = InstrumentBook(mapping.instrument)
    columns = columns_for(file)
    shaper = Shaper(file, contract, book, landing.landing_id)
    named = names_in(file, landing.part, landing.original_name)
    if file.last == "drop":
        shaper = replace(shaper, forming=_newest(landing, file, columns, named))
    layout: WideLayout | None = None
    known: frozenset[str] = frozenset()
    for records in read_records(landing.path, file, landing.original_name, columns):
        if records.broken.height:
            yield _broken(records, file, landing)
        if records.ignored:
            yield shaper.left_out(records.ignored)
        if records.frame.is_empty():
            continue
        if named:
            records = replace(records, frame=records.frame.with_columns(named))
        if records.missing != shaper.missing:
            shaper = replace(shaper, missing=records.missing)
        if file.wide is None:
            yield from _long(records.frame, file, shaper)
            continue
        if layout is None or not known.issuperset(records.frame.columns):
            known = frozenset(records.frame.columns)
            layout = wide_layout(
                records.frame.columns,
                file.wide,
                used=file.used | file.derived,
                ignored=frozenset(file.ignore),
                place=landing.original_name,
            )
            shaper = replace(shaper, wide_names=layout.names)
        yield from _wide(records.frame, file, shaper, layout)
    instruments = book.rows()
    if instruments.height:
        yield ParsedBatch(table="instruments", landing_id=landing.landing_id, rows=instruments)


def columns_for(file: File) -> Columns:
    """The columns that files of a section must have, and may have."""
    return Columns(
        used=file.needed,
        ignored=frozenset(file.ignore),
        wide=file.wide is not None,
        optional=(file.used - file.needed) | file.prefixed,
        rename=tuple(file.rename.items()),
    )


def names_in(file: File, part: str, name: str) -> list[pl.Expr]:
    """The columns that a file's name gives. Raises SourceFormatError if it does not match."""
    if file.from_name is None:
        return []
    whole = part if file.folders else name
    [found] = full_matches(file.from_name, [whole], place=f"{whole}, from_name")
    if found is None:
        raise SourceFormatError(f"{whole}: the name does not match from_name {file.from_name!r}. Correct one of them.")
    return [pl.lit(text, dtype=pl.String).alias(group) for group, text in found.items()]


def _newest(landing: Landing, file: File, columns: Columns, named: Sequence[pl.Expr]) -> datetime | None:
    """The newest time of a file: its period is still forming."""
    newest: datetime | None = None
    for records in read_records(landing.path, file, landing.original_name, columns):
        if records.frame.height:
            found = file_instants(records.frame.with_columns(named), file.time).max()
            newest = max((x for x in (newest, found) if isinstance(x, datetime)), default=None)
    return newest


def _part(path: Path, file: File) -> str:
    """A file's name within the landing, with as many of its folders as its section says."""
    return "/".join(path.absolute().parts[-1 - file.folders :])


def _long(frame: pl.DataFrame, file: File, shaper: Shaper) -> Iterator[ParsedBatch]:
    raw = as_json([name for name in frame.columns if name != LINE])
    frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(FIELD))
    if file.decode is not None:
        frame = decode_logs(frame.with_columns(raw.alias(_RECEIVED)), EVENTS[file.decode])
        raw = pl.col(_RECEIVED)
        undecodable = frame.filter(pl.col("undecodable").is_not_null())
        if undecodable.height:
            fault = Fault(pl.lit(value=True), None, "undecodable", pl.col("undecodable"))
            yield shaper.reject(undecodable, fault, raw)
        frame = frame.filter(pl.col("undecodable").is_null())
    yield from shaper.batches(frame, raw)


def _wide(frame: pl.DataFrame, file: File, shaper: Shaper, layout: WideLayout) -> Iterator[ParsedBatch]:
    assert file.wide is not None  # noqa: S101 - only wide files come here
    raw = as_json([*layout.fixed, INSTRUMENT, *file.wide.metrics])
    for long, nulls in lengthen(frame, layout, file.wide, NullRule(file.absent)):
        if nulls.height:
            yield shaper.null_cells(nulls)
        yield from shaper.batches(long, raw)


def _broken(records: Records, file: File, landing: Landing) -> ParsedBatch:
    """Lines that are not valid records, rejected under the first rule's table."""
    rejects = records.broken.select(
        pl.lit(None, dtype=pl.Date).alias("trade_date"),
        "line",
        pl.lit(None, dtype=pl.String).alias("field"),
        pl.lit(None, dtype=pl.String).alias("instrument"),
        pl.lit("unparsable").alias("reason"),
        "detail",
        "raw",
    ).select(list(REJECT_SCHEMA))
    rows = pl.DataFrame(schema={LINE: pl.Int64(), FIELD: pl.String()})
    return ParsedBatch(file.rows[0].table, landing.landing_id, rows, rejects)


def _check_unique_names(mapping: Mapping, matches: Sequence[FileMatch]) -> None:
    """Raise SourceFormatError for two files with the same name, since the second would replace the first as its new version."""
    paths: dict[str, Path] = {}
    for match in matches:
        held = paths.setdefault(match.part, match.path)
        if held != match.path:
            raise SourceFormatError(
                f"{mapping.source}: {held} and {match.path} have the same name. Import one of them."
            )


def _section(mapping: Mapping, name: str) -> File | None:
    """The [[file]] whose pattern matches `name`. Raises MappingError if two match."""
    found = [file for file in mapping.file if fnmatchcase(name, file.pattern)]
    if len(found) > 1:
        patterns = " and ".join(repr(file.pattern) for file in found)
        raise MappingError(
            f"mapping {mapping.path}: {name!r} matches {patterns}. Make the patterns exclude each other."
        )
    return found[0] if found else None
