"""One assignment, or one call of a tool, from its arrival to its end."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import _trace
from ._asking import Answers, schema_of
from ._codec import encode
from ._commands import BUSY, wire
from ._deadline import TimeIsUp, in_time
from ._durations import Duration, in_words, optional_milliseconds
from ._leases import Leases
from ._names import new_id
from ._scope import Scope
from .errors import (
    Conflict,
    Disconnected,
    Expired,
    Fatal,
    HallwardError,
    Invalid,
    Malformed,
    NotFound,
    Refused,
    Retry,
    Timeout,
    TooLarge,
)
from .messages import Assignment
from .task import TaskOver

logger = logging.getLogger("hallward")

R = TypeVar("R")

SAID = "attempt-"
"""So begins the correlation id of an update that nobody waits for; then come attempt and task."""
_MAX_WORDS = 1_800
_UNTIL_ANSWERED: Duration = "1d"
"""How long we try to tell how a task ended; by then somebody else has long had it."""


@dataclass(frozen=True)
class Host:
    """What runs have of their worker."""

    scope: Scope
    leases: Leases
    grace: float
    """Seconds that a handler which was cancelled may go on."""
    changed: Callable[[Run, str], None] = field(repr=False)
    """Told of ``started``, ``asking``, ``over`` (the gateway wants no more of it), how the handler
    ended (``returned``, ``raised``, ``cancelled``), and at last ``ended``, when that is told."""


class Run(ABC):
    """A handler at work, and what the gateway is told of it."""

    def __init__(self, host: Host, name: str, timeout: float | None) -> None:
        self.host = host
        self.name = name
        self.over = False
        """The gateway wants no more of it."""
        self.released = False
        """We do not want it any more: the worker stops."""
        self.asking = False
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None

    # What kinds of runs do differently

    @abstractmethod
    async def handle(self) -> Any:
        """Calls the user's handler."""

    @abstractmethod
    async def succeed(self, result: Any) -> None: ...

    @abstractmethod
    async def fail(self, error: Exception) -> None: ...

    @abstractmethod
    async def release(self) -> None: ...

    @abstractmethod
    def finish(self) -> None:
        """It has ended, and the gateway knows how."""

    # Its life

    def start(self) -> None:
        self._task = self.host.scope.handlers.spawn(self._live(), self.name)

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._task

    def stop(self, *, over: bool) -> None:
        """Cancels the handler: the gateway wants no more of it (``over``), or we do not."""
        if over and not self.over:
            self.over = True
            self.host.changed(self, "over")
        self.released = self.released or not over
        if self._task is not None:
            self._task.cancel()

    async def _live(self) -> None:
        outcome = "cancelled"
        try:
            result = await self._in_time(self.handle())
            outcome = "returned"
            self.host.changed(self, outcome)
            await self._tell(self.succeed, result)
        except asyncio.CancelledError:
            if outcome == "cancelled":
                self.host.changed(self, outcome)
            if not self.over:
                await asyncio.shield(self._tell(self.release))
            if not (self.over or self.released):
                raise
        except TaskOver:
            self.host.changed(self, "cancelled")
        except Exception as error:
            self.host.changed(self, "raised")
            if not isinstance(error, (Retry, Fatal)):
                logger.exception("%s", self.name)
            await self._tell(self.fail, error)
        finally:
            self.finish()
            self.host.changed(self, "ended")

    async def _in_time(self, work: Awaitable[R]) -> R:
        limit = self._timeout
        try:
            return await in_time(work, limit, grace=self.host.grace, name=self.name)
        except TimeIsUp:
            raise Timeout(f"it took longer than {in_words(limit or 0)}") from None

    async def _tell(self, how: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Tells the gateway how it ended; that may be of no interest any more."""
        if self.over:
            return
        try:
            await how(*arguments)
        except (Conflict, Expired, NotFound) as late:
            logger.info("%s: came too late: %s", self.name, late)
        except Disconnected:
            logger.warning("%s: the agent is closed, its outcome was not told", self.name)
        except HallwardError:
            logger.exception("%s: its outcome could not be told", self.name)


def words_of(error: BaseException) -> str:
    """An error in a line, for whoever waits for a result."""
    text = str(error) or type(error).__name__
    return text if len(text) <= _MAX_WORDS else text[: _MAX_WORDS - 1] + "…"


def code_of(error: Exception) -> str | None:
    """A short name of an error."""
    if isinstance(error, Fatal):
        return error.code
    if isinstance(error, Retry):
        return None
    if isinstance(error, Timeout):
        return "timeout"
    return type(error).__name__


class TaskRun(Run):
    """An attempt at a task."""

    def __init__(
        self,
        host: Host,
        document: Mapping[str, Any],
        handler: Callable[[TaskRun], Awaitable[Any]],
        timeout: float | None,
    ) -> None:
        self.assignment = Assignment.read(document)
        super().__init__(host, f"task {self.assignment.task}", timeout)
        self.answers = Answers(document)
        self._handler = handler

    @property
    def key(self) -> tuple[str, int]:
        return self.assignment.task, self.assignment.attempt

    async def handle(self) -> Any:
        self.host.changed(self, "started")
        self._say("accepted")
        self._keep_lease()
        with _trace.restored(self.assignment.traceparent, self.assignment.tracestate):
            return await self._handler(self)

    def _say(self, status: str) -> None:
        """Tells without waiting, from any thread. The reply says which attempt it was about."""
        scope, assignment = self.host.scope, self.assignment
        body = {
            "task": assignment.task,
            "attempt": assignment.attempt,
            "status": status,
            "correlationId": f"{SAID}{assignment.attempt}/{assignment.task}",
        }
        payload = encode(body, scope.commands.encoding)
        scope.link.send_from_thread(scope.topic("handoff/update", scope.me), payload)

    def _keep_lease(self) -> None:
        lease, limit = self.assignment.lease_ms, self._timeout
        self.host.leases.keep(self.key, lease, lambda: self._say("progress"), limit)

    def _drop_lease(self) -> None:
        self.host.leases.drop(self.key)

    async def _update(self, timeout: Duration | None, **fields: Any) -> None:
        body = {
            "task": self.assignment.task,
            "attempt": self.assignment.attempt,
            "id": new_id(),
            **fields,
        }
        await self.host.scope.call("handoff/update", body, timeout=timeout, again=BUSY)

    async def succeed(self, result: Any) -> None:
        fields: dict[str, Any] = {} if result is None else {"result": result}
        try:
            await self._update(_UNTIL_ANSWERED, status="success", **fields)
        except (Malformed, TooLarge, Invalid) as refused:
            logger.error("%s: its result was refused: %s", self.name, refused)
            await self.fail(Fatal(f"its result was refused: {refused.reason}", code="result"))

    async def fail(self, error: Exception) -> None:
        described = {"message": words_of(error), "retryable": not isinstance(error, Fatal)}
        if (code := code_of(error)) is not None:
            described["code"] = code
        fields: dict[str, Any] = {"error": described}
        if isinstance(error, Retry) and error.result is not None:
            fields["result"] = error.result
        await self._update(_UNTIL_ANSWERED, status="error", **fields)

    async def release(self) -> None:
        self._drop_lease()
        await self._update(None, status="release")

    def finish(self) -> None:
        self._drop_lease()

    async def progress(self, result: Any, timeout: Duration | None) -> None:
        self._check()
        fields: dict[str, Any] = {} if result is None else {"result": result}
        try:
            await self._update(timeout, status="progress", **fields)
        except (Conflict, Expired, NotFound) as over:
            self.over = True
            raise TaskOver(over.reason, code=over.code) from None

    def _check(self) -> None:
        if self.over:
            raise TaskOver(f"attempt {self.assignment.attempt} of {self.assignment.task} is over")

    async def ask(
        self, question: Any, kind: Any, answerers: list[str] | None, timeout: Duration | None
    ) -> Any:
        self._check()
        number = self.answers.next()
        if not self.answers.has(number):
            fields = wire(ttl_ms=optional_milliseconds(timeout))
            if kind is not None:
                fields["schema"] = schema_of(kind)
            if answerers is not None:
                fields["answerers"] = answerers
            self._drop_lease()
            self.asking = True
            self.host.changed(self, "asking")
            try:
                await self._update(None, status="input", question=question, **fields)
                await self.answers.wait(number)
            finally:
                self.asking = False
            self._keep_lease()
        return self.answers.take(number, kind)


class ToolRun(Run):
    """A call of a tool."""

    def __init__(
        self,
        host: Host,
        document: Mapping[str, Any],
        handler: Callable[[ToolRun], Awaitable[Any]],
        timeout: float | None,
    ) -> None:
        self.document = document
        self.call: str = document["call"]
        super().__init__(host, f"call {self.call} of {document['tool']}", timeout)
        self.answers = Answers(document)
        self._handler = handler

    async def handle(self) -> Any:
        self.host.changed(self, "started")
        trace = self.document.get("traceparent"), self.document.get("tracestate")
        with _trace.restored(*trace):
            return await self._handler(self)

    async def _return(self, **fields: Any) -> None:
        body = {"call": self.call, "id": new_id(), **fields}
        await self.host.scope.call("tools/return", body)

    async def succeed(self, result: Any) -> None:
        fields: dict[str, Any] = {} if result is None else {"result": result}
        try:
            await self._return(status="success", **fields)
        except (Malformed, TooLarge, Invalid) as refused:
            logger.error("%s: its answer was refused: %s", self.name, refused)
            await self.fail(Fatal(f"its answer was refused: {refused.reason}", code="result"))

    async def fail(self, error: Exception) -> None:
        described = {"message": words_of(error)}
        if (code := code_of(error)) is not None:
            described["code"] = code
        await self._return(status="error", error=described)

    async def release(self) -> None:
        await self.fail(Fatal("its provider stops", code="provider-stops"))

    def finish(self) -> None:
        """A call has no lease: nothing is left of it."""

    async def partial(self, result: Any) -> None:
        try:
            await self._return(status="partial", result=result)
        except Refused as over:
            self.over = isinstance(over, (Conflict, Expired, NotFound))
            raise TaskOver(over.reason, code=over.code) from None

    async def ask(
        self, question: Any, kind: Any, answerers: list[str] | None, timeout: Duration | None
    ) -> Any:
        number = self.answers.next()
        if not self.answers.has(number):
            fields = wire(ttl_ms=optional_milliseconds(timeout))
            if kind is not None:
                fields["schema"] = schema_of(kind)
            await self._return(status="input", question=question, **fields)
            await self.answers.wait(number)
        return self.answers.take(number, kind)
