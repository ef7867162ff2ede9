"""Handoff: work for whoever can do it, now or later, with exactly one final result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Union, cast

from ._codec import decode_object, unreadable
from ._commands import BUSY, FULL, wire
from ._durations import Duration, milliseconds, optional_milliseconds, seconds
from ._handlers import Handler
from ._link import Delivery
from ._names import checked, listed, new_id
from ._outcomes import AT_ONCE, IN_A_MOMENT, Look
from ._results import News, Result, Results, result_of
from ._scope import DEFAULT_WAIT, Listener, Scope, within
from ._streams import Stream
from .errors import HallwardError, ProtocolError, Timeout
from .messages import GroupResult, Priority, Redriven, TaskPage, TaskState, TaskView
from .questions import Question, answer

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Backoff:
    """The pause before the next attempt: ``initial``, then each ``factor`` times the last."""

    initial: Duration = "1s"
    factor: float = 2.0
    max: Duration = "1m"


class Named(Protocol):
    """What has an ``id``: the handle of a task."""

    @property
    def id(self) -> str: ...


class TaskOptions(TypedDict, total=False):
    """What a task may say of itself, besides its type and payload."""

    id: str
    """A name of your own (1 to 64 of ``A-Z a-z 0-9 _ . -``), so that a repeat, also after a
    restart, is the same task. Else a random one."""
    capabilities: list[str]
    """What its worker must be able to do, all of it; the type alone if not said."""
    any_of: list[str]
    """Besides, it must be able to do one of these."""
    priority: Priority
    not_before: Duration
    """So long before the first attempt."""
    ttl: Duration
    """If it has not ended by then, it is expired."""
    lease: Duration
    """How long its worker may be silent; 1 minute if not said."""
    max_attempts: int
    max_deliveries: int
    backoff: Backoff
    affinity: str
    """The same value prefers the same worker."""
    require_online: bool
    """Raise ``Unavailable`` if nobody online can do it now, instead of waiting."""
    correlation_id: str
    """Carried to the worker and into the results."""
    depends_on: list[Union[str, Named]]
    """Tasks that must succeed first."""
    parent: Union[str, Named]
    """The task that this one belongs to: cancelled with it."""
    group: str
    """Tasks of one group have one result together, besides: see `Handoff.group`."""
    group_size: int


class Handoff:
    """The tasks of a room: ``room.handoff``."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._results = Results(scope)

    # Dispatching

    async def dispatch(
        self,
        type: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        **options: Unpack[TaskOptions],
    ) -> TaskHandle:
        """Hands out a task. Returns once it is on disk at the gateway, with a handle for it.

        ``payload``: any JSON up to 256 KiB; dataclasses and models are written as objects.
        ``timeout``: of this call, 30 s if not said; it says nothing about the task (see ``ttl``).
        Raises what the gateway refuses: ``Conflict`` if the ``id`` was another task's,
        ``TooLarge``, ``TooMany``, ``Unavailable`` with ``require_online``, ….
        """
        body = _task(type, payload, options)
        again = FULL if options.get("require_online") else BUSY
        await self._scope.call("handoff/dispatch", body, timeout=timeout, again=again)
        return TaskHandle(self._scope, self._results, body["id"], looked_for="id" in options)

    async def run(
        self,
        type: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        cancel: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Result:
        """Dispatches a task and waits for what it comes to.

        ``timeout``: for the result; a little longer than the task's ``ttl``, or 15 minutes, if not
        said. ``cancel``: take the task back when this call ends early, by time or by cancellation.
        Raises `TaskFailed`, `TaskExpired`, `TaskCancelled`; `Timeout`, whose ``handle`` goes on
        waiting.
        """
        handle = await self.dispatch(type, payload, **options)
        try:
            wait = _patience(options) if timeout is None else timeout
            return await handle.result(timeout=wait)
        except (Timeout, asyncio.CancelledError):
            if cancel:
                with suppress(HallwardError):
                    await asyncio.shield(handle.cancel("its dispatcher waits no longer"))
            raise

    async def stream(
        self,
        type: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        **options: Unpack[TaskOptions],
    ) -> AsyncGenerator[News, None]:
        """Dispatches a task and iterates over what it sends: partial results, questions
        (`Question`), and at last its final result. Raises as `run` does.
        """
        handle = await self.dispatch(type, payload, **options)
        wait = _patience(options) if timeout is None else timeout
        async with aclosing(handle.stream(timeout=wait)) as news:
            async for one in news:
                yield one

    def task(self, id: str) -> TaskHandle:
        """The handle of a task that was dispatched before, perhaps by an earlier program."""
        return TaskHandle(self._scope, self._results, checked("task", id), looked_for=True)

    # Results

    def on_result(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `Result` of this agent's tasks, partial ones too.

        A result is acknowledged when its handler has returned. If that raises, it is called again
        after a while, until it has not (or raises `Fatal`). Register it before you dispatch: what
        came before is kept for a while only.
        """
        self._scope.handlers.spawn(self._results.ready(), "results")
        return self._results.handle(handler)

    def results(self) -> Stream[Result]:
        """Every `Result` of this agent's tasks; asking for the next one acknowledges the last."""
        stream = cast("Stream[Result]", self._scope.stream("results", limit=None))
        self._scope.handlers.spawn(self._results.ready(), "results")
        listener = self._results.add(stream.put)
        stream.on_close(listener.stop)
        return stream

    async def group(self, name: str, *, timeout: Duration = DEFAULT_WAIT) -> GroupResult:
        """Waits until all tasks of a group have ended, and returns what each came to."""
        return await within(self._results.group(name), timeout, f"group {name}")

    # Questions

    def on_question(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `Question` about this agent's tasks. What it returns is
        the answer, unless that is ``None``: then somebody else may give it.
        """

        async def reply(question: Question) -> None:
            value = await self._scope.handlers.call(handler, question)
            if value is not None:
                await question.answer(value)

        def ask(question: Question) -> None:
            self._scope.handle(f"question of {question.task}", reply, question, lambda: None)

        self._scope.handlers.spawn(self._results.ready(), "results")
        return self._results.on_question(ask)

    async def questions(self) -> Stream[Question]:
        """Every open question of the room that this agent may read, those that stand first."""
        stream = cast("Stream[Question]", self._scope.stream("questions"))

        def received(delivery: Delivery) -> None:
            delivery.ack()
            if delivery.payload:
                stream.put(Question.of(self._scope, decode_object(delivery.payload)))

        route = await self._scope.subscribe("handoff/asking/+", received, retained=True)
        stream.on_close(lambda: self._scope.link.unsubscribe(route))
        return stream

    async def answer(
        self,
        task: str,
        attempt: int,
        value: Any,
        *,
        ask: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Answers the question of a task. See `Question.answer`."""
        await answer(self._scope, task, attempt, ask, value, timeout)

    # Looking, and changing one's mind

    async def get(
        self, task: str, *, payload: bool = False, timeout: Duration | None = None
    ) -> TaskView:
        """Where a task stands, with its final result once it has ended. Raises ``NotFound``."""
        body = wire(task=checked("task", task), payload=payload or None)
        reply = await self._scope.call("handoff/get", body, timeout=timeout)
        return TaskView.read(reply.data)

    async def page(
        self,
        *,
        state: TaskState | list[TaskState] | None = None,
        type: str | None = None,
        capability: str | None = None,
        dispatcher: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        newest_first: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
    ) -> TaskPage:
        """A page of tasks that meet all conditions. Times are Unix milliseconds; ``limit`` is 1 to
        200. There is another page as long as it has a ``cursor``.
        """
        body = wire(
            state=state,
            type=type,
            capability=capability,
            dispatcher=dispatcher,
            created_after=created_after,
            created_before=created_before,
            newest_first=newest_first,
            limit=limit,
            cursor=cursor,
        )
        reply = await self._scope.call("handoff/list", body, timeout=timeout)
        return TaskPage.read(reply.data)

    async def list(
        self,
        *,
        state: TaskState | list[TaskState] | None = None,
        type: str | None = None,
        capability: str | None = None,
        dispatcher: str | None = None,
        newest_first: bool | None = None,
    ) -> AsyncIterator[TaskView]:
        """All tasks that meet the conditions, page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                state=state,
                type=type,
                capability=capability,
                dispatcher=dispatcher,
                newest_first=newest_first,
                cursor=cursor,
            )
            for view in page.tasks:
                yield view
            cursor = page.cursor
            if cursor is None:
                return

    async def cancel(
        self, task: str, reason: str | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Cancels a task and all that belongs to it. Raises ``Conflict`` if it has ended."""
        body = wire(task=checked("task", task), reason=reason, id=new_id())
        await self._scope.call("handoff/cancel", body, timeout=timeout)

    async def cancel_group(
        self, group: str, reason: str | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Cancels what has not ended of a group of one's own."""
        body = wire(group=group, reason=reason, id=new_id())
        await self._scope.call("handoff/cancel", body, timeout=timeout)

    async def redrive(self, task: str, *, timeout: Duration | None = None) -> None:
        """Gives a dead task another chance. It ends with another final result."""
        body = wire(task=checked("task", task), id=new_id())
        await self._scope.call("handoff/redrive", body, timeout=timeout)

    async def redrive_all(
        self,
        type: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
    ) -> Redriven:
        """Gives dead tasks of a type another chance, the oldest first, up to ``limit`` (100)."""
        body = wire(type=type, limit=limit, cursor=cursor, id=new_id())
        reply = await self._scope.call("handoff/redrive", body, timeout=timeout)
        return Redriven.read(reply.data)


class TaskHandle:
    """A task that was dispatched. It is no awaitable: wait for `result`."""

    def __init__(self, scope: Scope, results: Results, id: str, *, looked_for: bool) -> None:
        self._scope = scope
        self._results = results
        self._looked_for = looked_for
        """Whether its result may have come, and been acknowledged, before this program began."""
        self._id = id

    @property
    def id(self) -> str:
        """The task's id."""
        return self._id

    def __repr__(self) -> str:
        return f"TaskHandle({self.id!r})"

    async def result(self, *, timeout: Duration = DEFAULT_WAIT) -> Result:
        """Waits for the final result, which is asked for if it has come and gone already.

        Raises `TaskFailed`, `TaskExpired`, `TaskCancelled`; ``NotFound`` if there is no such task;
        `Timeout`, which ends nothing but the wait.
        """

        return await within(self._last(), timeout, f"result of {self.id}", self)

    async def _last(self) -> Result:
        async with aclosing(self._news(AT_ONCE)) as news:
            async for one in news:
                if isinstance(one, Result) and one.final:
                    return one.or_raise()
        raise AssertionError("news end with a final result")

    async def stream(self, *, timeout: Duration = DEFAULT_WAIT) -> AsyncGenerator[News, None]:
        """Partial results and questions as they come, and at last the final result. ``timeout`` is
        for the whole of it. Raises as `result` does.
        """
        deadline = asyncio.get_running_loop().time() + seconds(timeout)
        news = self._news(IN_A_MOMENT)
        try:
            while True:
                left = max(0.0, deadline - asyncio.get_running_loop().time())
                what = f"result of {self.id}"
                one = await within(news.__anext__(), timedelta(seconds=left), what, self)
                yield one.or_raise() if isinstance(one, Result) else one
                if isinstance(one, Result) and one.final:
                    return
        finally:
            await news.aclose()

    async def _news(self, look: float) -> AsyncGenerator[News, None]:
        """What comes, up to the final result, wherever that must be got from."""
        may_be_gone = self._looked_for or self._results.may_be_gone(self.id)
        async with self._results.follow(self.id, look=look if may_be_gone else None) as stream:
            await self._results.ready()
            async for one in stream:
                news = await self._look() if isinstance(one, Look) else one
                if news is not None:
                    yield news
                if isinstance(news, Result) and news.final:
                    return

    async def _look(self) -> Result | None:
        try:
            return result_of(await self.get())
        except ProtocolError as error:
            raise unreadable(f"the result of {self.id}", error) from None

    async def get(self, *, payload: bool = False, timeout: Duration | None = None) -> TaskView:
        """Where it stands."""
        body = wire(task=self.id, payload=payload or None)
        reply = await self._scope.call("handoff/get", body, timeout=timeout)
        return TaskView.read(reply.data)

    async def cancel(self, reason: str | None = None, *, timeout: Duration | None = None) -> None:
        """Cancels it, and all that belongs to it. Raises ``Conflict`` if it has ended."""
        body = wire(task=self.id, reason=reason, id=new_id())
        await self._scope.call("handoff/cancel", body, timeout=timeout)


def _task(type: str, payload: Any, options: TaskOptions) -> dict[str, Any]:
    if unknown := options.keys() - TaskOptions.__annotations__.keys():
        raise TypeError(f"a task has no option {min(unknown)!r}")
    for field in ("capabilities", "any_of"):
        if options.get(field) is not None:
            listed(field, options.get(field))
    backoff = options.get("backoff")
    parent = options.get("parent")
    body = wire(
        id=checked("task", options["id"]) if "id" in options else new_id(),
        type=checked("type", type),
        payload=payload,
        capabilities=options.get("capabilities"),
        any_of=options.get("any_of"),
        priority=options.get("priority"),
        not_before_ms=optional_milliseconds(options.get("not_before")),
        ttl_ms=optional_milliseconds(options.get("ttl")),
        lease_ms=optional_milliseconds(options.get("lease")),
        max_attempts=options.get("max_attempts"),
        max_deliveries=options.get("max_deliveries"),
        affinity=options.get("affinity"),
        require_online=options.get("require_online"),
        correlation_id=options.get("correlation_id"),
        depends_on=[_id(one) for one in listed("depends_on", options.get("depends_on", ()))]
        or None,
        parent=None if parent is None else _id(parent),
        group=options.get("group"),
        group_size=options.get("group_size"),
    )
    if backoff is not None:
        body["backoff"] = {
            "initialMs": milliseconds(backoff.initial),
            "factor": backoff.factor,
            "maxMs": milliseconds(backoff.max),
        }
    from . import _trace

    return {**body, **_trace.current()}


def _patience(options: TaskOptions) -> Duration:
    """How long to wait for a result, if nobody says. With a ``ttl`` there is one by then."""
    ttl = options.get("ttl")
    return DEFAULT_WAIT if ttl is None else milliseconds(ttl) + 30_000


def _id(task: str | Named) -> str:
    return task if isinstance(task, str) else task.id
