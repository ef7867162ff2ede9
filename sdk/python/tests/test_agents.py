"""Agents against a real gateway: what the conformance list does not see from outside."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import Team, until

import hallward
from hallward.testing import Gateway


async def test_connect_can_be_awaited_or_entered(team: Team) -> None:
    me = await hallward.connect(team.gateway.url, agent=team.name("a"))
    assert me.connected
    room = await me.join(team.room)
    assert await me.join(team.room) is room
    await me.close()
    with pytest.raises(hallward.Disconnected):
        await room.blackboard.set("a", 1)
    with pytest.raises(hallward.Disconnected):
        await me.join("elsewhere")


async def test_connecting_to_nobody_is_a_timeout_that_says_where() -> None:
    with pytest.raises(hallward.Timeout, match=r"127\.0\.0\.1:1"):
        await hallward.connect("mqtt://127.0.0.1:1", agent="a", timeout="300ms")


@pytest.mark.parametrize("url", ["localhost:1883", "http://localhost", "mqtt://"])
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        hallward.connect(url, agent="a")


def test_name_that_is_none_is_refused() -> None:
    with pytest.raises(hallward.Malformed, match="agent"):
        hallward.connect("mqtt://localhost", agent="no name")


async def test_status_tells_of_every_change_and_ends(own_gateway: Gateway) -> None:
    me = await hallward.connect(own_gateway.url, agent="a")
    states: list[str] = []

    async def follow() -> None:
        async for status in me.status():
            states.append(status.state)
            if status.state == "disconnected":
                await asyncio.to_thread(own_gateway.restart)
            if states.count("connected") == 2:
                await me.close()

    following = asyncio.create_task(follow())
    await asyncio.to_thread(own_gateway.kill)
    await following
    assert states == ["connected", "disconnected", "connected", "closed"]


async def test_iterator_over_the_inbox_acknowledges_with_the_next_step(team: Team) -> None:
    async with (
        team.joined("reader") as reader,
        team.joined("editor") as editor,
    ):
        for n in range(3):
            await editor.inbox.send(team.name("reader"), {"n": n})
        found: list[int] = []
        async for message in reader.inbox:
            assert message.sender == team.name("editor")
            found.append(message.value["n"])
            if len(found) == 2:
                break
        async for message in reader.inbox:  # goes on where it was
            found.append(message.value["n"])
            break
        assert found == [0, 1, 2]
        reader.inbox.ack()

    async with team.joined("reader") as reader:
        await reader.inbox.send(team.name("reader"), "last")
        async for message in reader.inbox:
            assert message.value == "last"
            break


async def test_listener_that_is_closed_leaves_the_rest_to_the_next(team: Team) -> None:
    async with team.joined("reader") as reader:
        for n in range(3):
            await reader.inbox.send(team.name("reader"), {"n": n})
        async with await reader.inbox.listen() as messages:
            async for message in messages:
                assert message.value == {"n": 0}
                break
        async with await reader.inbox.listen() as messages:
            assert (await messages.__anext__()).value == {"n": 1}
            assert (await messages.__anext__()).value == {"n": 2}


async def test_iterators_raise_when_their_agent_is_closed(team: Team) -> None:
    async with team.joined("watcher") as watcher:
        streams: list[Any] = [
            await watcher.inbox.listen(),
            await watcher.blackboard.watch("nothing"),
            await watcher.approve.pending(),
            await watcher.observe.events(),
            watcher.handoff.results(),
        ]
        waiting = [asyncio.create_task(stream.__anext__()) for stream in streams]
        await watcher.blackboard.fetch("nothing")
    for task in waiting:
        with pytest.raises(hallward.Disconnected):
            while True:  # events of our own leaving may come first
                await task
                task = asyncio.create_task(streams[3].__anext__())


async def test_cache_of_the_blackboard_follows_every_change(team: Team) -> None:
    async with team.joined("editor") as editor, team.joined("wanda") as wanda:
        await wanda.blackboard.set("a", 1)
        assert await editor.blackboard.get("a") == 1
        assert await editor.blackboard.get("b", "none") == "none"
        async with await editor.blackboard.watch("b") as changes:
            await wanda.blackboard.set("b", 2)
            change = await changes.__anext__()
            assert (change.key, change.value) == ("b", 2)
            assert await editor.blackboard.get("b") == 2
        entry = await editor.blackboard.entry("b")
        assert entry is not None
        assert entry.updated_by == team.name("wanda")
        assert [line.key async for line in editor.blackboard.keys()] == ["a", "b"]


async def test_transaction_as_a_context_does_all_or_nothing(team: Team) -> None:
    async with team.joined("editor") as editor:
        async with editor.blackboard.txn() as txn:
            txn.set("a", 1).set("b", 2)
        with pytest.raises(ZeroDivisionError):
            async with editor.blackboard.txn() as txn:
                txn.set("a", 9)
                1 / 0  # noqa: B018
        assert await editor.blackboard.get("a") == 1


async def test_lock_as_a_context_is_held_within(team: Team) -> None:
    async with team.joined("editor") as editor, team.joined("wanda") as wanda:
        async with editor.blackboard.lock("press") as lock:
            await editor.blackboard.set("page", 1, fence=lock.fence)
            with pytest.raises(hallward.Conflict) as refused:
                await wanda.blackboard.lock("press").acquire()
            assert refused.value.lock is not None
            assert refused.value.lock.holder == team.name("editor")
        async with wanda.blackboard.lock("press"):
            pass
        with pytest.raises(RuntimeError):
            _ = lock.token


async def test_approver_answers_from_a_handler(team: Team) -> None:
    async with team.joined("editor") as editor, team.joined("boss") as boss:

        async def decide(pending: hallward.PendingApproval) -> bool | None:
            return {"yes": True, "no": False}.get(pending.action)

        boss.approve.on_request(decide)
        assert (await editor.approve.request("yes")).approved
        assert not (await editor.approve.request("no")).approved


async def test_result_handler_that_was_registered_late_still_gets_the_result(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[int]) -> int:
        return task.payload + 1

    async with team.serving(worker), team.joined("editor") as editor:
        handle = await editor.handoff.dispatch("draft", 1)

        async def ended() -> bool:
            return (await handle.get()).state == "succeeded"

        await until(ended, editor)
        got: asyncio.Future[hallward.Result] = asyncio.get_running_loop().create_future()
        editor.handoff.on_result(got.set_result)
        assert (await got).value == 2
        assert (await handle.result()).value == 2


async def test_result_that_a_handler_had_is_there_for_who_waits_later(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[int]) -> int:
        return task.payload + 1

    async with team.serving(worker), team.joined("editor") as editor:
        got: asyncio.Future[hallward.Result] = asyncio.get_running_loop().create_future()
        editor.handoff.on_result(got.set_result)
        handle = await editor.handoff.dispatch("draft", 1)
        assert (await got).value == 2
        assert (await handle.result()).value == 2


async def test_timeout_carries_the_handle_that_goes_on_waiting(team: Team) -> None:
    async with team.joined("editor") as editor:
        with pytest.raises(hallward.Timeout) as late:
            await editor.handoff.run("draft", 1, timeout="50ms")
        handle = late.value.handle
        assert (await handle.get()).state == "queued"
        await handle.cancel()
        with pytest.raises(hallward.TaskCancelled) as cancelled:
            await handle.result()
        assert cancelled.value.result.task == handle.id


@pytest.mark.parametrize("nothing", [0, "0s", timedelta(0)])
async def test_timeout_of_nothing_is_none_of_the_defaults(
    team: Team, nothing: hallward.Duration
) -> None:
    async with team.joined("editor") as editor:
        with pytest.raises(hallward.Timeout):
            await editor.handoff.run("draft", timeout=nothing)
        with pytest.raises(hallward.Timeout):
            async for _ in editor.handoff.stream("draft", timeout=nothing):
                pass
        with pytest.raises(hallward.Timeout):
            await editor.handoff.task("none").result(timeout=nothing)
        with pytest.raises(hallward.Timeout):
            await editor.handoff.group("none", timeout=nothing)
        with pytest.raises(hallward.Timeout):
            await editor.blackboard.set("a", 1, timeout=nothing)
        with pytest.raises(hallward.Timeout):
            await editor.inbox.send("bob", 1, timeout=nothing)
        with pytest.raises(hallward.Timeout):
            await editor.tools.provided("none", timeout=nothing)


async def test_plain_asyncio_cancellation_works_and_can_take_the_task_back(team: Team) -> None:
    async with team.joined("editor") as editor:
        running = asyncio.create_task(editor.handoff.run("draft", id="mine", cancel=True))

        async def there() -> bool:
            return [view.task async for view in editor.handoff.list()] == ["mine"]

        await until(there, editor)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await editor.handoff.get("mine")).state == "cancelled"


async def test_unknown_option_of_a_task_is_a_type_error(team: Team) -> None:
    async with team.joined("editor") as editor:
        with pytest.raises(TypeError, match="prioritty"):
            await editor.handoff.dispatch("draft", prioritty="high")  # type: ignore[call-arg]


async def test_offline_queue_has_an_end(own_gateway: Gateway) -> None:
    async with hallward.connect(own_gateway.url, agent="a", timeout="20s") as me:
        room = await me.join("r")
        await asyncio.to_thread(own_gateway.kill)
        async for status in me.status():
            if status.state == "disconnected":
                break
        calls = [asyncio.create_task(room.blackboard.set(f"k{n}", n)) for n in range(1_001)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [type(one.exception()) for one in done] == [hallward.Overflow]
        await asyncio.to_thread(own_gateway.start)
        stored = await asyncio.gather(*(set(calls) - done))
        assert {one.version for one in stored} == {1}


async def test_handler_of_messages_that_fails_is_called_again(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallward._handlers._FIRST_PAUSE", 0.01)
    me = await hallward.connect(team.gateway.url, agent=team.name("reader"))
    reader = await me.join(team.room)
    seen: list[int] = []
    done = asyncio.Event()

    async def handler(message: hallward.InboxMessage) -> None:
        seen.append(me.unacked)
        if len(seen) == 2:
            done.set()
            return
        raise ValueError("no luck")

    reader.inbox.on_message(handler)
    await reader.inbox.send(me.name, "hello")
    await done.wait()
    assert seen == [1, 1]
    await reader.blackboard.fetch("nothing")
    assert me.unacked == 0
    await me.close()


async def test_trace_context_travels_with_the_task(team: Team) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    worker = team.worker()
    found: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> None:
        found.set_result(task.assignment.traceparent)

    async with team.serving(worker), team.joined("editor") as editor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hallward._trace.current", lambda: trace)
            await editor.handoff.run("draft")
        assert await found == trace["traceparent"]


async def test_backlog_larger_than_the_window_does_not_keep_calls_from_being_answered(
    team: Team,
) -> None:
    async with team.joined("editor") as editor:
        for n in range(12):
            await editor.inbox.send(team.name("reader"), {"n": n})
    async with team.joined("reader", window=4) as reader:
        found: list[int] = []
        async for message in reader.inbox:
            stored = await reader.blackboard.set("last", message.value)
            found.append(message.value["n"])
            assert stored.version == len(found)
            if len(found) == 12:
                break
        assert found == list(range(12))


async def test_what_cannot_be_asked_for_is_refused_at_once(team: Team) -> None:
    letters: Any = "one"
    async with team.joined("editor") as editor:
        with pytest.raises(hallward.Malformed):
            editor.observe.on("a/#", print)
        with pytest.raises(TypeError, match="depends_on"):
            await editor.handoff.dispatch("draft", depends_on=letters)
        with pytest.raises(TypeError, match="any_of"):
            await editor.handoff.dispatch("draft", any_of=letters)
        with pytest.raises(TypeError, match="approvers"):
            await editor.approve.request("publish", approvers=letters)
        with pytest.raises(TypeError, match="capabilities"):
            await editor.announce(capabilities=letters)
        with pytest.raises(hallward.Malformed, match="time zone"):
            await editor.observe.replay(since=datetime(2026, 1, 1))
        with pytest.raises(hallward.Malformed):
            await editor.raw.publish("\ud800", 1)
        with pytest.raises(hallward.Malformed):
            await editor.blackboard.set("\ud800", 1)
