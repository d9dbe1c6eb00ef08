"""How the suite is run: which tests stay together in a worker, which begin first, and which need not be repeated.

A test uses DuckDB if it calls it or starts a process, by itself or through a fixture or its module. Every other test gives the
same result with any version of DuckDB: `--write-without-duckdb` lists the ones that passed, and `--skip-without-duckdb`
leaves listed ones out of a run on another version. A hook of tests/conftest.py; no fixtures here.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Generator
from multiprocessing import util
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from xdist.scheduler import LoadScopeScheduling

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import ContractError
from pipelines.core.settings import PROJECT_ROOT

LONGEST: Final = (
    "tests/recorded/history/",
    "tests/sources/test_end_to_end.py",
    "tests/defs/test_end_to_end.py",
    "tests/dbt/test_empty_warehouse.py",
    "tests/defs/test_venues.py",
    "tests/sandbox/test_evaluation.py",
    "tests/e2e/test_soak.py",
    "tests/unit/test_quality_gate.py",
    "tests/dbt/test_liquidation_marts.py",
    "tests/dbt/test_trend_marts.py",
)
"""Modules and folders that take long, the longest first. They begin first, so that no worker is left alone with one at the end."""

TOGETHER: Final = ("tests/recorded/history/",)
"""Folders whose modules read one warehouse and therefore stay in one worker. All other modules are distributed one by one."""

PROCESSES: Final = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
"""Events by which Python tells its audit hooks of a process that is started. What that does is not known here."""

USES: Final = ("duckdb", "used")


class _Watch:
    """Counts calls of DuckDB and started processes in this process; remembers the fixtures and modules that made any."""

    def __init__(self) -> None:
        self.count = 0
        self.before_test = 0
        self.fixtures: set[Any] = set()
        self.modules: set[str] = set()

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counting(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return function(*arguments, **options)

        return counting

    def audit(self, event: str, _arguments: Any) -> None:
        if event in PROCESSES:
            self.count += 1

    def start(self) -> None:
        """Before any test module is imported, which could keep a function by its own name."""
        for name, member in list(vars(duckdb).items()):
            if callable(member) and not isinstance(member, type) and not name.startswith("_"):
                setattr(duckdb, name, self.counted(member))
        # How multiprocessing starts a process, of which it tells no hook.
        util.spawnv_passfds = self.counted(util.spawnv_passfds)
        sys.addaudithook(self.audit)


_WATCH: Final = _Watch()
_WATCH.start()


class _Scopes(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if scope.startswith(folder)), scope)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scopes | None:
    return _Scopes(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("leverhouse")
    group.addoption(
        "--write-without-duckdb", type=Path, metavar="FILE", help="list the passed tests that do not use DuckDB in FILE"
    )
    group.addoption(
        "--skip-without-duckdb",
        type=Path,
        metavar="FILE",
        help="leave out the tests that FILE lists as not using DuckDB",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("write_without_duckdb") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Listing(config.getoption("write_without_duckdb")))


def pytest_sessionstart() -> None:
    """Read the contract, which every parser's test asks for, so that none of them counts for being the first.

    That each version reads it as it is written is tested in tests/unit/test_contract.py, which also says what is wrong with it.
    """
    with contextlib.suppress(ContractError):
        load_contract(PROJECT_ROOT / "warehouse" / "schema")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((rank for rank, at in enumerate(LONGEST) if item.nodeid.startswith(at)), len(LONGEST))
    )
    listed = config.getoption("skip_without_duckdb")
    if listed is not None:
        skipped = set(listed.read_text(encoding="utf-8").splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in skipped])
        items[:] = [item for item in items if item.nodeid not in skipped]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    before = _WATCH.count
    report = yield
    if _WATCH.count != before:
        _WATCH.modules.add(collector.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    before = _WATCH.count
    try:
        return (yield)
    finally:
        if _WATCH.count != before:
            _WATCH.fixtures.add(fixturedef)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    _WATCH.before_test = _WATCH.count
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Function) -> Generator[None, Any, Any]:
    fixtures = set(item._request._fixture_defs.values())
    try:
        return (yield)
    finally:
        if (
            _WATCH.count != _WATCH.before_test
            or not _WATCH.fixtures.isdisjoint(fixtures)
            or any(item.nodeid.startswith(module) for module in _WATCH.modules)
        ):
            item.user_properties.append(USES)


class _Listing:
    """Writes which tests passed and do not use DuckDB; workers tell of use by a property of their reports."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.passed: set[str] = set()
        self.others: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and USES not in map(tuple, report.user_properties):
            self.passed.add(report.nodeid)
        else:
            self.others.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        lines = [f"{nodeid}\n" for nodeid in sorted(self.passed - self.others)]
        self.file.write_text("".join(lines), encoding="utf-8")
