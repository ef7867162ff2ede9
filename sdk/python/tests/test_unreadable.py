"""What cannot be decoded: whoever waits for it is told at once, and why."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import cbor2
import pytest
from conftest import Team, until

import hallward
from hallward import _codec
from hallward._skim import skim

WORD = "unfathomed"


@pytest.fixture(params=["json", "cbor"])
def encoding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Encodings, each with a decoder that gives up where it finds a certain word."""
    decode = _codec.decode

    def picky(payload: bytes, *arguments: Any) -> Any:
        if WORD.encode() in payload:
            raise hallward.ProtocolError("nested too deep")
        return decode(payload, *arguments)

    monkeypatch.setattr(_codec, "decode", picky)
    return request.param


Encoding = Literal["json", "cbor"]


async def test_reply_that_cannot_be_read_is_told_to_its_caller(
    team: Team, encoding: Encoding
) -> None:
    async with team.joined("editor", encoding=encoding) as editor:
        await editor.blackboard.set("a", 1)
        await editor.blackboard.set("b", WORD)
        read = await asyncio.gather(
            editor.blackboard.fetch("a"), editor.blackboard.fetch("b"), return_exceptions=True
        )
        assert isinstance(read[0], hallward.Entry)
        assert isinstance(read[1], hallward.ProtocolError)
        assert "blackboard/get" in str(read[1])
        assert "nested too deep" in str(read[1])


async def test_key_that_cannot_be_read_raises_and_the_others_are_there(
    team: Team, encoding: Encoding
) -> None:
    async with team.joined("editor", encoding=encoding) as editor:
        await editor.blackboard.set("a", 1)
        await editor.blackboard.set("b", WORD)
        assert await editor.blackboard.get("a") == 1
        with pytest.raises(hallward.ProtocolError, match="nested too deep"):
            await editor.blackboard.get("b")
        async with await editor.blackboard.watch("b") as changes:
            await editor.blackboard.set("b", 2)
            assert (await changes.__anext__()).value == 2
        assert await editor.blackboard.get("b") == 2


async def test_result_that_cannot_be_read_is_told_to_who_waits_for_its_task(
    team: Team, encoding: Encoding
) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> Any:
        await task.progress(WORD)
        return "good" if task.payload == "good" else WORD

    async with team.serving(worker), team.joined("editor", encoding=encoding) as editor:
        other = asyncio.create_task(editor.handoff.run("draft", "good"))
        handle = await editor.handoff.dispatch("draft")
        with pytest.raises(hallward.ProtocolError, match=f"{handle.id}.*nested too deep"):
            await handle.result()
        assert (await other).value == "good"
        handle = await editor.handoff.dispatch("draft", id="late")

        async def ended() -> bool:
            return [one.task async for one in editor.handoff.list(state="succeeded")].count(
                "late"
            ) == 1

        await until(ended, editor)
        with pytest.raises(hallward.ProtocolError, match=r"late.*nested too deep"):
            await handle.result()


async def test_task_that_its_worker_cannot_read_is_dead_with_the_reason(
    team: Team, encoding: Encoding
) -> None:
    worker = team.worker(encoding=encoding)

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> str:
        return "done"

    async with team.serving(worker), team.joined("editor") as editor:
        with pytest.raises(hallward.TaskFailed, match="nested too deep") as failed:
            await editor.handoff.run("draft", WORD)
        assert failed.value.result.attempts == 1
        assert failed.value.result.error is not None
        assert failed.value.result.error.code == "unreadable"
        assert (await editor.handoff.run("draft")).value == "done"


async def test_call_that_cannot_be_read_is_told_to_its_caller(
    team: Team, encoding: Encoding
) -> None:
    worker = team.worker(encoding=encoding)

    @worker.tool()
    async def spell(text: str) -> str:
        """finds misspelt words"""
        return text if text == "good" else "un" + text

    async with team.serving(worker), team.joined("editor", encoding=encoding) as editor:
        with pytest.raises(hallward.ToolError, match="nested too deep"):
            await editor.tools.call("spell", {"text": WORD})
        with pytest.raises(hallward.ProtocolError, match="nested too deep"):
            await editor.tools.call("spell", {"text": WORD[2:]})
        assert await editor.tools.call("spell", {"text": "good"}) == "good"


async def test_decision_that_cannot_be_read_is_told_to_who_asked(
    team: Team, encoding: Encoding
) -> None:
    async with team.joined("editor", encoding=encoding) as editor, team.joined("boss") as boss:
        boss.approve.on_request(lambda pending: None)
        async with await boss.approve.pending() as pending:
            asking = asyncio.create_task(editor.approve.request("publish", 1, id="one"))
            await pending.__anext__()
            await boss.approve.decide("one", "approve", reason=WORD)
            with pytest.raises(hallward.ProtocolError, match="nested too deep"):
                await asking


DEEP = 100_000


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id":"a","payload":' + b"[" * DEEP + b"]" * DEEP + b',"task":"t","attempt":2}',
        b'{"id":"a","task":"t","attempt":2,"payload":{"broken',
        b'{"payload":"{\\"id\\":\\"no\\"}","id":"a","task":"t","attempt":2,}',
        cbor2.dumps({"x": [{"id": "no"}], "id": "a", "task": "t", "attempt": 2})[:-1] + b"\x02\x00",
        b"\xa4\x62id\x61a\x64task\x61t\x67attempt\x02\x67payload" + b"\x81" * DEEP + b"\x01",
        b"\xbf\x62id\x61a\x61x\x9f\x01\xbf\xff\xff\x61y\xf9\0\0\x64task\x61t\x67attempt\x02\xff",
    ],
)
def test_whom_an_unreadable_message_is_about_is_found(payload: bytes) -> None:
    found = skim(payload)
    assert (found["id"], found["task"], found["attempt"]) == ("a", "t", 2)


@pytest.mark.parametrize("payload", [b"", b"[1]", b"\x80", b"\xff", b"nothing", b'{"id', b"\x1c"])
def test_where_nothing_can_be_found_nothing_is(payload: bytes) -> None:
    assert skim(payload) == {}


@pytest.mark.parametrize(
    "payload", [b"[" * DEEP + b"]" * DEEP, b"\x81" * DEEP + b"\x01", b'{"a":', b"\xa1\x61a"]
)
def test_what_cannot_be_decoded_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(hallward.ProtocolError):
        _codec.decode(payload)


def test_skim_reads_what_was_written() -> None:
    document = {"a": "x", "n": -70_000, "deep": [[{"a": 1}]], "last": 'y"é'}
    expected = {"a": "x", "n": -70_000, "last": 'y"é'}
    assert skim(json.dumps(document).encode()) == expected
    assert skim(cbor2.dumps(document)) == expected
