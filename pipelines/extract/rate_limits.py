"""Rate limits as venues publish them: so many requests, or so much weight, in any window of so many seconds.

Which limits a venue has stands in its module. No HTTP here.
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
"""Name of the budget that every request costs 1 of, unless its call says otherwise."""


@dataclass(frozen=True)
class Limit:
    """At most `amount` of the budget `name` in any `seconds`. `share` is how much of it we allow ourselves."""

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
    """Keeps all requests to one venue inside its limits, whoever sends them.

    A use counts from before it is sent until `seconds` after its answer came. The venue counts it somewhere between the
    two, so no window of the venue's, sliding or fixed, ever holds more than we allowed, whatever the latencies are.
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
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self, costs: Mapping[str, float] | None = None) -> AsyncIterator[None]:
        """Wait until a request with these costs may be sent; the block is the request.

        Raises ValueError for a cost above the limit itself, which could never be sent, and ThrottledError where the venue
        asked everybody to wait for longer than `longest_hold`: a ban is not slept through.
        """
        uses: list[_Use] = []
        async with self._turn:
            while (wait := self._wait_seconds(costs or {})) > 0:
                held = self._paused_until - self._clock()
                if held > self._longest_pause:
                    raise ThrottledError(f"the venue wants to be left alone for {held:.0f} s more.", wait_seconds=held)
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
        """Let nobody send for `seconds` from now: the venue asked to wait."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def observe(self, name: str, spent: float) -> None:
        """The venue says that `spent` of the budget `name` is used up in its window, by us and others behind our address.

        What it counted beyond our own count is added, so that other users of the address are made room for.
        """
        for window in self._windows:
            self._forget(window)
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
                raise ValueError(f"one request costs {cost:g} {window.limit.name} of at most {window.limit.allowed:g}")
            self._forget(window)
            over = window.spent + cost - window.limit.allowed
            for use in window.uses:
                if over <= 0:
                    break
                over -= use.cost
                ended = now if use.ended is None else use.ended
                wait = max(wait, ended + window.limit.seconds - now)
        return wait

    def _forget(self, window: _Window) -> None:
        """Drop uses that no window of the venue can still hold. Answers come out of order: one still under way in front
        keeps those behind it a little longer than needed."""
        oldest = self._clock() - window.limit.seconds
        while window.uses and window.uses[0].ended is not None and window.uses[0].ended <= oldest:
            window.spent -= window.uses.popleft().cost
        if not window.uses:
            window.spent = 0.0

    @staticmethod
    def _cost(limit: Limit, costs: Mapping[str, float]) -> float:
        return costs.get(limit.name, 1.0 if limit.name == REQUESTS else 0.0)
