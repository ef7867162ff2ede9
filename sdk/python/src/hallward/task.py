"""What a handler of tasks has in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._durations import Duration
from .errors import HallwardError

if TYPE_CHECKING:
    from ._runs import TaskRun
    from .messages import Assignment

P = TypeVar("P")


class TaskOver(HallwardError):
    """This attempt is over for the gateway: cancelled, expired, or somebody else has it. Stop."""


class Task(Generic[P]):
    """An assignment, for an ``async def`` handler. `hallward.sync.Task` is the one for ``def``.

    ``payload`` is what the handler's annotation makes of it: ``Task[Facts]``.
    """

    def __init__(self, run: TaskRun, payload: P) -> None:
        self._run = run
        self.payload = payload

    @property
    def id(self) -> str:
        return self.assignment.task

    @property
    def type(self) -> str:
        return self.assignment.type

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.assignment.attempt

    @property
    def dispatcher(self) -> str:
        """Who wants it done."""
        return self.assignment.dispatcher

    @property
    def last_progress(self) -> Any:
        """What a worker said last of this task, perhaps an earlier one: go on from there."""
        return self.assignment.last_progress

    @property
    def assignment(self) -> Assignment:
        """All of it, as it came."""
        return self._run.assignment

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over for the gateway. A coroutine is cancelled then anyway."""
        return self._run.over

    async def progress(self, result: Any = None, *, timeout: Duration | None = None) -> None:
        """Says that we are at it. ``result`` goes to the dispatcher as a partial result, and to the
        next attempt as ``last_progress``. The lease is kept without it.

        Raises `TaskOver` if this attempt is over.
        """
        await self._run.progress(result, timeout)

    async def ask(
        self,
        question: Any,
        *,
        schema: Any = None,
        answerers: list[str] | None = None,
        timeout: Duration | None = None,
    ) -> Any:
        """Asks the dispatcher (or ``answerers``: agents, or ``role:NAME``). Returns the answer.

        Until it comes the task takes no place of this worker. If the worker is gone by then, the
        handler begins anew elsewhere, and each question that was answered already returns at once:
        so ask the same questions in the same order. ``schema``: a JSON Schema that the answer must
        fit, or a type. ``timeout``: 15 minutes if not said; then it raises `Timeout`.
        """
        return await self._run.ask(question, schema, answerers, timeout)

    def __repr__(self) -> str:
        return f"Task({self.id!r}, type={self.type!r}, attempt={self.attempt})"


class Call:
    """A call of a tool, for a handler that has a parameter of this type."""

    def __init__(self, run: Any) -> None:
        self._run = run

    @property
    def id(self) -> str:
        """``CALLER/ID``"""
        return str(self._run.call)

    @property
    def caller(self) -> str:
        return str(self._run.document["caller"])

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return bool(self._run.over)

    async def partial(self, result: Any) -> None:
        """Sends a part of the answer to the caller."""
        await self._run.partial(result)

    async def ask(
        self, question: Any, *, schema: Any = None, timeout: Duration | None = None
    ) -> Any:
        """Asks the caller something, and returns the answer."""
        return await self._run.ask(question, schema, None, timeout)
