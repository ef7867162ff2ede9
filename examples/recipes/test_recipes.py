"""Each recipe does what its page says, also when it is killed half-way. `./check` runs this."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import hallward
from hallward.testing import Gateway

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs/recipes.md"
CREWAI = os.environ["CREWAI_PYTHON"]
NODE_RED = os.environ["NODE_RED"]
DEADLINE = 60.0


class Program:
    """A recipe that runs, and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self, wanted: str) -> re.Match[str]:
        """Reads on until a line has this in it."""
        assert self._process.stdout is not None
        said = ""
        async for line in self._process.stdout:
            said += line.decode()
            if found := re.search(wanted, line.decode()):
                return found
        raise AssertionError(f"it ended without {wanted!r}:\n{said}")

    async def output(self) -> str:
        """What it prints until it ends by itself, in good order."""
        out, _ = await self._process.communicate()
        assert self._process.returncode == 0, out.decode()
        return out.decode()

    async def end(self, number: signal.Signals) -> int:
        """Has it end, if it runs. Returns its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode


class Newsroom:
    """A gateway of its own, programs, and two people in the room where the recipes meet."""

    def __init__(self, gateway: Gateway, folder: Path, programs: AsyncExitStack) -> None:
        self.gateway = gateway
        self.folder = folder
        self._programs = programs
        self.chief: hallward.Room
        self.editor: hallward.Room

    async def join(self) -> None:
        for agent in ("chief", "editor"):
            connecting = hallward.connect(self.gateway.url, agent=agent)
            me = await self._programs.enter_async_context(connecting)
            setattr(self, agent, await me.join("newsroom"))

    async def start(self, *command: str, **options: Any) -> Program:
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "HALLWARD_URL": self.gateway.url,
            "CHECKPOINTS": str(self.folder / "articles.db"),
            "CREWAI_DISABLE_TELEMETRY": "true",
            "OTEL_SDK_DISABLED": "true",
            "PYTHONUNBUFFERED": "1",
        }
        options = {"stdout": PIPE, "stdin": asyncio.subprocess.DEVNULL, **options}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=HERE, env=environment, **options
        )
        program = Program(process)
        self._programs.push_async_callback(program.end, signal.SIGKILL)
        return program

    async def recipe(self, name: str, *arguments: str) -> Program:
        return await self.start(sys.executable, name, *arguments)

    async def pending(self) -> hallward.PendingApproval:
        """What awaits a decision, as the chief sees it."""
        async with await self.chief.approve.pending() as pending:
            async for one in pending:
                if isinstance(one, hallward.PendingApproval):
                    return one
        raise AssertionError("the stream ended")

    async def says_yes(self) -> None:
        """Starts the page's own program, whose only reader likes everything."""
        [code] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        code = code.replace("mqtt://localhost:1883", self.gateway.url)
        code = code.replace('agent="chief"', 'agent="reader"')
        answer, question = os.pipe()
        os.write(question, b"approve\n")
        with os.fdopen(answer) as stdin:
            await self.start(sys.executable, "-c", code, stdin=stdin)
        os.close(question)

    async def asked(self) -> list[list[str]]:
        """What was done about each request that there ever was."""
        return [[act.act for act in one.trail] async for one in self.chief.approve.audits()]

    async def until(self, agent: str, connections: set[str]) -> None:
        """Waits until an agent's connection is one of these."""
        async with await self.chief.presence.watch() as seen:
            async for one in seen:
                presence = one.presence
                if one.agent == agent and (presence and presence.connection) in connections:
                    return

    async def kill(self, program: Program, agent: str) -> None:
        assert await program.end(signal.SIGKILL) == -signal.SIGKILL
        await self.until(agent, {"away", "offline"})

    async def event(self, what: str) -> hallward.Event:
        """The first event of this kind in the room, past or to come."""
        async with await self.chief.observe.events(since="1h") as events:
            async for event in events:
                if event.what == what:
                    return event
        raise AssertionError("the stream ended")


@asynccontextmanager
async def newsroom(folder: Path) -> AsyncIterator[Newsroom]:
    with Gateway() as gateway:
        async with AsyncExitStack() as programs:
            room = Newsroom(gateway, folder, programs)
            await room.join()
            yield room


def scenario(test: Callable[[Newsroom], Awaitable[None]]) -> Callable[[Path], None]:
    """A test in a newsroom of its own, with a deadline for all of it."""

    async def play(folder: Path) -> None:
        async with newsroom(folder) as room:
            await asyncio.wait_for(test(room), DEADLINE)

    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(play(tmp_path))

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest reads our parameters, not its
    return run


# LangGraph


@scenario
async def test_graph_that_is_killed_while_it_waits_goes_on_with_the_same_question(
    room: Newsroom,
) -> None:
    first = await room.recipe("langgraph_approval.py", "tides")
    asked = await room.pending()
    assert asked.content == {"title": "tides", "text": "The moon pulls, the water follows."}
    await room.kill(first, "langgraph")

    second = await room.recipe("langgraph_approval.py", "tides")
    await room.until("langgraph", {"online"})
    edit = {**asked.content, "text": "The moon pulls."}
    await room.chief.approve.decide(asked, "approve", edit=edit)
    assert await second.output() == "published: The moon pulls.\n"
    assert [acts[0] for acts in await room.asked()] == ["requested"]


@scenario
async def test_decision_that_is_made_while_no_graph_runs_counts(room: Newsroom) -> None:
    first = await room.recipe("langgraph_approval.py", "tides")
    await first.line("^writing$")
    asked = await room.pending()
    await room.kill(first, "langgraph")
    await room.chief.approve.decide(asked, "reject", reason="too short")

    for _ in range(2):  # the second time the thread has ended, and nothing is left to do
        again = await room.recipe("langgraph_approval.py", "tides")
        output = await again.output()
        assert output == "not published: too short: The moon pulls, the water follows.\n"
    assert await room.asked() == [["requested", "rejected"]]


# openai-agents


@scenario
async def test_run_that_is_killed_while_it_waits_goes_on_with_the_same_call(
    room: Newsroom,
) -> None:
    first = await room.recipe("openai_agents_approval.py", "issue-7")
    asked = await room.pending()
    assert (asked.action, asked.content) == ("call publish", {"title": "Tides"})
    await room.kill(first, "openai-agents")

    second = await room.recipe("openai_agents_approval.py", "issue-7")
    await room.until("openai-agents", {"online"})
    await room.says_yes()
    assert await second.output() == "published: Tides\n"
    assert await room.asked() == [["requested", "approved"]]


@scenario
async def test_run_is_told_why_its_call_was_rejected_and_asks_once(room: Newsroom) -> None:
    first = await room.recipe("openai_agents_approval.py", "issue-8")
    await room.chief.approve.decide(await room.pending(), "reject", reason="too short")
    assert await first.output() == "Not approved: too short\n"

    again = await room.recipe("openai_agents_approval.py", "issue-8")
    assert await again.output() == "Not approved: too short\n"
    assert await room.asked() == [["requested", "rejected"]]


@scenario
async def test_call_is_not_made_with_other_arguments_than_were_approved(room: Newsroom) -> None:
    run = await room.recipe("openai_agents_approval.py", "issue-9")
    await room.chief.approve.decide(await room.pending(), "approve", edit={"title": "Tides!"})
    assert await run.output() == 'Only approved with these arguments: {"title": "Tides!"}\n'


# CrewAI


@scenario
async def test_crew_gets_what_a_worker_found_that_came_later(room: Newsroom) -> None:
    crew = await room.start(CREWAI, "crewai_tool.py", "tides")
    dispatched = await room.event("handoff.dispatched")
    worker = await room.recipe("worker.py")
    assert (await crew.output()).splitlines()[-1] == "The moon pulls, the water follows."
    task = await room.chief.handoff.get(dispatched.subject)
    assert (task.dispatcher, task.worker) == ("crew", "recipes-worker")
    assert await worker.end(signal.SIGTERM) == 0


@scenario
async def test_crew_is_told_of_a_failure_and_does_not_try_again(room: Newsroom) -> None:
    await room.recipe("worker.py")
    crew = await room.start(CREWAI, "crewai_tool.py", "mars")
    assert "nothing is known about mars" in (await crew.output()).splitlines()[-1]
    tasks = [task.state async for task in room.chief.handoff.list(type="research")]
    assert tasks == ["dead"]


# FastAPI


async def serve(room: Newsroom, listener: socket.socket) -> Program:
    """The app, on a socket that listens already: requests wait until it is there."""
    number = listener.fileno()
    command = (sys.executable, "-m", "uvicorn", "fastapi_lifespan:app", "--fd", str(number))
    return await room.start(*command, pass_fds=[number], stderr=STDOUT)


@scenario
async def test_app_hands_out_articles_and_shows_what_became_of_them(room: Newsroom) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = await serve(room, listener)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base, timeout=DEADLINE) as browser:
            key = {"Idempotency-Key": "order-1"}
            for _ in range(2):
                ordered = await browser.post("/articles", json={"title": "Tides"}, headers=key)
                assert (ordered.status_code, ordered.json()["id"]) == (202, "order-1")
            other = await browser.post("/articles", json={"title": "Moon"}, headers=key)
            assert other.status_code == 409
            place = ordered.headers["location"]
            assert (await browser.get(place)).json()["state"] == "queued"

            await room.recipe("worker.py")
            await app.line("draft order-1 succeeded")
            written = (await browser.get(place)).json()
            assert written["article"] == {"title": "Tides", "text": "All about Tides."}
            assert written["state"] == "succeeded"
            assert (await browser.get("/articles/nobody-ordered-it")).status_code == 404
            assert (await browser.get("/articles/no%20name")).status_code == 422

            await app.end(signal.SIGTERM)
            await serve(room, listener)
            assert (await browser.get(place)).json() == written
            tasks = [task.task async for task in room.chief.handoff.list(type="draft")]
            assert tasks == ["order-1"]


# Node-RED


async def node_red(room: Newsroom) -> tuple[Program, str]:
    """Node-RED with the flow as it is, but for where the gateway is. Returns its address, too."""
    flow = json.loads((HERE / "node-red/flow.json").read_text())
    [broker] = [node for node in flow if node["type"] == "mqtt-broker"]
    broker.update(broker="127.0.0.1", port=str(room.gateway.port))
    file = room.folder / "flow.json"
    file.write_text(json.dumps(flow))
    options = ("--userDir", str(room.folder), "--port", "0", "-D", "uiHost=127.0.0.1")
    program = await room.start("node", NODE_RED, *options, str(file), stderr=STDOUT)
    address = (await program.line(r"now running at (http://127\.0\.0\.1:\d+)"))[1]
    await program.line("Connected to broker")
    return program, address


@scenario
async def test_flow_does_tasks_and_says_what_went_wrong(room: Newsroom) -> None:
    program, _ = await node_red(room)
    payload = {"text": "The moon pulls. The water follows."}
    done = await room.editor.handoff.run("summarise", payload)
    assert (done.value, done.worker) == ({"summary": "The moon pulls"}, "node-red")

    with pytest.raises(hallward.TaskFailed, match="there is no text"):
        await room.editor.handoff.run("summarise", {"text": 7}, max_attempts=1)
    [presence] = await room.chief.agents(role="flow")
    assert (presence.name, presence.capacity) == ("Node-RED", 8)
    assert await program.end(signal.SIGTERM) == 0


@scenario
async def test_flow_shows_what_awaits_a_decision_also_after_a_kill(room: Newsroom) -> None:
    first, _ = await node_red(room)
    request = room.editor.approve.request("publish", {"title": "Tides"}, id="tides-go")
    waiting = asyncio.create_task(request)
    await first.line("id: 'tides-go'")
    await room.kill(first, "node-red")

    second, address = await node_red(room)
    await second.line("id: 'tides-go'")
    async with httpx.AsyncClient(base_url=address, timeout=DEADLINE) as browser:
        assert "tides-go: editor wants to publish" in (await browser.get("/approvals")).text
        await browser.post("/inject/approve")  # as the button in the editor does
        decision = await waiting
        assert (decision.approved, decision.by) == (True, ["node-red"])
        await second.line(r"^\[\]$")
        assert "tides-go" not in (await browser.get("/approvals")).text
    assert await second.end(signal.SIGTERM) == 0


# The page


def test_page_and_recipes_say_the_same_to_install() -> None:
    page = PAGE.read_text()
    for recipe in HERE.glob("*_*.py"):
        for line in re.findall(r"^ {4}(pip install .*)$", recipe.read_text(), re.MULTILINE):
            assert line in page, f"{recipe.name}: {line}"
    version = json.loads((HERE / "node-red/package.json").read_text())["dependencies"]["node-red"]
    assert f"Node-RED {version}" in page
