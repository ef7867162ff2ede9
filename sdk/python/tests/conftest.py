"""What all tests share. Coroutine tests run on an event loop of their own, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import hallward
from hallward.testing import Gateway, gateway, room  # noqa: F401

DEADLINE = 60.0
_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a coroutine test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def test() -> None:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), DEADLINE)

    asyncio.run(test())
    return True


class Team:
    """Agents of one test, in a room of their own."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.number = next(_numbers)
        self.room = f"room-{os.getpid()}-{self.number}"

    def name(self, agent: str) -> str:
        return f"{agent}-{self.number}"

    @asynccontextmanager
    async def joined(self, agent: str, **options: Any) -> AsyncIterator[hallward.Room]:
        """A connected agent, as its room."""
        connecting = hallward.connect(self.gateway.url, agent=self.name(agent), **options)
        async with connecting as me:
            yield await me.join(self.room)

    def worker(self, agent: str = "worker", **options: Any) -> hallward.Worker:
        name = self.name(agent)
        return hallward.Worker(self.gateway.url, agent=name, room=self.room, **options)

    @asynccontextmanager
    async def serving(self, worker: hallward.Worker) -> AsyncIterator[hallward.Worker]:
        """A worker that is ready; it is stopped at the end."""
        ready = asyncio.Event()
        task = asyncio.create_task(worker.serve(ready=ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield worker
        finally:
            worker.stop()
            await task


@pytest.fixture
def team(gateway: Gateway) -> Team:
    return Team(gateway)


@pytest.fixture
def own_gateway() -> Any:
    """A gateway that the test may kill."""
    with Gateway() as running:
        yield running


async def until(test: Callable[[], Awaitable[bool]], room: hallward.Room) -> None:
    """Looks again with each event of the room until the test holds."""
    async with await room.observe.live() as events:
        if await test():
            return
        async for _ in events:
            if await test():
                return
