"""Keeping leases: a thread says ``progress`` in time, whatever the event loop is busy with."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("hallward")

_LONG = 1.0
"""Seconds that an event loop should not be blocked for."""


@dataclass
class _Lease:
    every: float
    renew: Callable[[], None]
    until: float | None


class Leases:
    """The leases of a worker's tasks, each renewed at a third of its time.

    The thread begins with the first lease and ends with `close`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._leases: dict[object, _Lease] = {}
        self._due: list[tuple[float, int, object]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._asked: float | None = None
        """When the event loop was asked for a sign of life that it has not given yet."""

    def keep(
        self, key: object, lease_ms: int, renew: Callable[[], None], limit: float | None
    ) -> None:
        """Has the thread call ``renew`` at each third of the lease, up to ``limit`` seconds."""
        every = lease_ms / 3_000
        until = None if limit is None else time.monotonic() + limit
        with self._changed:
            self._leases[key] = _Lease(every, renew, until)
            self._plan(key, every)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="hallward-leases", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def drop(self, key: object) -> None:
        """Renews it no more."""
        with self._changed:
            self._leases.pop(key, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._leases.clear()
            self._changed.notify()

    def _plan(self, key: object, wait: float) -> None:
        self._count += 1
        heapq.heappush(self._due, (time.monotonic() + wait, self._count, key))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    wait = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, key = heapq.heappop(self._due)
                lease = self._leases.get(key)
                if lease is None:
                    continue
                if lease.until is not None and time.monotonic() > lease.until:
                    del self._leases[key]
                    continue
                self._plan(key, lease.every)
            lease.renew()
            self._ask_loop()

    def _ask_loop(self) -> None:
        """A blocked event loop cannot say so itself."""
        now = time.monotonic()
        if self._asked is not None:
            if now - self._asked > _LONG:
                blocked = now - self._asked
                logger.warning(
                    "the event loop is blocked for %.1f s: call what blocks in a plain `def` "
                    "handler, or with asyncio.to_thread",
                    blocked,
                )
            return
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._alive)
        except RuntimeError:
            self.close()

    def _alive(self) -> None:
        self._asked = None
