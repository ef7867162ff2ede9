"""Workers against a real gateway."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from conftest import Team, until

import hallward
import hallward.sync


@dataclass
class Facts:
    topic: str
    words: int = 900


async def test_payload_and_result_have_the_types_that_the_handler_says(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Facts]) -> Facts:
        return Facts(task.payload.topic.upper(), task.payload.words)

    async with team.serving(worker), team.joined("editor") as editor:
        result = await editor.handoff.run("draft", Facts("tides"))
        assert result.as_(Facts) == Facts("TIDES", 900)
        with pytest.raises(hallward.TaskFailed) as failed:
            await editor.handoff.run("draft", {"words": 1})
        error = failed.value.result.error
        assert error is not None
        assert failed.value.result.attempts == 1
        assert "topic" in error.message


async def test_plain_handler_gets_a_plain_task(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    def draft(task: hallward.sync.Task[int]) -> list[Any]:
        assert threading.current_thread() is not threading.main_thread()
        task.progress({"half": True})
        return [task.id, task.attempt, task.payload, task.dispatcher]

    async with team.serving(worker), team.joined("editor") as editor:
        news = [one async for one in editor.handoff.stream("draft", 5, id="t1")]
        assert [one.value for one in news if isinstance(one, hallward.Result)] == [
            {"half": True},
            ["t1", 1, 5, team.name("editor")],
        ]


async def test_plain_handler_learns_of_its_end_at_its_next_word(team: Team) -> None:
    worker = team.worker()
    started, go_on = asyncio.Event(), threading.Event()
    stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    @worker.task("draft")
    def draft(task: hallward.sync.Task[Any]) -> None:
        loop.call_soon_threadsafe(started.set)
        assert go_on.wait(30)
        assert task.cancelled
        try:
            task.progress()
        except hallward.TaskOver as over:
            loop.call_soon_threadsafe(stopped.set_result, str(over))

    async with team.serving(worker), team.joined("editor") as editor:
        over = asyncio.Event()
        worker.on_change(lambda run, what: over.set() if what == "over" else None)
        handle = await editor.handoff.dispatch("draft")
        await started.wait()
        await handle.cancel()
        await over.wait()
        go_on.set()
        assert "over" in await stopped


async def test_lease_is_kept_while_the_event_loop_is_blocked(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker's loop stands still until the gateway says that 1.5 s are over, five leases."""
    worker = team.worker()
    blocked, over = threading.Event(), threading.Event()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> str:
        blocked.set()
        assert over.wait(30)
        return "done"

    thread = threading.Thread(target=lambda: asyncio.run(worker.serve()))
    thread.start()
    async with team.joined("editor") as editor:
        handle = await editor.handoff.dispatch("draft", lease="300ms", max_attempts=1)
        await asyncio.to_thread(blocked.wait, 30)
        other = team.worker("other")

        @other.task("later")
        async def later(task: hallward.Task[Any]) -> None: ...

        async with team.serving(other):
            await editor.handoff.run("later", not_before="1500ms")
        over.set()
        result = await handle.result()
        assert (result.value, result.attempts) == ("done", 1)
    worker.stop()
    await asyncio.to_thread(thread.join, 30)
    assert "the event loop is blocked" in caplog.text


async def test_handler_that_takes_too_long_fails_its_attempt(team: Team) -> None:
    worker = team.worker()
    cancelled = asyncio.Event()

    @worker.task("draft", timeout="50ms")
    async def draft(task: hallward.Task[Any]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with team.serving(worker), team.joined("editor") as editor:
        with pytest.raises(hallward.TaskFailed, match="longer than 50 ms"):
            await editor.handoff.run("draft", max_attempts=1)
        assert cancelled.is_set()


async def test_result_that_json_cannot_say_fails_the_task_for_good(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> Any:
        return {"x": float("nan")}

    async with team.serving(worker), team.joined("editor") as editor:
        with pytest.raises(hallward.TaskFailed) as failed:
            await editor.handoff.run("draft")
        assert failed.value.result.attempts == 1


async def test_task_of_a_type_that_the_worker_does_not_know_is_failed(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> None: ...

    async with team.serving(worker), team.joined("editor") as editor:
        with pytest.raises(hallward.TaskFailed, match="knows no tasks of this type"):
            await editor.handoff.run("edit", capabilities=["draft"])


async def test_tool_is_described_by_its_function(team: Team) -> None:
    worker = team.worker()

    @worker.tool(idempotent=True)
    async def spell(text: Annotated[str, "what to read"], words: list[str] | None = None) -> Facts:
        """finds misspelt words"""
        return Facts(text, len(words or []))

    @worker.tool("who", timeout="5s")
    def who_calls(call: hallward.sync.Call) -> str:
        """says who calls"""
        call.partial("thinking")
        return call.caller

    async with team.serving(worker), team.joined("ann") as ann:
        card = await ann.tools.provided("spell")
        assert card.description == "finds misspelt words"
        assert card.idempotent
        assert card.input_schema == {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "what to read"},
                "words": {
                    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
                },
            },
            "required": ["text"],
        }
        assert card.output_schema["required"] == ["topic"]
        assert await ann.tools.call("spell", {"text": "x", "words": ["a"]}) == {
            "topic": "x",
            "words": 1,
        }
        with pytest.raises(hallward.Invalid):
            await ann.tools.call("spell", {"text": 1})
        parts = [one async for one in ann.tools.stream("who")]
        assert [getattr(one, "value", None) for one in parts] == ["thinking", team.name("ann")]


def test_tool_without_a_description_is_refused() -> None:
    worker = hallward.Worker("mqtt://localhost", agent="w", room="r")
    with pytest.raises(TypeError, match="docstring"):

        @worker.tool()
        def silent() -> None: ...

    with pytest.raises(TypeError, match="by name"):

        @worker.tool()
        def loose(*words: str) -> None:
            """takes anything"""


def test_worker_needs_a_name() -> None:
    with pytest.raises(TypeError, match="agent"):
        hallward.Worker("mqtt://localhost", room="r")


async def test_worker_on_an_agent_that_is_connected_leaves_it_connected(team: Team) -> None:
    async with hallward.connect(team.gateway.url, agent=team.name("both")) as me:
        worker = hallward.Worker(me, room=team.room)

        @worker.task("draft")
        async def draft(task: hallward.Task[int]) -> int:
            return task.payload * 2

        async with team.serving(worker):
            room = await me.join(team.room)
            assert (await room.handoff.run("draft", 4)).value == 8
        assert me.connected


async def test_worker_that_is_taken_over_says_so(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> None: ...

    serving = asyncio.create_task(worker.serve())
    async with team.joined("editor") as editor:
        async with await editor.presence.watch() as seen:
            async for one in seen:
                if one.presence and "draft" in one.presence.capabilities:
                    break
        async with team.joined("worker"):
            with pytest.raises(hallward.SessionTaken):
                await serving


async def test_worker_asks_with_a_type_and_gets_one(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> int:
        facts = await task.ask("about what?", schema=Facts)
        assert isinstance(facts, Facts)
        return facts.words

    async with team.serving(worker), team.joined("editor") as editor:
        handle = await editor.handoff.dispatch("draft")
        async for news in handle.stream():
            if isinstance(news, hallward.Question):
                with pytest.raises(hallward.Invalid) as refused:
                    await news.answer("tides")
                assert refused.value.path == "/answer"
                await news.answer({"topic": "tides", "words": 7})
            else:
                assert news.value == 7


async def test_question_that_nobody_answers_is_a_timeout_in_the_handler(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> str:
        try:
            return str(await task.ask("anybody?", timeout="100ms"))
        except hallward.Timeout:
            return "nobody"

    async with team.serving(worker), team.joined("editor") as editor:
        assert (await editor.handoff.run("draft")).value == "nobody"


async def test_open_questions_of_a_room_can_be_read_and_answered_by_who_may(team: Team) -> None:
    worker = team.worker()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> Any:
        return await task.ask("how long?", answerers=["role:chief"])

    async with (
        team.serving(worker),
        team.joined("editor") as editor,
        team.joined("chief") as chief,
    ):
        await chief.announce(role="chief")
        handle = await editor.handoff.dispatch("draft")
        async with await chief.handoff.questions() as questions:
            async for question in questions:
                assert question.question == "how long?"
                await question.answer("short")
                break
        assert (await handle.result()).value == "short"


async def test_handler_that_takes_too_long_and_goes_on_when_cancelled_is_left(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    worker = team.worker(grace="20ms")
    free, ended = asyncio.Event(), asyncio.Event()

    @worker.task("draft", timeout="20ms")
    async def draft(task: hallward.Task[Any]) -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
        ended.set()

    async with team.joined("editor") as editor:
        async with team.serving(worker):
            with pytest.raises(hallward.TaskFailed, match="longer than 20 ms"):
                await editor.handoff.run("draft", id="mine", max_attempts=1)
        free.set()
    assert "task mine goes on though it was cancelled" in caplog.text
    await ended.wait()


async def test_handler_that_goes_on_when_its_worker_stops_is_left_and_given_back(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    worker = team.worker(grace="20ms")
    started, free, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @worker.task("draft")
    async def draft(task: hallward.Task[Any]) -> None:
        started.set()
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
        ended.set()

    async with team.joined("editor") as editor:
        async with team.serving(worker):
            handle = await editor.handoff.dispatch("draft", id="mine")
            await started.wait()
        error = (await handle.get()).error
        assert error is not None
        assert error.code == "released"
        await handle.cancel()
        free.set()
    assert "task mine goes on though it was cancelled" in caplog.text
    await ended.wait()


async def test_handler_of_messages_that_goes_on_does_not_keep_its_agent_from_closing(
    team: Team, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallward._handlers._CANCELLED", 0.02)
    started, free = asyncio.Event(), asyncio.Event()

    async def handler(message: hallward.InboxMessage) -> None:
        started.set()
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    async with team.joined("editor") as editor:
        editor.inbox.on_message(handler)
        await editor.inbox.send(team.name("editor"), "hello")
        await started.wait()
    free.set()
    assert "goes on though it was cancelled" in caplog.text


STUBBORN = """
import asyncio
import os
import hallward

worker = hallward.Worker(os.environ["URL"], agent="w", room=os.environ["ROOM"], grace="20ms")

@worker.task("draft")
async def draft(task):
    while True:
        try:
            await asyncio.sleep(3_600)
        except:
            pass

worker.run()
print("ended in good order")
"""


async def test_program_whose_handler_goes_on_ends_on_sigterm(team: Team) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STUBBORN,
        env={**os.environ, "URL": team.gateway.url, "ROOM": team.room},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with team.joined("editor") as editor:
        handle = await editor.handoff.dispatch("draft", id="mine")

        async def running() -> bool:
            return (await handle.get()).state == "running"

        await until(running, editor)
        program.terminate()
        output, errors = await program.communicate()
        assert program.returncode == 0
        assert output == b"ended in good order\n"
        assert b"task mine goes on though it was cancelled" in errors
        error = (await handle.get()).error
        assert error is not None
        assert error.code == "released"
        await handle.cancel()
