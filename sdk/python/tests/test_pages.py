"""The guide and the examples: every block of code is run, and prints what the page says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hallward import sync
from hallward.testing import Gateway

SDK = Path(__file__).resolve().parent.parent
ROOT = SDK.parent.parent
GUIDE = ROOT / "docs/python.md"
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
