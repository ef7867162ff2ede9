"""A driver's process, and what it said."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any


class DriverGone(Exception):
    """It ended, or said something that is no line of JSON."""


class Driver:
    """Requests go in, answers and events come out, in whatever order."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.transcript: list[str] = []
        self.events: list[dict[str, Any]] = []
        """Those that no step has taken yet."""
        self._answers: dict[int, dict[str, Any]] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._broken: str | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                document = json.loads(line)
                known = "event" in document or "n" in document
            except ValueError:
                document, known = None, False
            with self._changed:
                self._say("<", line.decode(errors="replace").strip())
                if not known:
                    self._broken = f"{self.name} wrote what is no answer or event: {line!r:.200}"
                elif "event" in document:
                    self.events.append(document)
                else:
                    self._answers[document["n"]] = document
                self._changed.notify_all()
        with self._changed:
            self._broken = self._broken or f"{self.name} has ended"
            self._changed.notify_all()

    def _say(self, direction: str, line: str) -> None:
        self.transcript.append(f"{time.monotonic():.3f} {self.name} {direction} {line[:400]}")

    def ask(self, request: dict[str, Any]) -> int:
        with self._changed:
            self._count += 1
            number = self._count
            line = json.dumps({"n": number, **request})
            self._say(">", line)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise DriverGone(f"{self.name}: {error}") from error
        return number

    def answer(self, number: int, within: float) -> dict[str, Any] | None:
        """The answer to a request; `None` if it does not come in time."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self._broken, within)
            if number in self._answers:
                return self._answers.pop(number)
            if self._broken:
                raise DriverGone(self._broken)
            return None

    def wait_for(self, test: Any, within: float) -> bool:
        """Whether the events come to pass the test in time."""
        with self._changed:
            return bool(self._changed.wait_for(test, within))

    def term(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def exited(self, within: float) -> int | None:
        """Its exit code, once its output has been read to the end."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(within)
        return code

    def stderr(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-4_000:]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for one in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if one is not None:
                    one.close()
        self._errors.close()
