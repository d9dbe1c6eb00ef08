"""One pass of alerting: observe, compare with what was told, send, remember, and write the metrics. No Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from pipelines.operations.alert_channels import AlertNotSentError, Channel
from pipelines.operations.alerts import Alert, AlertBook, FailedRun, alerts
from pipelines.operations.metrics import families, write_metrics
from pipelines.operations.sizes import recorded_sizes
from pipelines.operations.watch import Watch

BOOK: Final = "alerts.db"


def pass_over(
    watch: Watch,
    channels: Mapping[str, Channel],
    now: datetime,
    *,
    failed_runs: Iterable[FailedRun] = (),
    runs: Mapping[tuple[str, str], int] | None = None,
) -> str:
    """Tell what is to be told at `now` over every channel; return what happened, in a line.

    Every channel has a book of its own. A message that a channel did not take is sent again by the next pass.
    """
    settings = watch.settings
    state = watch.state(now, failed_runs=failed_runs)
    current = alerts(state, now)
    sizes = recorded_sizes(settings)
    write_metrics(settings, families(state, watch.published(), current, sizes[-1] if sizes else None, runs or {}))
    if not channels:
        return f"{len(current)} alerts are open and no channel is named"
    told = [_tell(settings.dagster_home / BOOK, name, send, current, now) for name, send in sorted(channels.items())]
    return f"{len(current)} alerts are open; {'; '.join(told)}"


def _tell(book_file: Path, name: str, send: Channel, current: Sequence[Alert], now: datetime) -> str:
    book = AlertBook(book_file, name)
    messages = book.messages(current, now)
    if not messages:
        return f"{name}: all told"
    try:
        send(messages)
    except AlertNotSentError as error:
        return f"{len(messages)} not told: {error}"
    book.told(messages, now)
    return f"{name}: {len(messages)} told"
