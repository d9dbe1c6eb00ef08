"""From one row of a mart to the answers and lines it was made of, and from a landing to the marts it feeds. Reads only.

A step leads from the rows of a table to the rows of one that it reads with the same keys: asset, day, venue and what else is part
of the key of either. Rows of other days, which a window reads as well, are counted on request. What no day belongs to (assets,
instruments, thresholds) is named and not followed. Lines are found by reading a landing again with its parser.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Literal

import duckdb
import polars as pl

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.errors import ConfigError
from pipelines.core.limits import in_force
from pipelines.core.settings import Settings
from pipelines.core.words import nearest
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Landing, LandingStore
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Context
from pipelines.operations.build import ensure_manifest
from pipelines.sources import registry
from pipelines.sources.account import LINE, Account
from pipelines.sources.reading import read_pages
from pipelines.storage.query import scalar
from pipelines.storage.warehouse import onlooker

Kind = Literal["mart", "model", "statistics", "seed", "clean", "books", "reference"]

BASE: Final = ("asset", "venue", "instrument", "trade_date", "source", "chain", "protocol", "signal", "hypothesis_id")
"""Columns that mean the same in every table that has them."""

DAY: Final = "trade_date"
MONTH: Final = "trade_month"

READ_BY_STATISTICS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "signal_estimates": (
        "pipelines/evidence/scorecard.py",
        ("int_hypothesis_states_daily", "int_hypothesis_outcomes_daily"),
    ),
    "liquidation_kernel_monthly": ("pipelines/evidence/levels.py", ("int_liquidation_exposure_daily",)),
    "liquidation_skill_daily": ("pipelines/evidence/levels.py", ("int_liquidation_exposure_daily",)),
}
"""Tables of schema stats: the step of Python that writes them, and the models it reads."""

MOST_LANDINGS: Final = 20
MOST_LINES: Final = 1_000
"""Landings that are read again for lines, and lines that are named, unless more are asked for."""


@dataclass(frozen=True)
class Relation:
    """A table or view of the warehouse: where it is made, by which rule, from what."""

    name: str
    table: str
    schema: str
    kind: Kind
    rule: str
    file: str
    reads: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        return f'{self.schema}."{self.table}"'

    @property
    def has_days(self) -> bool:
        return DAY in self.columns


@dataclass(frozen=True)
class Step:
    """Rows of one table on the way: how many, of which days, by which rule they are made, and by which columns they were found."""

    table: str
    kind: Kind
    rule: str
    file: str
    found_by: tuple[str, ...]
    rows: int
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True)
class Line:
    """A record that a clean row was read from: the answer or file, its request, the number of the record or line in it."""

    table: str
    landing_id: str
    where: str
    line: int
    key: Mapping[str, Any]


@dataclass(frozen=True)
class Fed:
    """A landing on the way: what it is, the module or mapping that reads it, and the clean rows that came from it."""

    landing_id: str
    source: str
    partition: str
    part: str
    version: int
    fetched_at: Any
    completeness: str
    path: str
    read_by: str
    tables: Mapping[str, int]
    requests: tuple[Mapping[str, Any], ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class Trace:
    """The way of a row, or of a landing: `row` as it stands in the mart, steps in the order they were taken, landings, lines.

    `landings_left` counts the landings whose lines were not looked for, and `lines_left` the lines that are not named.
    """

    of: str
    row: Mapping[str, Any]
    steps: tuple[Step, ...]
    landings: tuple[Fed, ...]
    lines: tuple[Line, ...] = ()
    landings_left: int = 0
    lines_left: int = 0


def trace_row(
    settings: Settings,
    mart: str,
    values: Sequence[str],
    *,
    days: int = 0,
    most_landings: int = MOST_LANDINGS,
    most_lines: int = MOST_LINES,
) -> Trace:
    """Follow the row of `mart` with the key `values`, in the order of the key, back to its landings.

    With `days`, rows of as many days before are followed too. Raises ConfigError for an unknown mart or key, and
    WarehouseBusyError while another process writes.
    """
    contract = load_contract(settings.schema_dir)
    with onlooker(settings) as con:
        graph = relations(con, settings, contract)
        marts = sorted(x.name for x in graph.values() if x.schema == "marts")
        root = graph.get(mart)
        if root is None or mart not in marts:
            raise ConfigError(f"no mart is called {mart!r}.{nearest(mart, marts)} There are {', '.join(marts)}.")
        row = _root(con, root, values)
        steps = _walk(con, graph, root, days=days, forward=False)
        wanted = {
            step.table: con.sql(f"select * from {_rows_of(step.table)}").pl()
            for step in steps
            if step.kind == "clean" and step.rows
        }
    store = LandingStore(settings.root)
    landings = _landings(store, settings, wanted)
    lines: list[Line] = []
    for place, fed in enumerate(landings[:most_landings]):
        found, requests, fault = _lines(store, settings, contract, fed, wanted)
        landings[place] = replace(fed, requests=requests, fault=fault)
        lines += found
    return Trace(
        of=f"marts.{mart}",
        row=row,
        steps=tuple(steps),
        landings=tuple(landings),
        lines=tuple(lines[:most_lines]),
        landings_left=max(0, len(landings) - most_landings),
        lines_left=max(0, len(lines) - most_lines),
    )


def trace_landing(settings: Settings, landing_id: str) -> Trace:
    """What the clean rows of a landing, named by the first characters of its id, feed: tables, and days of marts.

    A window carries a day into later ones, which are not listed. Raises ConfigError for an unknown or ambiguous id.
    """
    store, contract = LandingStore(settings.root), load_contract(settings.schema_dir)
    found = [one for one in store.all() if one.landing_id.startswith(landing_id)]
    if len(found) != 1:
        problem = "no landing has" if not found else f"{len(found)} landings have"
        raise ConfigError(f"{problem} an id that starts with {landing_id!r}.")
    [landing] = found
    steps: list[Step] = []
    tables: dict[str, int] = {}
    with onlooker(settings) as con:
        graph = relations(con, settings, contract)
        for name in sorted(name for name, x in graph.items() if x.kind == "clean"):
            con.execute(
                f"create or replace temp table {_rows_of(name)} as select * from {graph[name].qualified} where landing_id = ?",
                [landing.landing_id],
            )
            rows = int(scalar(con, f"select count(*) from {_rows_of(name)}"))
            if not rows:
                continue
            tables[name] = rows
            steps.append(_step(con, graph[name], ("landing_id",)))
            steps += (x for x in _walk(con, graph, graph[name], days=0, forward=True) if x.rows)
    seen: dict[str, Step] = {}
    for step in steps:
        before = seen.get(step.table)
        seen[step.table] = step if before is None or step.rows > before.rows else before
    return Trace(
        of=landing.landing_id,
        row={},
        steps=tuple(seen.values()),
        landings=(_fed(settings, store, landing, tables),),
    )


def relations(con: duckdb.DuckDBPyConnection, settings: Settings, contract: Contract) -> dict[str, Relation]:
    """Every table and view on the way from landings to marts, by name, from dbt's manifest and the contract."""
    manifest = json.loads(ensure_manifest(settings).read_bytes())
    columns: dict[tuple[str, str], tuple[str, ...]] = {}
    for schema, table, names in con.execute(
        "select schema_name, table_name, list(column_name order by column_index) from duckdb_columns() "
        "where database_name = current_database() group by all"
    ).fetchall():
        columns[schema, table] = tuple(names)
    keys: dict[str, tuple[str, ...]] = {}
    for node in manifest["nodes"].values():
        about = node.get("test_metadata") or {}
        attached = (node.get("attached_node") or "").rpartition(".")[2]
        if about.get("name") == "unique_combination":
            keys[attached] = tuple(about["kwargs"]["columns"])
        elif about.get("name") == "unique":
            keys.setdefault(attached, (about["kwargs"]["column_name"],))
    found: dict[str, Relation] = {}
    for node in (*manifest["nodes"].values(), *manifest["sources"].values()):
        name, schema, kind = node["name"], node["schema"], node["resource_type"]
        if kind not in ("model", "seed", "source") or (schema, name) not in columns:
            continue
        reads = tuple(x.rpartition(".")[2] for x in node["depends_on"]["nodes"]) if kind == "model" else ()
        one = Relation(
            # A model may have the name of a table that it reads.
            name=f"{schema}.{name}" if name in found or schema == "ops" else name,
            table=name,
            schema=schema,
            kind="mart" if schema == "marts" else "seed" if kind == "seed" else "model",
            rule=" ".join(node["description"].split("\n\n")[0].split()),
            file=f"dbt_project/{node['original_file_path']}",
            reads=reads,
            key=keys.get(name, ()),
            columns=columns[schema, name],
        )
        if kind == "source":
            one = _of_source(one, name, contract)
        found[one.name] = one
    return found


def _of_source(one: Relation, name: str, contract: Contract) -> Relation:
    table = {t.qualified: t for t in contract.tables}[f"{one.schema}.{name}"]
    file = f"warehouse/schema/{table.qualified}.sql"
    if one.schema == "clean":
        rule = "A row of the newest landing that has its key, accepted by the contract and the gate; docs/quality.md."
        return replace(one, kind="clean", rule=rule, file=file, key=table.key)
    if one.schema == "stats":
        step, reads = READ_BY_STATISTICS[name]
        rule = "Written by Python between two runs of dbt, from all days that were known."
        return replace(one, kind="statistics", rule=rule, file=step, reads=reads, key=table.key)
    return replace(one, kind="books", rule="What the loader writes down of its work.", file=file, key=table.key)


def _root(con: duckdb.DuckDBPyConnection, root: Relation, values: Sequence[str]) -> dict[str, Any]:
    """Select the row that the key names; return it."""
    if len(values) != len(root.key):
        raise ConfigError(
            f"a row of {root.name} is named by {len(root.key)} values: {' '.join(name.upper() for name in root.key)}."
        )
    same = " and ".join(f'cast("{name}" as varchar) = ?' for name in root.key)
    con.execute(
        f"create or replace temp table {_rows_of(root.name)} as select * from {root.qualified} where {same}",
        list(values),
    )
    rows = con.sql(f"select * from {_rows_of(root.name)}").pl().to_dicts()
    if not rows:
        named = ", ".join(f"{name} {value}" for name, value in zip(root.key, values, strict=True))
        raise ConfigError(f"{root.name} has no row of {named}; days are written as 2025-05-28.")
    return dict(rows[0])


def _walk(
    con: duckdb.DuckDBPyConnection, graph: Mapping[str, Relation], root: Relation, *, days: int, forward: bool
) -> list[Step]:
    """The rows that the rows of `root` were made of, or with `forward` that they feed, table by table."""
    edges = _edges(graph, forward=forward)
    steps = [] if forward else [_step(con, root, root.key)]
    reached = {root.name: root}
    first = last = None
    if root.has_days:
        first, last = con.execute(f"select min({DAY}), max({DAY}) from {_rows_of(root.name)}").fetchall()[0]
    for name in _ordered(root.name, edges):
        one = graph[name]
        befores = [reached[x] for x in _readers(name, edges) if x in reached]
        conditions = [found for before in befores if (found := _condition(con, before, one)) is not None]
        follows = [x for x in conditions if x[2]]
        if not befores or not conditions:
            continue
        chosen = follows or conditions
        where = " or ".join(f"({x[0]})" for x in chosen)
        if days and first is not None and one.has_days and follows:
            where = (
                f"({where}) or ({_window(one, befores)} and n.{DAY} between date '{first}' - {days} and date '{last}')"
            )
        con.execute(
            f"create or replace temp table {_rows_of(name)} as select * from {one.qualified} as n where {where}"
        )
        step = _step(con, one, chosen[0][1])
        if follows and step.rows:
            reached[name] = one
        elif not follows:
            step = replace(step, kind="reference" if step.kind != "books" else "books")
        steps.append(step)
    return steps


def _window(one: Relation, befores: Iterable[Relation]) -> str:
    """The condition of the rows of other days: everything but the day is as in the rows before."""
    parts = []
    for before in befores:
        shared = [x for x in _shared(before, one) if x != DAY]
        same = " and ".join(f"b.{x} = n.{x}" for x in shared) or "true"
        parts.append(f"exists (select 1 from {_rows_of(before.name)} as b where {same})")
    return f"({' or '.join(parts)})"


def _condition(
    con: duckdb.DuckDBPyConnection, before: Relation, one: Relation
) -> tuple[str, tuple[str, ...], bool] | None:
    """Which rows of `one` belong to those of `before`, by which columns, and whether they are followed.

    None where nothing in common says which.
    """
    shared = _shared(before, one)
    pairs = [(f"b.{name} = n.{name}", name) for name in shared]
    if DAY not in shared and before.has_days and MONTH in one.columns:
        pairs.append((f"date_trunc('month', b.{DAY}) >= n.{MONTH}", f"months to {DAY}"))
    if DAY not in shared and one.has_days and MONTH in before.columns:
        pairs.append((f"date_trunc('month', n.{DAY}) = b.{MONTH}", MONTH))
    if not pairs:
        return None
    followed = one.kind != "books" and (one.has_days or not before.has_days or before.kind == "clean")
    held = [name for name in shared if scalar(con, f"select count({name}) from {_rows_of(before.name)}")]
    usable = [pair for pair in pairs if pair[1] in held or pair[1] not in shared]
    if not usable:
        return None
    same = " and ".join(text for text, _ in usable)
    return (
        f"exists (select 1 from {_rows_of(before.name)} as b where {same})",
        tuple(name for _, name in usable),
        followed,
    )


def _shared(before: Relation, one: Relation) -> list[str]:
    """Columns of both tables that say what a row is of."""
    keys = {*BASE, *(set(before.key) & set(one.columns)), *(set(one.key) & set(before.columns))}
    return [name for name in one.columns if name in keys and name in before.columns]


def _edges(graph: Mapping[str, Relation], *, forward: bool) -> dict[str, tuple[str, ...]]:
    """Where each relation leads: to those it reads, or with `forward` to those that read it."""
    by_name = dict(graph)
    reads = {
        name: tuple(found for read in one.reads if (found := _named(by_name, one, read)) is not None)
        for name, one in graph.items()
    }
    if not forward:
        return reads
    return {name: tuple(other for other, names in reads.items() if name in names) for name in graph}


def _named(graph: Mapping[str, Relation], one: Relation, read: str) -> str | None:
    """The relation that `one` means by `read`: not itself, where a model has the name of what it reads."""
    candidates = [name for name in (read, f"stats.{read}", f"clean.{read}", f"ops.{read}") if name in graph]
    return next((name for name in candidates if graph[name] is not one), None)


def _ordered(root: str, edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Everything that `root` leads to, each after all that lead to it."""
    order: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name not in done:
            done.add(name)
            for other in edges[name]:
                visit(other)
            order.append(name)

    visit(root)
    return [name for name in reversed(order) if name != root]


def _readers(name: str, edges: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    return (other for other, names in edges.items() if name in names)


def _step(con: duckdb.DuckDBPyConnection, one: Relation, found_by: tuple[str, ...]) -> Step:
    days = f", min({DAY}), max({DAY})" if one.has_days else ", null, null"
    rows, first, last = con.execute(f"select count(*){days} from {_rows_of(one.name)}").fetchall()[0]
    return Step(one.name, one.kind, one.rule, one.file, found_by, int(rows), first, last)


def _rows_of(name: str) -> str:
    """The temporary table with the rows of a relation on the way."""
    return f'temp."traced {name}"'


def _landings(store: LandingStore, settings: Settings, wanted: Mapping[str, pl.DataFrame]) -> list[Fed]:
    counts: dict[str, dict[str, int]] = {}
    for table, rows in wanted.items():
        for landing_id, count in rows.group_by("landing_id").len().sort("landing_id").iter_rows():
            counts.setdefault(landing_id, {})[table] = count
    known = {one.landing_id: one for one in store.all()}
    found = [_fed(settings, store, known[name], tables) for name, tables in counts.items() if name in known]
    return sorted(found, key=lambda x: (x.source, x.partition, x.part))


def _fed(settings: Settings, store: LandingStore, landing: Landing, tables: Mapping[str, int]) -> Fed:
    return Fed(
        landing_id=landing.landing_id,
        source=landing.source,
        partition=landing.partition,
        part=landing.part,
        version=landing.version,
        fetched_at=landing.fetched_at,
        completeness=landing.completeness,
        path=landing.path.relative_to(settings.root).as_posix(),
        read_by=_read_by(store, settings, landing),
        tables=tables,
    )


def _read_by(store: LandingStore, settings: Settings, landing: Landing) -> str:
    """The module or mapping that reads a landing."""
    module, _, name = landing.source.partition(".")
    if module == "files":
        mapping = store.mapping_path(landing.source, str(landing.request.get("mapping")))
        return mapping.relative_to(settings.root).as_posix()
    try:
        feed = next(x for x in registry.venue(module).feeds if x.name == name)
    except (ConfigError, StopIteration):
        return "no module of this version"
    return feed.parse.__module__


def _lines(
    store: LandingStore, settings: Settings, contract: Contract, fed: Fed, wanted: Mapping[str, pl.DataFrame]
) -> tuple[list[Line], tuple[Mapping[str, Any], ...], str | None]:
    """The records of a landing that its clean rows were read from, the requests whose answers hold them, and what is wrong."""
    landing = next(one for one in store.all(fed.source) if one.landing_id == fed.landing_id)
    with in_force(settings.limits):
        for fault in store.verify([landing]):
            return [], (), fault
        located, pages = _located(store, contract, landing, wanted)
    starts: list[int] = []
    total = 0
    for _, count in pages:
        starts.append(total)
        total += count
    lines: list[Line] = []
    requests: dict[int, Mapping[str, Any]] = {}
    for table, rows in located:
        for row in rows.iter_rows(named=True):
            number = int(row.pop(LINE))
            if not pages:
                lines.append(Line(table, fed.landing_id, landing.original_name, number, row))
                continue
            at = max((n for n, start in enumerate(starts) if start < number), default=0)
            page = pages[at][0]
            requests[at] = page
            where = f"answer {at + 1} of {len(pages)}: {page['request']}"
            lines.append(Line(table, fed.landing_id, where, number - starts[at], row))
    return lines, tuple(requests[at] for at in sorted(requests)), None


def _located(
    store: LandingStore, contract: Contract, landing: Landing, wanted: Mapping[str, pl.DataFrame]
) -> tuple[list[tuple[str, pl.DataFrame]], list[tuple[Mapping[str, Any], int]]]:
    """Keys and record numbers of the wanted rows, by table; the pages of the landing with their numbers of records."""
    module, _, name = landing.source.partition(".")
    found: list[tuple[str, pl.DataFrame]] = []
    if module == "files":
        opened = registry.open_source(store, contract, landing.source, [landing])
        for batch in opened.parse(landing):
            _match(contract, landing, batch.table, batch.rows, wanted, found)
        return found, []
    owner = registry.venue(module)
    feed = next(x for x in owner.feeds if x.name == name)
    span = span_of(landing)
    account = Account()
    context = Context(owner.name, landing.fetched_at, span, registry.instrument_history(store, owner).at(span))
    for parsed in read_pages(contract, feed, Pack(landing.path).pages(), context, account):
        _match(contract, landing, parsed.table, parsed.rows, wanted, found)
    return found, [
        (
            {"subject": page.subject, "request": page.request, "status": page.status, "received_at": page.received_at},
            count,
        )
        for page, count in account.pages
    ]


def _match(
    contract: Contract,
    landing: Landing,
    table: str,
    rows: pl.DataFrame,
    wanted: Mapping[str, pl.DataFrame],
    found: list[tuple[str, pl.DataFrame]],
) -> None:
    if table not in wanted:
        return
    key = [name for name in contract.table(table).key if name != "source"]
    mine = wanted[table].filter(pl.col("landing_id") == landing.landing_id).select(key)
    if mine.is_empty() or rows.is_empty():
        return
    typed = rows.select(*(pl.col(name).cast(mine.schema[name]) for name in key), LINE)
    hits = typed.join(mine, on=key, how="semi").sort(LINE)
    if hits.height:
        found.append((table, hits))
