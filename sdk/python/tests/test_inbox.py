"""What is in a message of an inbox."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from conftest import Team

import hallward


@pytest.mark.parametrize("value", ["hello", "", '{"a":1}', "12:30", "été", {"a": 1}, [1], 3, None])
async def test_message_has_the_value_that_was_sent(team: Team, value: Any) -> None:
    async with team.joined("ann") as ann:
        await ann.inbox.send(team.name("ann"), value)
        async for message in ann.inbox:
            assert message.content_type == "application/json"
            assert message.value == value
            break


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"3", 3),
        (cbor2.dumps({"a": 1}), {"a": 1}),
        (cbor2.dumps([1]), [1]),
        (b"\xd9\xd9\xf7" + cbor2.dumps({"a": 1}), {"a": 1}),
    ],
)
async def test_bytes_go_as_they_are_and_are_read_by_how_they_begin(
    team: Team, payload: bytes, value: Any
) -> None:
    async with team.joined("ann", protocol="3.1.1") as ann:
        await ann.inbox.send(team.name("ann"), payload)
        async for message in ann.inbox:
            assert message.payload == payload
            assert message.content_type is None
            assert message.value == value
            break


@pytest.mark.parametrize("payload", [b"hello", "été".encode(), b"\xff", b"", b'{"a":'])
async def test_what_is_no_json_says_where_it_can_be_had(team: Team, payload: bytes) -> None:
    async with team.joined("ann") as ann:
        await ann.inbox.send(team.name("ann"), payload)
        async for message in ann.inbox:
            assert message.payload == payload
            with pytest.raises(hallward.ProtocolError, match=r"\.text.*\.payload"):
                _ = message.value
            break


async def test_event_of_any_text_is_text(team: Team) -> None:
    async with team.joined("ann") as ann, await ann.observe.live("log") as events:
        await ann.raw.publish(f"observe/events/{team.name('ann')}/log", "été".encode())
        assert (await events.__anext__()).body == "été"
