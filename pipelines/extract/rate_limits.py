"""Rate limits as venues publish them: a number of requests, or a weight, per window of seconds.

A venue's limits are declared in its module. No HTTP here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from pipelines.core.errors import ThrottledError

MonotonicClock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

REQUESTS: Final = "requests"
"""Name of the budget of which a request uses 1 unless `costs` overrides it."""


@dataclass(frozen=True)
class Limit:
    """At most `amount` of the budget `name` in any window of `seconds`. `share` is the fraction that is used."""

    amount: float
    seconds: float
    name: str = REQUESTS
    share: float = 0.95

    @property
    def allowed(self) -> float:
        return max(1.0, self.amount * self.share)


@dataclass(eq=False)
class _Use:
    cost: float
    ended: float | None = None


@dataclass
class _Window:
    limit: Limit
    uses: deque[_Use] = field(default_factory=deque)
    spent: float = 0.0


class RateLimiter:
    """Keeps all requests to one venue within its limits, across all tasks.

    A use counts from before its request is sent until `seconds` after the response. The venue counts it at some moment in
    between, so no window of the venue, sliding or fixed, exceeds the allowed amount, whatever the latencies are.
    """

    def __init__(
        self,
        limits: Iterable[Limit],
        *,
        longest_pause: float = math.inf,
        clock: MonotonicClock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._longest_pause = longest_pause
        self._windows = [_Window(limit) for limit in limits]
        self._clock = clock
        self._sleep = sleep
        self._paused_until = float("-inf")
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self, costs: Mapping[str, float] | None = None) -> AsyncIterator[None]:
        """Wait until a request with these costs may be sent; the block is the request.

        Raises ValueError for a cost above the limit, which could never be sent, and ThrottledError if the venue asked for a
        pause longer than `longest_pause`, such as a ban.
        """
        uses: list[_Use] = []
        async with self._lock:
            while (wait := self._wait_seconds(costs or {})) > 0:
                paused = self._paused_until - self._clock()
                if paused > self._longest_pause:
                    raise ThrottledError(
                        f"the venue allows no requests for another {paused:.0f} s.", wait_seconds=paused
                    )
                await self._sleep(wait)
            for window in self._windows:
                use = _Use(self._cost(window.limit, costs or {}))
                window.uses.append(use)
                window.spent += use.cost
                uses.append(use)
        try:
            yield
        finally:
            ended = self._clock()
            for use in uses:
                use.ended = ended

    def pause(self, seconds: float) -> None:
        """Block all requests for `seconds` from now, as the venue asked."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def observe(self, name: str, spent: float) -> None:
        """Take over the venue's count `spent` of the budget `name`, which includes other clients at this IP address.

        The excess over the local count is added as a use.
        """
        for window in self._windows:
            self._drop_expired(window)
            excess = spent - window.spent
            if window.limit.name == name and excess > 0:
                window.uses.append(_Use(excess, ended=self._clock()))
                window.spent += excess

    def _wait_seconds(self, costs: Mapping[str, float]) -> float:
        now = self._clock()
        wait = self._paused_until - now
        for window in self._windows:
            cost = self._cost(window.limit, costs)
            if cost > window.limit.allowed:
                raise ValueError(
                    f"one request costs {cost:g} {window.limit.name}, more than the limit of {window.limit.allowed:g}"
                )
            self._drop_expired(window)
            over = window.spent + cost - window.limit.allowed
            for use in window.uses:
                if over <= 0:
                    break
                over -= use.cost
                ended = now if use.ended is None else use.ended
                wait = max(wait, ended + window.limit.seconds - now)
        return wait

    def _drop_expired(self, window: _Window) -> None:
        """Drop uses that no window of the venue can still count. Responses arrive out of order: a pending request keeps the
        uses after it a little longer than needed."""
        oldest = self._clock() - window.limit.seconds
        while window.uses and window.uses[0].ended is not None and window.uses[0].ended <= oldest:
            window.spent -= window.uses.popleft().cost
        if not window.uses:
            window.spent = 0.0

    @staticmethod
    def _cost(limit: Limit, costs: Mapping[str, float]) -> float:
        return costs.get(limit.name, 1.0 if limit.name == REQUESTS else 0.0)
