"""Output of commands: tables, progress, JSON. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipelines.cli.grid import printable

LOG_BYTES: Final = 10_000_000
"""Size in bytes at which the log of the command line is rotated; one old log is kept."""


PIPE_WIDTH: Final = 180
"""Line width in characters if the output is not a terminal."""


class Screen:
    """Standard output and error of a command, still usable while the output of libraries is redirected to a log."""

    def __init__(self) -> None:
        self._owned: list[TextIO] = []
        self.out = _console(self._copy(sys.stdout))
        self.err = _console(self._copy(sys.stderr))

    def close(self) -> None:
        """Flush and close the copies of the streams."""
        for stream in self._owned:
            stream.close()

    def json(self, value: Any) -> None:
        """Print one JSON document, without wrapping or colors. JSON knows no infinity and no NaN: they are null."""
        text = json.dumps(_finite(value), default=plain, indent=1, ensure_ascii=False, allow_nan=False)
        self.out.file.write(text + "\n")

    @property
    def width(self) -> int | None:
        """Characters of a line of standard output: COLUMNS where it is set, else those of the terminal; None for a pipe."""
        columns = os.environ.get("COLUMNS", "")
        if columns.isdecimal() and int(columns) > 0:
            return int(columns)
        return self.out.width if self.out.is_terminal else None

    def text(self, line: str) -> None:
        """Print a line as it is, without markup or wrapping."""
        self.out.file.write(f"{line}\n")

    def note(self, text: str) -> None:
        """Print a note to standard error."""
        self.err.print(printable(text, keep="\n"), markup=False)

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], *, empty: str = "nothing") -> None:
        """Print rows as a table; numbers are right-aligned, with thousands separators."""
        if not rows:
            self.out.print(f"[bold]{escape(printable(title))}[/bold]: {empty}")
            return
        table = Table(
            title=Text(printable(title)),
            title_justify="left",
            title_style="bold",
            header_style="bold",
            box=None,
            pad_edge=False,
        )
        for name in rows[0]:
            numeric = all(isinstance(row[name], int | float | None) for row in rows)
            short = numeric or all(isinstance(row[name], date | None) for row in rows)
            table.add_column(
                name.replace("_", " "), justify="right" if numeric else "left", no_wrap=short, overflow="fold"
            )
        for row in rows:
            table.add_row(*(Text(printable(_cell(value))) for value in row.values()))
        self.out.print(table)

    @contextmanager
    def quiet(self, log: Path) -> Iterator[None]:
        """Append everything libraries print, including from C code, to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
        with log.open("a", encoding="utf-8", buffering=1) as sink:
            before = (sys.stdout, sys.stderr)
            for stream in before:
                stream.flush()
            kept = [(number, os.dup(number)) for number in (1, 2)]
            for number, _ in kept:
                os.dup2(sink.fileno(), number)
            sys.stdout, sys.stderr = sink, sink
            try:
                yield
            finally:
                sys.stdout, sys.stderr = before
                for number, copy in kept:
                    os.dup2(copy, number)
                    os.close(copy)

    def _copy(self, stream: TextIO) -> TextIO:
        """A copy of the stream that still reaches the caller while `quiet` redirects its file descriptor."""
        try:
            number = stream.fileno()
        except (io.UnsupportedOperation, ValueError):
            return stream
        copy = os.fdopen(os.dup(number), "w", encoding="utf-8", buffering=1)
        self._owned.append(copy)
        return copy


class Bar:
    """A progress line on a terminal; without a terminal, one line of text per finished part of the work."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last = ""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=screen.err,
            transient=True,
            disable=not screen.err.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts are finished; a total of 0 means unknown."""
        self._progress.update(self._task, description=what[:60], completed=done, total=total or None)

    def line(self, text: str) -> None:
        """Print a permanent line above the progress line."""
        self._progress.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False)


def _console(stream: TextIO) -> Console:
    """A console as wide as the terminal; for a file or pipe, PIPE_WIDTH."""
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def plain(value: Any) -> Any:
    """`value` for JSON: dates as ISO strings, paths as strings, dataclasses as objects."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return _finite(asdict(value))
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)
