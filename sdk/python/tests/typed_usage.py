"""Not run, but type-checked: what the types of the public API promise to its users."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import assert_type

import hallward
import hallward.sync
from hallward.messages import TaskView


@dataclass
class Facts:
    topic: str


worker = hallward.Worker("mqtt://localhost", agent="w", room="r")


@worker.task("draft")
async def draft(task: hallward.Task[Facts]) -> str:
    assert_type(task.payload, Facts)
    return task.payload.topic


@worker.tool()
def spell(text: str) -> list[str]:
    """finds misspelt words"""
    return [text]


async def asynchronous() -> None:
    assert_type(await draft(hallward.Task(..., Facts("x"))), str)  # type: ignore[arg-type]
    assert_type(spell("x"), list[str])
    async with hallward.connect("mqtt://localhost", agent="a") as me:
        assert_type(me, hallward.Agent)
        room = await me.join("r")
        assert_type(await room.handoff.run("draft", ttl="1m", priority="high"), hallward.Result)
        handle = await room.handoff.dispatch("draft", depends_on=["t"])
        assert_type(await handle.get(), TaskView)
        await room.handoff.dispatch("draft", priority="urgent")  # type: ignore[arg-type]
        await room.handoff.dispatch("draft", lese="1m")  # type: ignore[call-arg]
        async for message in room.inbox:
            assert_type(message, hallward.InboxMessage)
        async with await room.observe.events(since="1h") as events:
            async for event in events:
                assert_type(event, hallward.Event)
        async with room.blackboard.lock("press") as lock:
            assert_type(lock.token, int)
        assert_type(await room.approve.request("publish"), hallward.Decision)


def synchronous() -> None:
    with hallward.sync.connect("mqtt://localhost", agent="a") as me:
        room = me.join("r")
        assert_type(room, hallward.sync.Room)
        handle = room.handoff.dispatch("draft", parent="t")
        assert_type(handle, hallward.sync.TaskHandle)
        assert_type(handle.result(), hallward.Result)
        for message in room.inbox:
            assert_type(message, hallward.InboxMessage)
        for change in room.blackboard.watch():
            assert_type(change, hallward.Change)
