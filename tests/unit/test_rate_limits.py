"""Rate limits: no window of a venue exceeds its limit at any latency, and most of the limit is used."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import ThrottledError
from pipelines.extract.rate_limits import Limit, RateLimiter


class FakeTime:
    """A clock that only advances while all tasks sleep; tasks wake in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        self._sleepers.append((self.now + seconds, self._count, future))
        await future

    async def run(self) -> None:
        """Advance the clock until no task sleeps."""
        for _ in range(100_000):
            for _ in range(20):
                await asyncio.sleep(0)
            if not self._sleepers:
                return
            self._sleepers.sort(key=lambda sleeper: sleeper[:2])
            wakes, _, future = self._sleepers.pop(0)
            self.now = max(self.now, wakes)
            future.set_result(None)
        raise AssertionError("tasks never stopped sleeping")


def arrivals(limit: Limit, latencies: Sequence[tuple[float, float]], *, cost: float = 1.0) -> list[float]:
    """When the venue counts requests with (outbound, inbound) latencies in seconds, all sent as soon as the limiter allows."""
    time = FakeTime()
    rate_limiter = RateLimiter([limit], clock=time, sleep=time.sleep)
    counted: list[float] = []

    async def request(outbound: float, inbound: float) -> None:
        async with rate_limiter.acquire({limit.name: cost}):
            await time.sleep(outbound)
            counted.append(time.now)
            await time.sleep(inbound)

    async def run_all() -> None:
        tasks = [asyncio.create_task(request(*latency)) for latency in latencies]
        await time.run()
        await asyncio.gather(*tasks)

    asyncio.run(run_all())
    return sorted(counted)


def most_in_window(stamps: Sequence[float], seconds: float) -> int:
    return max(sum(1 for other in stamps if stamp <= other < stamp + seconds) for stamp in stamps)


latencies = st.lists(st.tuples(st.floats(0.001, 3), st.floats(0.001, 3)), min_size=1, max_size=40)


@given(amount=st.integers(1, 12), seconds=st.floats(0.5, 5), latencies=latencies)
def test_no_window_of_the_venue_exceeds_its_limit(
    amount: int, seconds: float, latencies: list[tuple[float, float]]
) -> None:
    counted = arrivals(Limit(amount, seconds, share=1.0), latencies)
    assert len(counted) == len(latencies)
    assert most_in_window(counted, seconds) <= amount


def test_most_of_a_limit_is_used() -> None:
    """Bybit's limit of 600 per 5 seconds with responses after 50 ms: 6,000 requests need 9 windows after the first."""
    counted = arrivals(Limit(600, 5.0), [(0.025, 0.025)] * 6000)
    ideal = 5.0 * (6000 / 600 - 1)
    assert ideal / (counted[-1] - counted[0]) >= 0.8


def test_weights_are_counted_by_budget() -> None:
    counted = arrivals(Limit(10, 1.0, name="weight", share=1.0), [(0.001, 0.001)] * 6, cost=5.0)
    assert most_in_window(counted, 1.0) == 2


def test_a_request_that_costs_more_than_the_limit_is_an_error() -> None:
    async def request() -> None:
        async with RateLimiter([Limit(10, 1.0, name="weight")]).acquire({"weight": 11}):
            pass

    with pytest.raises(ValueError, match=r"11 weight, more than the limit of 9\.5"):
        asyncio.run(request())


def test_all_requests_wait_while_paused() -> None:
    time = FakeTime()
    rate_limiter = RateLimiter([Limit(100, 1.0)], clock=time, sleep=time.sleep)
    sent: list[float] = []

    async def request() -> None:
        async with rate_limiter.acquire():
            sent.append(time.now)

    async def run_all() -> None:
        await request()
        rate_limiter.pause(600.0)
        tasks = [asyncio.create_task(request()) for _ in range(3)]
        await time.run()
        await asyncio.gather(*tasks)

    asyncio.run(run_all())
    assert sent == [0.0, 600.0, 600.0, 600.0]


def test_a_ban_is_an_error() -> None:
    time = FakeTime()
    rate_limiter = RateLimiter([Limit(100, 1.0)], longest_pause=660.0, clock=time, sleep=time.sleep)

    async def request() -> None:
        async with rate_limiter.acquire():
            pass

    rate_limiter.pause(86_400.0)
    with pytest.raises(ThrottledError, match="86400 s"):
        asyncio.run(request())


def test_usage_by_other_clients_of_the_ip_address_is_taken_into_account() -> None:
    time = FakeTime()
    rate_limiter = RateLimiter([Limit(100, 60.0, name="weight", share=1.0)], clock=time, sleep=time.sleep)

    async def request(weight: float) -> float:
        async with rate_limiter.acquire({"weight": weight}):
            return time.now

    async def run_all() -> list[float]:
        first = await request(10)
        rate_limiter.observe("weight", 95)  # 10 are ours: other clients used 85
        second = asyncio.create_task(request(10))
        await time.run()
        return [first, await second]

    assert asyncio.run(run_all()) == [0.0, 60.0]
