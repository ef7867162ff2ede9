"""Questions in the middle of a handler, and their answers.

A run's answers come with its assignment, all of them, in order. The n-th question of a handler
takes the n-th answer if it is there, and else suspends the handler until the assignment comes
again with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ._annotations import convert, schema
from .errors import Timeout


class Answers:
    """What was answered so far, and how many questions the handler has asked."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._known: list[Mapping[str, Any]] = []
        self._asked = 0
        self._waiting: asyncio.Future[None] | None = None
        self.learn(document)

    def learn(self, document: Mapping[str, Any]) -> None:
        """Takes the answers of an assignment that came (again)."""
        answers: list[Mapping[str, Any]] = document.get("answers") or []
        if len(answers) > len(self._known):
            self._known = sorted(answers, key=lambda one: one.get("ask", 0))
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)

    def next(self) -> int:
        """Counts one more question, from 1."""
        self._asked += 1
        return self._asked

    def has(self, number: int) -> bool:
        return len(self._known) >= number

    async def wait(self, number: int) -> None:
        while not self.has(number):
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def take(self, number: int, kind: Any) -> Any:
        """The answer to a question. Raises `Timeout` if nobody gave one in time."""
        known = self._known[number - 1]
        if known.get("timedOut"):
            raise Timeout(f"nobody answered question {number} in time")
        answer = known.get("answer")
        return answer if kind is None or isinstance(kind, Mapping) else convert(answer, kind)


def schema_of(kind: Any) -> Any:
    """The JSON Schema of an answer: given as such, or as a type."""
    given: Any = kind
    return given if kind is None or isinstance(kind, Mapping) else schema(kind)
