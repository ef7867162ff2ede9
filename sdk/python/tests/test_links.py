"""The connection against a real gateway: windows that are full, subscriptions, reconnects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Team

import hallward
from hallward._link import client as mqtt_client
from hallward.testing import Gateway


async def state(me: hallward.Agent, wanted: str) -> None:
    """Waits until the connection is in a state."""
    async with me.status() as changes:
        async for change in changes:
            if change.state == wanted:
                return


async def test_inbox_goes_on_when_its_last_handler_ends_while_room_is_made(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallward._link.link._PATIENCE", 0.01)
    connecting = hallward.connect(team.gateway.url, agent=team.name("ann"), window=4)
    async with connecting as me, team.joined("bob") as bob:
        room = await me.join(team.room)
        got: set[int] = set()
        free, all_came = asyncio.Event(), asyncio.Event()

        async def handler(message: hallward.InboxMessage) -> None:
            got.add(message.value)
            if len(got) == 12:
                all_came.set()
            if message.value < 4:
                await free.wait()

        room.inbox.on_message(handler)
        for n in range(12):
            await bob.inbox.send(me.name, n)
        await state(me, "disconnected")  # by ourselves, to make room
        free.set()
        await all_came.wait()


async def test_window_that_is_full_still_after_a_reconnect_is_relieved(
    team: Team, own_gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.gateway = own_gateway
    monkeypatch.setattr("hallward._link.link._PATIENCE", 3_600)
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> str:
        return "done"

    connecting = hallward.connect(team.gateway.url, agent=team.name("ann"), window=4)
    async with connecting as me, team.joined("bob") as bob, team.serving(worker):
        room = await me.join(team.room)
        full, free = asyncio.Event(), asyncio.Event()

        async def handler(message: hallward.InboxMessage) -> None:
            if me.unacked == 4:
                full.set()
            await free.wait()

        room.inbox.on_message(handler)
        for n in range(8):
            await bob.inbox.send(me.name, n)
        await full.wait()
        await asyncio.to_thread(own_gateway.kill)
        await state(me, "disconnected")
        link = me._link
        assert link._relief is not None
        link._relief.cancel()
        link._relieve()  # in vain: there is no connection
        monkeypatch.setattr("hallward._link.link._PATIENCE", 0.01)
        await asyncio.to_thread(own_gateway.start)
        assert (await room.handoff.run("draft")).value == "done"
        free.set()


async def test_listener_on_an_inbox_that_is_set_aside_is_granted(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallward._link.link._PATIENCE", 0.01)
    connecting = hallward.connect(team.gateway.url, agent=team.name("ann"), window=2)
    async with connecting as me, team.joined("bob") as bob:
        room = await me.join(team.room)
        for n in range(4):
            await bob.inbox.send(me.name, n)
        first = await room.inbox.listen()
        assert (await first.__anext__()).value == 0
        await state(me, "disconnected")
        await first.aclose()
        async with await room.inbox.listen() as second:
            rest = {(await second.__anext__()).value for _ in range(4)}
        assert rest == {0, 1, 2, 3}


async def test_subscription_that_is_ended_and_made_again_while_disconnected_stays(
    team: Team, own_gateway: Gateway
) -> None:
    team.gateway = own_gateway
    async with (
        hallward.connect(team.gateway.url, agent=team.name("ann")) as me,
        team.joined("bob") as bob,
    ):
        room = await me.join(team.room)
        before = await room.observe.live("handoff")
        await asyncio.to_thread(own_gateway.kill)
        await state(me, "disconnected")
        await before.aclose()
        again = asyncio.create_task(room.observe.live("handoff"))
        await asyncio.to_thread(own_gateway.start)
        async with await again as events:
            await room.blackboard.fetch("nothing")  # behind all that was said with the connection
            await bob.handoff.dispatch("draft")
            seen = await events.__anext__()
            assert seen.event is not None
            assert seen.event.what == "handoff.dispatched"


async def test_subscription_whose_end_was_lost_with_its_connection_is_ended_on_the_next(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hallward.connect(team.gateway.url, agent=team.name("ann")) as me:
        room = await me.join(team.room)
        events = await room.observe.live("log")
        link = me._link
        with monkeypatch.context() as lost:
            lost.setattr(link._client, "unsubscribe", lambda _: (0, 7_777))
            await events.aclose()
        assert link._unwanted
        mqtt_client.break_off(link._client)
        await state(me, "disconnected")
        await state(me, "connected")
        ended = asyncio.Event()
        monkeypatch.setattr(link, "_unsubscribed", lambda *_: ended.set())
        await ended.wait()


async def test_second_stream_over_what_is_retained_begins_with_it_and_the_first_has_it_once(
    team: Team,
) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> Any:
        return await task.ask("how long?")

    @worker.tool()
    async def spell(text: str) -> str:
        """finds misspelt words"""
        return text

    async with (
        team.serving(worker),
        team.joined("editor") as editor,
        team.joined("boss") as boss,
    ):
        asking = asyncio.create_task(editor.approve.request("publish", {"x": 1}, id="one"))
        task = await editor.handoff.dispatch("draft")
        async for _ in task.stream():
            break
        for make, name in (
            (boss.approve.pending, lambda one: one.id),
            (boss.handoff.questions, lambda one: one.task),
            (boss.presence.watch, lambda one: one.agent),
            (boss.tools.watch, lambda one: one.tool),
        ):
            first = await make()
            names = {name(await first.__anext__())}
            second = await make()
            while name(await second.__anext__()) not in names:
                pass
            for stream in (first, second):
                await stream.aclose()

        cards = await boss.tools.watch()
        assert (await cards.__anext__()).tool == "spell"
        assert (await boss.tools.provided("spell")).name == "spell"
        pending = await boss.approve.pending()
        assert (await pending.__anext__()).id == "one"
        async with await boss.approve.pending() as more:
            assert (await more.__anext__()).id == "one"
        await boss.approve.decide("one", "approve")
        assert isinstance(await pending.__anext__(), hallward.Decided)
        assert cards.waiting == 0
        await asking
        await task.cancel()


async def test_second_stream_begun_while_disconnected_begins_with_what_is_retained(
    team: Team, own_gateway: Gateway
) -> None:
    team.gateway = own_gateway
    async with (
        hallward.connect(team.gateway.url, agent=team.name("ann")) as me,
        team.joined("bob") as bob,
    ):
        room = await me.join(team.room)
        asking = asyncio.create_task(bob.approve.request("publish", id="one"))
        first = await room.approve.pending()
        assert (await first.__anext__()).id == "one"
        await asyncio.to_thread(own_gateway.kill)
        await state(me, "disconnected")
        async with await room.approve.pending() as second:
            await asyncio.to_thread(own_gateway.start)
            assert (await second.__anext__()).id == "one"
        await room.approve.decide("one", "approve")
        assert isinstance(await first.__anext__(), hallward.Decided)
        await asking


async def test_what_is_larger_than_a_packet_may_be_is_refused_before_it_is_sent(
    team: Team,
) -> None:
    async with hallward.connect(team.gateway.url, agent=team.name("ann")) as me:
        room = await me.join(team.room)
        limit = me._link.max_packet
        assert limit is not None
        changes: list[str] = []
        me._link.on_status(lambda status: changes.append(status.state))
        large = "x" * limit
        for refused in (
            room.inbox.send("bob", large),
            room.observe.emit("log", large),
            room.raw.publish(f"observe/events/{me.name}/log", large.encode()),
            room.blackboard.set("a", large),
            room.handoff.dispatch("draft", large),
        ):
            with pytest.raises(hallward.TooLarge) as error:
                await refused
            assert error.value.code == 413
            assert str(limit) in error.value.reason
        topic = f"observe/events/{me.name}/log"
        # Type and flags, three bytes of length, topic, packet id, no properties.
        most = limit - 1 - 3 - (2 + len(f"rooms/{team.room}/{topic}")) - 2 - 1
        await room.raw.publish(topic, b"x" * most)
        with pytest.raises(hallward.TooLarge):
            await room.raw.publish(topic, b"x" * (most + 1))
        assert changes == []


async def test_larger_than_the_next_connection_takes_is_refused_without_losing_it(
    team: Team, own_gateway: Gateway
) -> None:
    async with hallward.connect(own_gateway.url, agent="ann") as me:
        room = await me.join(team.room)
        await asyncio.to_thread(own_gateway.kill)
        await state(me, "disconnected")
        own_gateway._environment["HALLWARD__MQTT__MAX_PACKET"] = "64KiB"
        writing = [
            asyncio.create_task(room.blackboard.set("a", "x" * 100_000)),
            asyncio.create_task(room.observe.emit("log", "x" * 100_000)),
        ]
        await asyncio.to_thread(own_gateway.start)
        for refused in writing:
            with pytest.raises(hallward.TooLarge):
                await refused
        assert (await room.blackboard.set("a", 1)).version == 1


async def test_code_of_a_reply_goes_before_that_of_its_puback(team: Team) -> None:
    async with team.joined("ann") as ann:
        with pytest.raises(hallward.TooLarge, match="262144") as refused:
            await ann.inbox.send("bob", "x" * 300_000)
        assert refused.value.code == 413
        assert refused.value.command == "inbox"
