"""The same without `await`."""

from __future__ import annotations

import threading

import pytest
from conftest import Team

import hallward
from hallward import sync
from hallward.testing import Gateway


def test_everything_has_a_plain_twin(team: Team) -> None:
    with sync.connect(team.gateway.url, agent=team.name("editor")) as me:
        assert me.connected
        room = me.join(team.room)
        assert room.blackboard.set("plan", {"a": 1}).version == 1
        assert room.blackboard.get("plan") == {"a": 1}
        with room.blackboard.lock("press") as lock:
            room.blackboard.set("plan", 2, fence=lock.fence)
        with room.blackboard.txn() as txn:
            txn.set("x", 1).set("y", 2)
        with room.blackboard.watch("x") as changes:
            assert next(changes).value == 1
        room.inbox.send(me.name, "hello")
        for message in room.inbox:
            assert message.value == "hello"
            room.inbox.ack()
            break
        with room.observe.events(from_seq=1) as events:
            assert next(events).what == "presence.joined"
        with pytest.raises(hallward.Timeout) as late:
            room.handoff.run("draft", timeout="50ms")
        handle = late.value.handle
        assert isinstance(handle, sync.TaskHandle)
        handle.cancel()
        with pytest.raises(hallward.TaskCancelled):
            handle.result()
        assert [view.task for view in room.handoff.list()] == [handle.id]
    with pytest.raises(hallward.HallwardError):
        sync.connect("mqtt://127.0.0.1:1", agent="a", timeout="100ms")


def test_room_fixture_is_a_room_of_its_own(room: sync.Room) -> None:
    assert room.blackboard.set("a", 1).version == 1
    assert [agent.agent.split("-")[0] for agent in room.agents()] == ["tester"]


def test_handlers_of_plain_code_may_call(team: Team) -> None:
    """They run in threads, so a call from one waits for nobody but the gateway."""
    with sync.connect(team.gateway.url, agent=team.name("editor")) as me:
        room = me.join(team.room)
        done = threading.Event()

        def handler(message: hallward.InboxMessage) -> None:
            room.blackboard.set("heard", message.text)
            done.set()

        listener = room.inbox.on_message(handler)
        room.inbox.send(me.name, "hello")
        assert done.wait(30)
        assert room.blackboard.fetch("heard") is not None
        listener.stop()


def test_gateway_can_be_killed_and_started_again(own_gateway: Gateway) -> None:
    with sync.connect(own_gateway.url, agent="editor") as me:
        room = me.join("r")
        room.blackboard.set("a", 1)
        own_gateway.restart()
        assert room.blackboard.set("a", 2).version == 2
        url = own_gateway.url
        own_gateway.stop()
        own_gateway.start()
        assert own_gateway.url == url
        assert room.blackboard.history("a")[0].value == 1


def test_gateway_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from hallward.testing import GatewayMissing, find_gateway

    monkeypatch.delenv("HALLWARD_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GatewayMissing, match=r"hallward\[gateway\]"):
        find_gateway()
    monkeypatch.setenv("HALLWARD_BIN", "/nowhere/hallward")
    with pytest.raises(GatewayMissing, match="HALLWARD_BIN"):
        find_gateway()
    assert find_gateway("/bin/sh") == "/bin/sh"
