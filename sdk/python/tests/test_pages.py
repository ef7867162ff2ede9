"""The guide and the examples: every block of code is run, and prints what the page says. And the
rows for Python in the tables of `docs/patterns.md`: each is run, and does what it is there for.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Team

import hallward
from hallward import sync
from hallward.testing import Gateway

SDK = Path(__file__).resolve().parent.parent
ROOT = SDK.parent.parent
GUIDE = ROOT / "docs/python.md"
PATTERNS = ROOT / "docs/patterns.md"
EXAMPLES = ROOT / "examples/python"
WIDTH = 100
DEADLINE = 60


@dataclass
class Block:
    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """`# writer.py` in its first line; else made from where it stands."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else f"block_{self.line}.py"


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    text = page.read_text()
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.append(Block(match[1], match[2], text.count("\n", 0, match.start()) + 1))
    return found


def environment(gateway: Gateway) -> dict[str, str]:
    return {**os.environ, "HALLWARD_URL": gateway.url, "PYTHONUNBUFFERED": "1"}


def looks_like(expected: str, found: str) -> bool:
    """Equal, with `…` for anything on a line."""
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, found) is not None


@pytest.fixture
def background() -> Iterator[list[subprocess.Popen[str]]]:
    """Programs that run beside; all must end in good order on SIGTERM."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for one in running:
        one.send_signal(signal.SIGTERM)
    codes = [one.wait(DEADLINE) for one in running]
    assert codes == [0] * len(codes)


def test_guide_does_what_it_says(
    tmp_path: Path, own_gateway: Gateway, background: list[subprocess.Popen[str]]
) -> None:
    ran = 0
    found = blocks(GUIDE)
    for block, following in zip(found, [*found[1:], None]):
        if block.language != "python":
            continue
        ran += 1
        path = tmp_path / block.name
        path.write_text(block.text.replace("mqtt://localhost:1883", own_gateway.url))
        if "worker.run()" in block.text:
            background.append(
                subprocess.Popen(
                    [sys.executable, str(path)], env=environment(own_gateway), text=True
                )
            )
            continue
        arguments = [sys.executable, str(path)]
        if block.name.startswith("test_"):
            arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
        result = subprocess.run(
            arguments,
            env=environment(own_gateway),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        where = f"{GUIDE.name}:{block.line}"
        assert result.returncode == 0, f"{where}\n{result.stdout}{result.stderr}"
        if following is not None and following.language == "text":
            assert looks_like(following.text, result.stdout), f"{where}\n{result.stdout}"
    assert ran > 15


def test_readme_has_programs_that_compile() -> None:
    found = [block for block in blocks(SDK / "README.md") if block.language == "python"]
    assert len(found) == 2
    for block in found:
        compile(block.text, "README.md", "exec")


def test_pipeline_runs_from_end_to_end_and_goes_on_after_a_kill(own_gateway: Gateway) -> None:
    def start(script: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / script), *arguments],
            env={**environment(own_gateway), **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    workers = [start("workers.py", HALLWARD_AGENT=f"worker-{n}") for n in (1, 2)]
    first = start("pipeline.py", "tides")
    with sync.connect(own_gateway.url, agent="tester") as me:
        room = me.join("content-pipeline")
        with room.approve.pending() as pending:
            request = next(pending)
        first.kill()
        first.communicate()
        second = start("pipeline.py", "tides")
        with room.presence.watch() as seen:
            for one in seen:
                if (
                    one.agent == "orchestrator"
                    and one.presence
                    and one.presence.connection == "online"
                ):
                    break
        chief = start("approver.py")
        decided, _ = chief_says_yes(chief)
        output, _ = second.communicate(timeout=DEADLINE)
        assert output.splitlines()[-1] == "published: Tides"
        assert "handoff.succeeded tides-publish" in output
        assert request.content["title"] == "Tides"
        assert room.blackboard.fetch("plan/tides").value["current"] == 4
        assert [one.state for one in room.approve.audits()] == ["approved"]
        assert "orchestrator wants to publish" in decided
    for one in workers:
        one.send_signal(signal.SIGTERM)
    assert [one.wait(DEADLINE) for one in workers] == [0, 0]
    for one in workers:
        one.communicate()


def start_example(gateway: Gateway, script: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=environment(gateway),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FAILING = """
import os
import hallward

worker = hallward.Worker(os.environ["HALLWARD_URL"], agent="w", room="content-pipeline")

@worker.task("research")
async def research(task):
    raise hallward.Fatal("no library")

worker.run()
"""


def test_pipeline_whose_step_fails_ends_with_words_and_its_next_run_tries_again(
    tmp_path: Path, own_gateway: Gateway, background: list[subprocess.Popen[str]]
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    arguments = [sys.executable, str(script)]
    background.append(subprocess.Popen(arguments, env=environment(own_gateway), text=True))
    for _ in range(2):
        pipeline = start_example(own_gateway, EXAMPLES / "pipeline.py", "tides")
        _, errors = pipeline.communicate(timeout=DEADLINE)
        assert pipeline.returncode == 1
        assert errors == "research tides-research: no library\n"
    with sync.connect(own_gateway.url, agent="tester") as me:
        past = me.join("content-pipeline").observe.replay(from_seq=1).events
    what = [one.what for one in past if one.subject == "tides-research"]
    assert what.count("handoff.redriven") == 1
    assert what.count("handoff.failed") == 2


@pytest.mark.parametrize("script", ["pipeline.py", "approver.py"])
def test_example_ends_without_a_traceback_on_ctrl_c(own_gateway: Gateway, script: str) -> None:
    with sync.connect(own_gateway.url, agent="tester") as me:
        room = me.join("content-pipeline")
        with room.observe.live("presence") as events:
            example = start_example(own_gateway, EXAMPLES / script)
            agent = {"pipeline.py": "orchestrator", "approver.py": "chief"}[script]
            for one in events:
                if one.event is not None and one.event.who == agent:
                    break
        example.send_signal(signal.SIGINT)
        _, errors = example.communicate(timeout=DEADLINE)
        assert (example.returncode, errors) == (130, "")


def chief_says_yes(chief: subprocess.Popen[str]) -> tuple[str, int]:
    """Types y once it is asked, and ends the program once it has decided."""
    assert chief.stdin is not None
    assert chief.stdout is not None
    alarm = threading.Timer(DEADLINE, chief.kill)
    alarm.start()
    chief.stdin.write("y\n")
    chief.stdin.flush()
    output = ""
    while "approve\n" not in output.split("[y/n] ", 1)[-1] and (line := chief.stdout.readline()):
        output += line
    alarm.cancel()
    chief.kill()
    chief.communicate()
    return output, chief.returncode


# The tables of docs/patterns.md

HEAD = "| You want to | In | You write |\n|---|---|---|\n"


def rows_of(pattern: str) -> dict[str, str]:
    """The code for Python of a pattern's table, by what one wants to do."""
    _, section = PATTERNS.read_text().split(f"\n## {pattern}\n", 1)
    _, table = section.split("\n## ", 1)[0].split(HEAD, 1)
    rows: dict[str, str] = {}
    aim = ""
    for line in table.split("\n\n", 1)[0].splitlines():
        wanted, way, code = (cell.strip() for cell in line[1:-1].split(" | "))
        aim = wanted.strip("*") or aim
        if way == "Python":
            lines: list[str] = re.findall(r"`([^`]+)`", code)
            rows[aim] = "\n".join(lines).replace("\\|", "|")
    return rows


@dataclass
class Running:
    """A row that goes on beside the test, and what it has given to `keep`."""

    task: asyncio.Task[None]
    kept: asyncio.Queue[Any]

    async def find(self, fits: Callable[[Any], bool]) -> Any:
        """The first that fits; what the row raises is raised here."""
        while True:
            item = asyncio.create_task(self.kept.get())
            await asyncio.wait({item, self.task}, return_when=asyncio.FIRST_COMPLETED)
            if not item.done():
                item.cancel()
                await self.task
                raise AssertionError("the row has come to its end")
            if fits(item.result()):
                return item.result()


@dataclass
class Rows:
    """The rows of a pattern, run one by one. All must have run in the end."""

    pattern: str
    ran: set[str] = field(default_factory=set)

    async def run(self, aim: str, **names: Any) -> dict[str, Any]:
        """Runs one with these names, and returns the names that there are then."""
        await self._run(aim, names)
        return names

    async def _run(self, aim: str, names: dict[str, Any]) -> None:
        where = f"{PATTERNS.name}, {self.pattern}: {aim}"
        code = rows_of(self.pattern)[aim]
        names |= {"hallward": hallward, "__name__": "page"}
        self.ran.add(aim)
        made = compile(code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(made, names)
        if made.co_flags & inspect.CO_COROUTINE:
            await running

    @asynccontextmanager
    async def running(self, aim: str, **names: Any) -> AsyncIterator[Running]:
        """Runs one that has no end by itself; a worker is stopped, anything else is cancelled."""
        kept: asyncio.Queue[Any] = asyncio.Queue()
        names["keep"] = kept.put_nowait
        task = asyncio.create_task(self._run(aim, names))
        try:
            yield Running(task, kept)
        finally:
            if "worker" in names:
                names["worker"].stop()
            else:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def all_ran(self) -> None:
        assert self.ran == set(rows_of(self.pattern))


@asynccontextmanager
async def agents(gateway: Gateway, *names: str) -> AsyncIterator[list[hallward.Agent]]:
    async with AsyncExitStack() as stack:
        connecting = [hallward.connect(gateway.url, agent=name) for name in names]
        yield [await stack.enter_async_context(one) for one in connecting]


@asynccontextmanager
async def rooms(gateway: Gateway, *names: str) -> AsyncIterator[list[hallward.Room]]:
    async with agents(gateway, *names) as connected:
        yield [await agent.join("newsroom") for agent in connected]


@asynccontextmanager
async def again_and_again(act: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
    async def run() -> None:
        while True:
            await act()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_rows_of_handoff_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Handoff")
    async with agents(own_gateway, "editor", "writer", "translator") as (editor, writer, other):
        room = await editor.join("newsroom")

        def write(brief: dict[str, Any]) -> dict[str, Any]:
            return {"about": brief["title"], "words": 900}

        results: asyncio.Queue[hallward.Result] = asyncio.Queue()
        async with rows.running("be a worker", me=writer, write=write):
            draft = (await rows.run("hand work over, and wait", room=room))["draft"]
            assert draft.value == {"about": "Tides", "words": 900}
            await rows.run("take results as they come", room=room, keep=results.put_nowait)
            task = (await rows.run("hand it over, and go on", room=room))["task"]
            while (result := await results.get()).task != "tides" or not result.final:
                pass
            assert (task.id, result.value["words"]) == ("tides", 900)

        worker = hallward.Worker(other, room="newsroom")

        @worker.task("translate")
        async def translate(task: hallward.Task[str]) -> Any:
            return (await rows.run("ask half-way", task=task))["language"]

        async with Team(own_gateway).serving(worker):
            await rows.run("answer that", room=room)
            assert (await room.handoff.run("translate", "Tides")).value == "fr"

        task = await room.handoff.dispatch("paint", "Tides")
        await rows.run("cancel", task=task)
        assert (await task.get()).state == "cancelled"
    rows.all_ran()


async def test_rows_of_blackboard_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Blackboard")
    async with rooms(own_gateway, "editor") as (room,):
        stored = (await rows.run("write a key", room=room))["stored"]
        assert (await rows.run("read one", room=room))["entry"].value == {"lead": "Tides"}
        aim = "watch what is there, and each change"
        async with rows.running(aim, room=room) as changes:
            await changes.find(lambda change: change.value == {"lead": "Tides"})
            await rows.run("write only what nobody has changed", room=room, stored=stored)
            await changes.find(lambda change: (change.key, change.value) == ("plan", 2))
        with pytest.raises(hallward.Conflict):
            await rows.run("write only what nobody has changed", room=room, stored=stored)
        await rows.run("hold a lock, and write only while it is held", room=room)
        assert (await room.blackboard.fetch("page")).value == 1
        assert not (await room.blackboard.snapshot(locks=True)).locks
    rows.all_ran()


async def test_rows_of_approve_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Approve")
    async with (
        rooms(own_gateway, "editor", "boss") as (room, office),
        rows.running("see what waits", room=office) as waiting,
    ):
        asking = asyncio.create_task(rows.run("ask for a yes, and wait", room=room))
        request = await waiting.find(lambda one: getattr(one, "action", "") == "publish")
        await rows.run("decide", room=office, request=request)
        answer = (await asking)["answer"]
        assert (answer.approved, answer.content) == (True, {"title": "Tides"})

        printing = asyncio.create_task(room.approve.request("print", id="a-1"))
        await waiting.find(lambda one: one.id == "a-1")
        await rows.run("take a request back", room=room)
        assert not (await printing).approved
    rows.all_ran()


async def test_rows_of_tools_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Tools")
    async with agents(own_gateway, "editor", "counter") as (editor, counter):
        room = await editor.join("newsroom")
        async with (
            rows.running("provide a tool", me=counter),
            rows.running("see which there are", room=room) as changes,
        ):
            change = await changes.find(lambda change: change.card and change.card.providers)
            assert (change.card.name, change.card.description) == ("count", "counts words")
            assert (await rows.run("call one", room=room))["words"] == 2
    rows.all_ran()


async def test_rows_of_inbox_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Inbox")
    async with rooms(own_gateway, "editor", "wanda") as (editor, wanda):
        await rows.run("send a message", room=editor)
        async with rows.running("read your mail", room=wanda) as mail:
            message = await mail.find(lambda message: message.sender == "editor")
            assert message.value == {"lunch": "12:30"}
    rows.all_ran()


async def test_rows_of_presence_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Presence")
    async with rooms(own_gateway, "door", "wanda") as (door, wanda):
        await rows.run("say who you are", room=wanda)
        writers = (await rows.run("ask who is here", room=door))["writers"]
        assert [(one.agent, one.capacity) for one in writers] == [("wanda", 2)]
        async with rows.running("watch who comes and goes", room=door) as seen:
            await seen.find(lambda one: one.agent == "wanda" and one.presence.role == "writer")
            await rows.run("leave", room=wanda)
            await seen.find(lambda one: one.agent == "wanda" and one.presence is None)
    rows.all_ran()


async def test_rows_of_observe_do_what_they_say(own_gateway: Gateway) -> None:
    rows = Rows("Observe")
    async with rooms(own_gateway, "watcher", "wanda") as (watcher, wanda):
        async with (
            rows.running("hear what happens from now on", room=watcher) as heard,
            # Until somebody listens.
            again_and_again(lambda: rows.run("tell of something", room=wanda)),
        ):
            told = await heard.find(lambda event: event.category == "log")
            assert (told.source, told.payload) == ("wanda", {"cups": 2})
        page = (await rows.run("ask what has happened", room=watcher))["page"]
        assert [event.seq for event in page.events[:2]] == [1, 2]
        async with rows.running("follow it all, without a gap", room=watcher) as followed:
            for seq in range(1, len(page.events) + 1):
                assert (await followed.find(lambda _: True)).seq == seq
    rows.all_ran()


def files() -> list[Path]:
    found = [GUIDE, SDK / "README.md", *EXAMPLES.glob("*.py"), *SDK.glob("bench/*.py")]
    for folder in ("src", "tests", "tools"):
        found += (SDK / folder).rglob("*.py")
    conformance = SDK.parent / "conformance"
    return [*found, *conformance.rglob("*.py"), *conformance.glob("*.md")]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_lines_are_no_wider_than_a_page(path: Path) -> None:
    wide = [
        f"{path.name}:{number}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > WIDTH and not line.startswith("|") and "http" not in line
    ]
    assert not wide or path.name in ("messages.py", "sync.py"), wide
