"""Check before land: files are parsed and judged where they are, and only what passes is landed, and loaded at once.

What is refused stays where it is. Why it was refused, and the rows that were rejected in it, are kept in <home>/refused until
the file is imported or its data set is forgotten, so that they can be read before anything was ever published.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from pipelines.clean.load import Candidates, LoadReport, load_source
from pipelines.clean.parsed import remove_leftovers
from pipelines.contract.batch import ParsedBatch, SourceRules
from pipelines.contract.ddl import Contract, load_contract
from pipelines.contract.versions import SCHEMA_VERSION, MadeBy
from pipelines.core.files import write_atomically
from pipelines.core.limits import in_force
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.core.words import nearest
from pipelines.extract.candidates import candidate, is_candidate, land_candidate
from pipelines.extract.landing import Clock, Landing, LandingStore, Parser, Refusal, utc_now
from pipelines.extract.landing_files import safe_name
from pipelines.operations.build import code_version
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.sources import registry
from pipelines.sources.files import source as files
from pipelines.sources.files.check import mapping_error
from pipelines.sources.files.mapping import Mapping as DataSet
from pipelines.storage.warehouse import writer

_REASONS: Final = ".refused.json"
_ROWS: Final = ".quarantine.parquet"


@dataclass(frozen=True)
class ImportReport:
    """Result of an import: `load` is that of the files that are new, `landed` are those now in the landing, `unchanged` those
    that were there already, `uncovered` the files that the mapping says nothing about. `notes` warn of what no row can show."""

    source: str
    load: LoadReport
    landed: tuple[Landing, ...] = ()
    unchanged: tuple[Landing, ...] = ()
    uncovered: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def import_checked(
    settings: Settings,
    mapping: Path,
    *,
    paths: Sequence[Path],
    dry_run: bool = False,
    accept: str | None = None,
    gate: Gate = run_gate,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> ImportReport:
    """Check the mapping, parse and judge the files at `paths` (files, or folders to search), land and load what passes.

    A file that the mapping has no pattern for is left alone and reported, unless it is the only one. With `dry_run` nothing is
    landed or loaded. With `accept`, the reason why they are right, files that only the gate refuses are taken.

    Raises MappingError, SourceFormatError (nothing to import, or a required file is missing) or LandingError.
    """
    with in_force(settings.limits):
        contract = load_contract(settings.schema_dir)
        store = LandingStore(settings.root)
        data_set = files.load_mapping(mapping, contract=contract)
        check_venues(data_set, known_venues(settings))
        matches, uncovered = files.covered_files(data_set, paths)
        found: list[Landing] = []
        for done, match in enumerate(matches):
            progress(f"read {match.part}", done, len(matches))
            found.append(
                candidate(
                    store, match.path, source=data_set.source, partition=files.PARTITION, part=match.part,
                    request={files.MAPPING_KEY: hashlib.sha256(data_set.text).hexdigest()}, clock=clock,
                )
            )  # fmt: skip
        new = _in_order([x for x in found if is_candidate(store, x)])
        unchanged = tuple(x for x in found if not is_candidate(store, x))
        landed: list[Landing] = []

        def land(one: Landing) -> Landing:
            store.keep_mapping(data_set.source, data_set.text)
            landed.append(land_candidate(store, one))
            return landed[-1]

        load = LoadReport(data_set.source)
        if new:
            candidates = Candidates(frozenset(x.landing_id for x in new), None if dry_run else land, accept)
            load = _load(
                settings, contract, store, data_set, new, candidates, gate=gate, clock=clock, progress=progress
            )
        if not dry_run:
            _keep_refusals(settings, load, landed)
        notes = tuple(label_notes(data_set, contract, {match.file.pattern for match in matches}))
        return ImportReport(data_set.source, load, tuple(landed), unchanged, tuple(uncovered), notes)


def _in_order(candidates: Iterable[Landing]) -> list[Landing]:
    """Candidates with times that differ, in the order they were given, so that the newest of them is one of them."""
    return sorted(candidates, key=lambda x: (x.fetched_at, x.landing_id))


def _load(
    settings: Settings,
    contract: Contract,
    store: LandingStore,
    data_set: DataSet,
    new: Sequence[Landing],
    candidates: Candidates,
    *,
    gate: Gate,
    clock: Clock,
    progress: Progress,
) -> LoadReport:
    remove_leftovers(settings.root)
    landings = [*store.all(data_set.source), *new]
    parse, rules = _parser(store, contract, data_set, landings)
    return load_source(
        partial(writer, settings, what="import"),
        contract=contract,
        source=data_set.source,
        store=store,
        landings=landings,
        parse=parse,
        rules=rules,
        gate=gate,
        now=clock(),
        reader_version=registry.reader_version(store, data_set.source),
        made_by=MadeBy(code_version(settings), SCHEMA_VERSION, registry.parser_version(data_set.source, landings)),
        candidates=candidates,
        progress=progress,
    )


def _parser(
    store: LandingStore, contract: Contract, data_set: DataSet, landings: Sequence[Landing]
) -> tuple[Parser, SourceRules]:
    """Reads the candidates, and every landing that the new mapping has a pattern for, with the new mapping."""
    before, _ = files.open_landings(store, contract, [x for x in landings if not is_candidate(store, x)])

    def parser(landing: Landing) -> Iterator[ParsedBatch]:
        covered = is_candidate(store, landing) or files.is_covered(data_set, landing.original_name)
        return files.parse(landing, data_set, contract) if covered else before(landing)

    return parser, data_set.rules


AGGREGATES: Final = frozenset({"aggregate", "amberdata", "coinalyze", "coinglass", "laevitas", "velo"})
"""Names for what a vendor adds up over several venues: no venue, and in no total beside the venues' own rows."""


def known_venues(settings: Settings) -> frozenset[str]:
    """Venues and lending protocols that the project knows (seed venues), and AGGREGATES."""
    with (settings.dbt_project_dir / "seeds" / "venues.csv").open(encoding="utf-8", newline="") as file:
        return AGGREGATES | frozenset(row["venue"] for row in csv.DictReader(file))


def check_venues(data_set: DataSet, known: Collection[str]) -> None:
    """Raise MappingError for a venue or protocol that is neither known nor declared in the mapping."""
    declared = {one.name for one in data_set.venue}
    faults = []

    def judge(place: str, name: object) -> None:
        if isinstance(name, str) and name not in known and name not in declared:
            faults.append(
                f"{place}: no venue {name!r} is known; known are {', '.join(sorted({*known, *declared}))}."
                f"{nearest(name.lower(), {*known, *declared})} A new one is declared in the mapping: "
                '[[venue]] with name = "its id in lower case" and because = "what it is"'
            )

    for number, rule in enumerate(data_set.instrument):
        judge(f"instrument.{number}.venue", rule.venue)
    for number, file in enumerate(data_set.file):
        for position, rows in enumerate(file.rows):
            where = f"file.{number}.rows.{position}"
            for key in ("venue", "protocol"):
                judge(f"{where}.set.{key}", rows.set.get(key))
                cell = rows.columns.get(key)
                for name in sorted(set((cell.translate or {}).values())) if cell else ():
                    judge(f"{where}.columns.{key}.translate", name)
    if faults:
        raise mapping_error(data_set.path, data_set.text, faults)


_DAY_FORMAT: Final = frozenset("YymdbBjeGuVU")


def label_notes(data_set: DataSet, contract: Contract, patterns: Collection[str]) -> Iterable[str]:
    """What the times of the files leave open: a date without a time is the start of its day, and a vendor may mean its end."""
    for file in data_set.file:
        if file.pattern not in patterns or not all(_is_date(one) for one in file.time.format):
            continue
        for rows in file.rows:
            table = contract.table(rows.table)
            stated = {"shift"} & (file.time.model_fields_set | rows.time.model_fields_set)
            if table.day_is_state and not stated:
                yield (
                    f"{rows.table}: dates of column {file.time.column!r} have no time of day and are read as 00:00 UTC of that "
                    "day, so the value counts to the day before and is known from then on. If the vendor's date is the day "
                    'that ended, give time shift = "1d"; if it is right as it is, shift = "0s" says so.'
                )


def _is_date(text: str) -> bool:
    codes = {text[i + 1] for i, c in enumerate(text[:-1]) if c == "%" and text[i + 1] not in "-%"}
    return text == "date" or (bool(codes) and codes <= _DAY_FORMAT)


def refused_dir(settings: Settings) -> Path:
    """Where the reasons of refused imports are kept."""
    return settings.root / "refused"


def refused_imports(settings: Settings) -> list[Refusal]:
    """Files that were not imported because something in them is wrong, oldest first. Opens no database."""
    found = []
    for path in sorted(refused_dir(settings).glob(f"*/*{_REASONS}")):
        try:
            data = orjson.loads(path.read_bytes())
            data |= {"refused_at": datetime.fromisoformat(data["refused_at"]), "sample": tuple(data["sample"])}
            found.append(Refusal(**data))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda x: x.refused_at)


def forget_refusals(settings: Settings, source: str) -> None:
    """Remove the reasons of refused imports of a data set."""
    shutil.rmtree(refused_dir(settings) / safe_name(source), ignore_errors=True)


def _keep_refusals(settings: Settings, load: LoadReport, landed: Sequence[Landing]) -> None:
    """Write down what was refused, and remove what is written of files that are landed now."""
    folder = refused_dir(settings) / safe_name(load.source)
    for one in landed:
        for suffix in (_REASONS, _ROWS):
            (folder / f"{safe_name(one.part)}{suffix}").unlink(missing_ok=True)
    for refusal in load.refused:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = asdict(refusal) | {"refused_at": refusal.refused_at.isoformat(timespec="microseconds")}
        write_atomically(
            folder / f"{safe_name(refusal.part)}{_REASONS}", orjson.dumps(data, option=orjson.OPT_INDENT_2)
        )
        rows = load.quarantine.get(refusal.landing_id)
        if rows is not None and rows.height:
            rows.write_parquet(folder / f"{safe_name(refusal.part)}{_ROWS}")
