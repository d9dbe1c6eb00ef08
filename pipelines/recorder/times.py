"""The two clocks of a recorder: the wall clock of receive times, and one that never jumps, for waits. Tests pass their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.extract.stream import EPOCH


@dataclass(frozen=True)
class Times:
    """`wall_us`: microseconds since the epoch, UTC. `monotonic`: seconds, by the clock that asyncio sleeps by."""

    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        """Naive UTC."""
        return EPOCH + timedelta(microseconds=self.wall_us())

    def monotonic_us(self) -> int:
        return int(self.monotonic() * 1_000_000)
