"""How often a key may ask: counted in the broker's server, so that all API processes count together."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeVar

import structlog
from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from starlette.requests import Request

from api.problems import RateLimited
from api.rate_headers import Standing, will_be_told

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: So long a request waits for the counting server, in seconds, and so long nobody asks one that did not answer.
PATIENCE_S, AWAY_S = 0.25, 5.0


class Rates:
    """Counts the requests of each key in windows of one length.

    Without a Redis, and while it does not answer, every API process counts for itself: no request waits for longer than
    `PATIENCE_S`, and none is refused because the counting failed.
    """

    def __init__(self, limit: str, broker_url: str) -> None:
        """Prepare to count; nothing is connected yet.

        Args:
            limit: such as `600/minute`.
            broker_url: the broker's; its server counts if it is a Redis.
        """
        self._limit = parse(limit)
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._pool = _pool(broker_url)
        self._together: FixedWindowRateLimiter | None = None
        if self._pool is not None:
            storage = RedisStorage(
                "async+redis://",
                implementation="redispy",
                key_prefix="secateur",
                connection_pool=self._pool,  # type: ignore[arg-type]  # typed as text and numbers only, against its docs
            )
            self._together = FixedWindowRateLimiter(storage)
        self._away_until = 0.0

    async def spend(self, request: Request, key_id: str) -> None:
        """Count a request of a key.

        Raises:
            RateLimited: The window's requests are used up; the answer says when the next begins.
        """
        allowed, standing = await self._count(key_id)
        will_be_told(request, standing)
        if not allowed:
            raise RateLimited(
                f"This key may ask {standing.limit} times in {standing.window_s} seconds, and has. Ask again in "
                f"{standing.reset_s} seconds; to wait for a job, `?wait=30` and streams of events ask once.",
                retry_after_s=standing.reset_s,
            )

    async def admit(self, request: Request) -> None:
        """Let a request with a key that we have not met be looked at, unless too many from its address were refused.

        Raises:
            RateLimited: They were.
        """
        if not await self._counted(_address(request), FixedWindowRateLimiter.test):
            raise self._stranger()

    async def refused(self, request: Request) -> None:
        """Count a request without a good key, by its address.

        Raises:
            RateLimited: As many as a key may send have come in this window.
        """
        if not await self._counted(_address(request), FixedWindowRateLimiter.hit):
            raise self._stranger()

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _stranger(self) -> RateLimited:
        window_s = self._limit.get_expiry()
        return RateLimited(
            f"More than {self._limit.amount} requests without a valid key came from your address in {window_s} "
            "seconds. Check the key, and ask again later.",
            retry_after_s=window_s,
        )

    async def _counted(self, name: str, ask: Callable[..., Awaitable[bool]]) -> bool:
        return await self._with_any(lambda limiter: ask(limiter, self._limit, name))

    async def _count(self, key_id: str) -> tuple[bool, Standing]:
        return await self._with_any(lambda limiter: self._count_with(limiter, key_id))

    async def _with_any(self, ask: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        """Ask the server that counts for all, or, while it does not answer, count here."""
        if self._together is not None and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await ask(self._together)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason to refuse a request
                self._away_until = time.monotonic() + AWAY_S
                log.warning("rates_counted_here", error=str(error), kind=type(error).__name__)
        return await ask(self._here)

    async def _count_with(self, limiter: FixedWindowRateLimiter, key_id: str) -> tuple[bool, Standing]:
        allowed = await limiter.hit(self._limit, key_id)
        left = await limiter.get_window_stats(self._limit, key_id)
        window_s = self._limit.get_expiry()
        reset_s = min(max(1, math.ceil(left.reset_time - time.time())), window_s)
        return allowed, Standing(self._limit.amount, window_s, left.remaining, reset_s)


def _address(request: Request) -> str:
    """Where a request comes from; of IPv6 the network, of which one household has all addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:  # a socket of this machine
        return f"address {host}"
    return f"address {ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address}"


def _pool(broker_url: str) -> ConnectionPool | None:
    """Connections to the broker's server; None if it is no Redis."""
    # kombu's spelling of a socket is not redis-py's.
    url = broker_url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return None
    return ConnectionPool.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
