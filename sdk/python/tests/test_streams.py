"""Iterators, acknowledgements, handlers: what has no need of a gateway."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import hallward
from hallward._deadline import TimeIsUp, in_time, settled
from hallward._handlers import Handlers
from hallward._link import Receipts
from hallward._link.routes import Route
from hallward._streams import Stream


def receipts() -> tuple[Receipts, list[int]]:
    acknowledged: list[int] = []
    return Receipts(acknowledged.append, lambda: None), acknowledged


def test_acknowledgements_leave_in_the_order_of_receipt() -> None:
    window, acknowledged = receipts()
    first, second, third = (window.receive(n, "t", b"%d" % n) for n in (1, 2, 3))
    second.finish()
    assert acknowledged == []
    first.finish()
    assert acknowledged == [1, 2]
    third.finish()
    assert acknowledged == [1, 2, 3]
    assert len(window) == 0


def test_what_was_in_hand_is_recognized_when_it_comes_again() -> None:
    window, acknowledged = receipts()
    running = window.receive(1, "t", b"one")
    finished = window.receive(2, "t", b"two")
    finished.finish()
    window.connection_lost()
    assert list(window.in_hand()) == ["t"]
    assert window.again(11, "t", b"one")
    assert window.again(12, "t", b"two")
    assert not window.again(13, "t", b"three")
    assert acknowledged == []
    running.finish()
    assert acknowledged == [11, 12]


def test_what_does_not_come_again_is_forgotten_with_the_next_on_its_topic() -> None:
    window, _ = receipts()
    window.receive(1, "t", b"expired meanwhile")
    window.connection_lost()
    assert not window.again(2, "t", b"new")
    assert not window.again(3, "t", b"expired meanwhile")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "a/b", True),
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
    ],
)
def test_filters_match(topic_filter: str, topic: str, expected: bool) -> None:
    assert Route(topic_filter, lambda _: None).matches(topic.split("/")) is expected


async def test_asking_for_the_next_item_acknowledges_the_last() -> None:
    stream: Stream[int] = Stream("numbers")
    acknowledged: list[int] = []
    for n in (1, 2):
        stream.put(n, lambda n=n: acknowledged.append(n))  # type: ignore[misc]
    assert await stream.__anext__() == 1
    assert acknowledged == []
    assert await stream.__anext__() == 2
    assert acknowledged == [1]
    stream.ack()
    assert acknowledged == [1, 2]


async def test_item_whose_body_raised_is_not_acknowledged() -> None:
    acknowledged: list[int] = []
    stream: Stream[int] = Stream("numbers")
    stream.put(1, lambda: acknowledged.append(1))
    with pytest.raises(ZeroDivisionError):
        async with stream:
            async for n in stream:
                n / 0
    assert acknowledged == []


async def test_stream_that_is_read_too_slowly_ends_with_overflow() -> None:
    stream: Stream[int] = Stream("numbers", limit=2)
    for n in (1, 2, 3, 4):
        stream.put(n)
    assert [await stream.__anext__(), await stream.__anext__()] == [1, 2]
    with pytest.raises(hallward.Overflow):
        await stream.__anext__()


async def test_stream_that_is_closed_ends_whoever_waits() -> None:
    stream: Stream[int] = Stream("numbers")
    waiting = asyncio.create_task(stream.__anext__())
    await asyncio.sleep(0)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_cancellation_in_the_very_moment_of_an_outcome_is_not_lost() -> None:
    outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(settled(outcome, 60))
    await asyncio.sleep(0)
    outcome.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_deadline_tells_its_own_time_out_from_another() -> None:
    async def raises() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await in_time(raises(), 10)
    with pytest.raises(TimeIsUp):
        await in_time(asyncio.Event().wait(), 0.01)


async def test_plain_handlers_run_in_threads_and_coroutines_on_the_loop() -> None:
    handlers = Handlers()

    async def coroutine(n: int) -> tuple[int, int]:
        return n, threading.get_ident()

    class Callable:
        async def __call__(self, n: int) -> int:
            return n

    here = threading.get_ident()
    assert await handlers.call(coroutine, 1) == (1, here)
    assert await handlers.call(threading.get_ident) != here
    assert await handlers.call(lambda n: coroutine(n), 2) == (2, here)
    assert await handlers.call(Callable(), 3) == 3
    await handlers.close()


async def test_error_of_a_plain_handler_comes_out() -> None:
    def stops(_: Any) -> None:
        raise StopIteration(1)

    def fails(_: Any) -> None:
        raise KeyError("x")

    handlers = Handlers()
    with pytest.raises(KeyError):
        await handlers.call(fails, 1)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await handlers.call(stops, 1)


async def test_handler_is_called_until_it_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hallward._handlers._FIRST_PAUSE", 0.001)
    handlers = Handlers()
    calls: list[int] = []

    async def third_time_lucky(_: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("no luck")

    await handlers.until_done("test", third_time_lucky, None)
    assert len(calls) == 3
    assert caplog.text.count("tried again") == 2

    async def hopeless(_: Any) -> None:
        calls.append(1)
        raise hallward.Fatal("no hope")

    await handlers.until_done("test", hopeless, None)
    assert len(calls) == 4
