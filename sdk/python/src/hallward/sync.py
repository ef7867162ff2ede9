"""The same API for plain code: the same names, without ``await``.

    with hallward.sync.connect("mqtt://localhost", agent="editor") as me:
        room = me.join("newsroom")
        facts = room.handoff.run("research", {"query": "tides"})

Written by `tools/generate_sync.py`: do not edit.
"""

# ruff: noqa: E501, I001
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Literal, TYPE_CHECKING, TypeVar, Union

from . import agent as _agent
from . import approve as _approve
from . import blackboard as _blackboard
from . import handoff as _handoff
from . import inbox as _inbox
from . import observe as _observe
from . import presence as _presence
from . import questions as _questions
from . import room as _room
from . import task as _task
from . import tools as _tools
from ._scope import Listener as _Listener
from ._streams import Stream as _Stream
from ._codec import Encoding
from ._commands import UNSET
from ._durations import Duration
from ._handlers import Handler
from ._link import ConnectionStatus
from ._portal import Portal
from ._results import Result
from ._scope import DEFAULT_WAIT, Scope
from .approve import Pending
from .blackboard import Change, Stored
from .errors import Timeout
from .handoff import TaskOptions
from .inbox import InboxMessage
from .messages import (
    ApprovalState,
    Assignment,
    AuditPage,
    AuditedApproval,
    CallView,
    ConnectionState,
    Decision,
    Entry,
    Event,
    Fence,
    GroupResult,
    KeyLine,
    OnTimeout,
    PendingApproval,
    Presence,
    Redriven,
    ReplayPage,
    Snapshot,
    Status,
    TaskPage,
    TaskState,
    TaskView,
    ToolCard,
    Version,
    Written,
)
from .observe import Moment, Observed
from .presence import Seen
from .tools import CardChange, Part
from .worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
P = TypeVar("P")

__all__ = [
    "Agent",
    "Approve",
    "Blackboard",
    "Call",
    "Events",
    "Handoff",
    "Inbox",
    "Listener",
    "Lock",
    "Observe",
    "PresenceOf",
    "Question",
    "Raw",
    "Room",
    "Stream",
    "Task",
    "TaskHandle",
    "ToolQuestion",
    "Tools",
    "Transaction",
    "Worker",
    "connect",
]


class _Twin:
    """What stands for an asynchronous object."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: Any) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)

    def _wrap(self, value: Any) -> Any:
        """Its own kind, for what is asynchronous; anything else as it is."""
        twin = _TWINS.get(type(value))  # pyright: ignore[reportUnknownArgumentType]
        return value if twin is None else twin(self._portal, value)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._wrap(self._portal.call(work))
        except Timeout as late:
            late.handle = self._wrap(late.handle)
            raise

    def _run(self, function: Callable[[], Any]) -> Any:
        return self._wrap(self._portal.run(function))

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        for item in self._portal.iterate(items):
            yield self._wrap(item)

    def _wrapping(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda argument: handler(self._wrap(argument))


class Listener(_Twin):
    """A handler that was registered. ``stop()`` ends that."""

    __slots__ = ()

    def stop(self) -> None:
        """The handler gets nothing new; what it is at, it may finish."""
        self._run(lambda: self._inner.stop())


class Stream(_Twin, Generic[T]):
    """What comes, one after the other, also over reconnects.

    Asking for the next item acknowledges the last one, so an item whose body raised comes again
    after a restart. It ends when it is closed, and raises when its agent is closed (`Disconnected`,
    `SessionTaken`) or when it is read too slowly (`Overflow`); it never just falls silent.

    ``with`` closes it; so does `aclose`.
    """

    __slots__ = ()

    @property
    def waiting(self) -> int:
        """How many items wait to be read."""
        return self._wrap(self._inner.waiting)

    def ack(self) -> None:
        """Acknowledges the last item, without asking for the next."""
        self._run(lambda: self._inner.ack())

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._call(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def aclose(self) -> None:
        """Ends it. What was not read stays unacknowledged."""
        self._call(self._inner.aclose())

    def __enter__(self) -> Stream[T]:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.call(self._inner.__aexit__(kind, error, trace))


class Task(_Twin, Generic[P]):
    """An assignment, for an ``def`` handler. `hallward.sync.Task` is the one for ``def``.

    ``payload`` is what the handler's annotation makes of it: ``Task[Facts]``.
    """

    __slots__ = ()

    @classmethod
    def of(cls, inner: _task.Task[P]) -> Task[P]:
        """For a plain handler that an asynchronous worker calls in a thread."""
        return cls(Portal.here(), inner)

    @property
    def payload(self) -> P:
        return self._wrap(self._inner.payload)

    @property
    def id(self) -> str:
        return self._wrap(self._inner.id)

    @property
    def type(self) -> str:
        return self._wrap(self._inner.type)

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._wrap(self._inner.attempt)

    @property
    def dispatcher(self) -> str:
        """Who wants it done."""
        return self._wrap(self._inner.dispatcher)

    @property
    def last_progress(self) -> Any:
        """What a worker said last of this task, perhaps an earlier one: go on from there."""
        return self._wrap(self._inner.last_progress)

    @property
    def assignment(self) -> Assignment:
        """All of it, as it came."""
        return self._wrap(self._inner.assignment)

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over for the gateway. A coroutine is cancelled then anyway."""
        return self._wrap(self._inner.cancelled)

    def progress(self, result: Any = None, *, timeout: Duration | None = None) -> None:
        """Says that we are at it. ``result`` goes to the dispatcher as a partial result, and to the
        next attempt as ``last_progress``. The lease is kept without it.

        Raises `TaskOver` if this attempt is over.
        """
        self._call(self._inner.progress(result, timeout=timeout))

    def ask(
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
        return self._call(self._inner.ask(question, schema=schema, answerers=answerers, timeout=timeout))


class Call(_Twin):
    """A call of a tool, for a handler that has a parameter of this type."""

    __slots__ = ()

    @classmethod
    def of(cls, inner: _task.Call) -> Call:
        """For a plain handler that an asynchronous worker calls in a thread."""
        return cls(Portal.here(), inner)

    @property
    def id(self) -> str:
        """``CALLER/ID``"""
        return self._wrap(self._inner.id)

    @property
    def caller(self) -> str:
        return self._wrap(self._inner.caller)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._wrap(self._inner.cancelled)

    def partial(self, result: Any) -> None:
        """Sends a part of the answer to the caller."""
        self._call(self._inner.partial(result))

    def ask(self, question: Any, *, schema: Any = None, timeout: Duration | None = None) -> Any:
        """Asks the caller something, and returns the answer."""
        return self._call(self._inner.ask(question, schema=schema, timeout=timeout))


class Question(_Twin):
    """What a worker wants to know before it goes on with a task.

    ``ask`` counts the questions of the task, from 1; ``schema`` is the JSON Schema that an answer
    must fit, if there is one; ``expires_at`` is in Unix milliseconds.
    """

    __slots__ = ()

    @property
    def task(self) -> str:
        return self._wrap(self._inner.task)

    @property
    def task_type(self) -> str | None:
        return self._wrap(self._inner.task_type)

    @property
    def attempt(self) -> int | None:
        return self._wrap(self._inner.attempt)

    @property
    def ask(self) -> int:
        return self._wrap(self._inner.ask)

    @property
    def question(self) -> Any:
        return self._wrap(self._inner.question)

    @property
    def schema(self) -> dict[str, Any] | None:
        return self._wrap(self._inner.schema)

    @property
    def answerers(self) -> list[str]:
        return self._wrap(self._inner.answerers)

    @property
    def worker(self) -> str | None:
        return self._wrap(self._inner.worker)

    @property
    def expires_at(self) -> int | None:
        return self._wrap(self._inner.expires_at)

    def answer(self, value: Any, *, timeout: Duration | None = None) -> None:
        """Answers it. Raises ``Invalid`` with the ``path`` if the answer does not fit the schema,
        and ``Conflict`` if the task is not asking this any more.
        """
        self._call(self._inner.answer(value, timeout=timeout))


class TaskHandle(_Twin):
    """A task that was dispatched. It is no awaitable: wait for `result`."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The task's id."""
        return self._wrap(self._inner.id)

    def result(self, *, timeout: Duration = DEFAULT_WAIT) -> Result:
        """Waits for the final result, which is asked for if it has come and gone already.

        Raises `TaskFailed`, `TaskExpired`, `TaskCancelled`; ``NotFound`` if there is no such task;
        `Timeout`, which ends nothing but the wait.
        """
        return self._call(self._inner.result(timeout=timeout))

    def stream(self, *, timeout: Duration = DEFAULT_WAIT) -> Iterator[News]:
        """Partial results and questions as they come, and at last the final result. ``timeout`` is
        for the whole of it. Raises as `result` does.
        """
        return self._iterate(self._inner.stream(timeout=timeout))

    def get(self, *, payload: bool = False, timeout: Duration | None = None) -> TaskView:
        """Where it stands."""
        return self._call(self._inner.get(payload=payload, timeout=timeout))

    def cancel(self, reason: str | None = None, *, timeout: Duration | None = None) -> None:
        """Cancels it, and all that belongs to it. Raises ``Conflict`` if it has ended."""
        self._call(self._inner.cancel(reason, timeout=timeout))


class Handoff(_Twin):
    """The tasks of a room: ``room.handoff``."""

    __slots__ = ()

    def dispatch(
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
        return self._call(self._inner.dispatch(type, payload, timeout=timeout, **options))

    def run(
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
        return self._call(self._inner.run(type, payload, timeout=timeout, cancel=cancel, **options))

    def stream(
        self,
        type: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
        **options: Unpack[TaskOptions],
    ) -> Iterator[News]:
        """Dispatches a task and iterates over what it sends: partial results, questions
        (`Question`), and at last its final result. Raises as `run` does.
        """
        return self._iterate(self._inner.stream(type, payload, timeout=timeout, **options))

    def task(self, id: str) -> TaskHandle:
        """The handle of a task that was dispatched before, perhaps by an earlier program."""
        return self._run(lambda: self._inner.task(id))

    def on_result(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `Result` of this agent's tasks, partial ones too.

        A result is acknowledged when its handler has returned. If that raises, it is called again
        after a while, until it has not (or raises `Fatal`). Register it before you dispatch: what
        came before is kept for a while only.
        """
        return self._run(lambda: self._inner.on_result(handler))

    def results(self) -> Stream[Result]:
        """Every `Result` of this agent's tasks; asking for the next one acknowledges the last."""
        return self._run(lambda: self._inner.results())

    def group(self, name: str, *, timeout: Duration = DEFAULT_WAIT) -> GroupResult:
        """Waits until all tasks of a group have ended, and returns what each came to."""
        return self._call(self._inner.group(name, timeout=timeout))

    def on_question(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `Question` about this agent's tasks. What it returns is
        the answer, unless that is ``None``: then somebody else may give it.
        """
        return self._run(lambda: self._inner.on_question(self._wrapping(handler)))

    def questions(self) -> Stream[Question]:
        """Every open question of the room that this agent may read, those that stand first."""
        return self._call(self._inner.questions())

    def answer(
        self,
        task: str,
        attempt: int,
        value: Any,
        *,
        ask: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Answers the question of a task. See `Question.answer`."""
        self._call(self._inner.answer(task, attempt, value, ask=ask, timeout=timeout))

    def get(self, task: str, *, payload: bool = False, timeout: Duration | None = None) -> TaskView:
        """Where a task stands, with its final result once it has ended. Raises ``NotFound``."""
        return self._call(self._inner.get(task, payload=payload, timeout=timeout))

    def page(
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
        return self._call(self._inner.page(state=state, type=type, capability=capability, dispatcher=dispatcher, created_after=created_after, created_before=created_before, newest_first=newest_first, limit=limit, cursor=cursor, timeout=timeout))

    def list(
        self,
        *,
        state: TaskState | list[TaskState] | None = None,
        type: str | None = None,
        capability: str | None = None,
        dispatcher: str | None = None,
        newest_first: bool | None = None,
    ) -> Iterator[TaskView]:
        """All tasks that meet the conditions, page by page."""
        return self._iterate(self._inner.list(state=state, type=type, capability=capability, dispatcher=dispatcher, newest_first=newest_first))

    def cancel(
        self,
        task: str,
        reason: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Cancels a task and all that belongs to it. Raises ``Conflict`` if it has ended."""
        self._call(self._inner.cancel(task, reason, timeout=timeout))

    def cancel_group(
        self,
        group: str,
        reason: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Cancels what has not ended of a group of one's own."""
        self._call(self._inner.cancel_group(group, reason, timeout=timeout))

    def redrive(self, task: str, *, timeout: Duration | None = None) -> None:
        """Gives a dead task another chance. It ends with another final result."""
        self._call(self._inner.redrive(task, timeout=timeout))

    def redrive_all(
        self,
        type: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
    ) -> Redriven:
        """Gives dead tasks of a type another chance, the oldest first, up to ``limit`` (100)."""
        return self._call(self._inner.redrive_all(type, limit=limit, cursor=cursor, timeout=timeout))


class Inbox(_Twin):
    """This agent's inbox in a room: ``room.inbox``.

    ``for message in room.inbox`` reads it; asking for the next message acknowledges the last.
    """

    __slots__ = ()

    def send(self, to: str, message: Any, *, timeout: Duration | None = None) -> None:
        """Sends a message. Returns once it is on disk.

        ``message``: bytes go as they are, anything else as JSON, also text, and whatever the agent
        speaks (nobody translates what is in an inbox); up to 256 KiB. It waits for up to 7 days,
        whether ``to`` is here or not.
        Raises ``TooLarge``, and ``TooMany`` if that mailbox is full.
        """
        self._call(self._inner.send(to, message, timeout=timeout))

    def listen(self) -> Stream[InboxMessage]:
        """Messages as they come. Use it as ``with``, or close it; two at the same time both
        get every message.
        """
        return self._call(self._inner.listen())

    def on_message(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every message; several at the same time, so that a slow one
        holds up nobody.

        A message is acknowledged when its handler has returned. If that raises, it is called again
        after a while, until it has not (or raises `Fatal`).
        """
        return self._run(lambda: self._inner.on_message(handler))

    def __iter__(self) -> Inbox:
        return self

    def __next__(self) -> InboxMessage:
        try:
            return self._call(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def ack(self) -> None:
        """Acknowledges the last message of ``for``, without asking for the next."""
        self._run(lambda: self._inner.ack())


class Transaction(_Twin):
    """Writes that happen together or not at all, at most 128.

    ::

        with room.blackboard.txn() as txn:
            txn.check("plan", if_version=3)
            txn.set("plan/current", 2)

    All conditions are about the room as it was before. `commit` raises ``Conflict`` with the
    ``path`` of the operation (``ops[1]``) and ``current``.
    """

    __slots__ = ()

    def set(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        merge: bool = False,
        ttl: Duration | None = None,
    ) -> Transaction:
        """Writes a key."""
        self._run(lambda: self._inner.set(key, value, if_version=if_version, merge=merge, ttl=ttl))
        return self

    def delete(self, key: str, *, if_version: int | None = None) -> Transaction:
        """Deletes a key."""
        self._run(lambda: self._inner.delete(key, if_version=if_version))
        return self

    def check(self, key: str, *, if_version: int) -> Transaction:
        """Changes nothing; the key must have this version (0: there is none)."""
        self._run(lambda: self._inner.check(key, if_version=if_version))
        return self

    def commit(self, *, timeout: Duration | None = None) -> list[Written]:
        """Does it. Returns the keys that were written, with their versions."""
        return self._call(self._inner.commit(timeout=timeout))

    def __enter__(self) -> Transaction:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.call(self._inner.__aexit__(kind, error, trace))


class Lock(_Twin):
    """A lease on a name, renewed while it is held.

    `acquire` raises ``Conflict`` with the ``lock`` that is in the way, or ``Expired`` when it has
    waited for ``wait``. Whoever holds it may lose it (its program slept, say), and is not asked.
    So write with `fence`: such a write takes effect only while the lock is held.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        return self._wrap(self._inner.name)

    @property
    def token(self) -> int:
        """The fencing token: larger than every one before."""
        return self._wrap(self._inner.token)

    @property
    def fence(self) -> Fence:
        """For the ``fence`` of a write."""
        return self._wrap(self._inner.fence)

    def acquire(self, *, timeout: Duration | None = None) -> Lock:
        """Takes it."""
        return self._call(self._inner.acquire(timeout=timeout))

    def release(self, *, timeout: Duration | None = None) -> None:
        """Gives it back. One that was lost is gone already."""
        self._call(self._inner.release(timeout=timeout))

    def __enter__(self) -> Lock:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.call(self._inner.__aexit__(kind, error, trace))


class Blackboard(_Twin):
    """The keys of a room: ``room.blackboard``.

    A key is 1 to 8 names joined by ``/``; a value is any JSON up to 256 KiB.
    """

    __slots__ = ()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, from a copy that is kept here and follows every change. The first
        call fetches it; later ones ask nobody.
        """
        return self._call(self._inner.get(key, default))

    def entry(self, key: str) -> Entry | None:
        """As `get`, with version, writer and times."""
        return self._call(self._inner.entry(key))

    def fetch(self, key: str, *, timeout: Duration | None = None) -> Entry | None:
        """Asks the gateway for a key as it stands now; ``None`` if there is none."""
        return self._call(self._inner.fetch(key, timeout=timeout))

    def snapshot(
        self,
        prefix: str | None = None,
        *,
        revision: int | None = None,
        locks: bool = False,
        timeout: Duration | None = None,
    ) -> Snapshot:
        """All keys at or below a prefix, at one moment: now, or as of a past ``revision`` of the
        room. Raises ``TooLarge`` beyond 1 MiB, ``NotFound`` for what is not remembered.
        """
        return self._call(self._inner.snapshot(prefix, revision=revision, locks=locks, timeout=timeout))

    def keys(self, prefix: str | None = None) -> Iterator[KeyLine]:
        """Which keys there are, without their values, page by page."""
        return self._iterate(self._inner.keys(prefix))

    def history(
        self,
        key: str,
        *,
        limit: int | None = None,
        timeout: Duration | None = None,
    ) -> list[Version]:
        """Past versions of a key, oldest first; the last ``limit`` of them. Raises ``NotFound``."""
        return self._call(self._inner.history(key, limit=limit, timeout=timeout))

    def watch(self, prefix: str | None = None) -> Stream[Change]:
        """What is there at or below a prefix, and then every change of it."""
        return self._call(self._inner.watch(prefix))

    def set(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        merge: bool = False,
        ttl: Duration | None = None,
        fence: Fence | None = None,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> Stored:
        """Writes a key. Returns once that is on disk.

        ``if_version``: only if this is its version still; 0: only if there is none. Else it raises
        ``Conflict`` with ``current``. ``merge``: the value is a JSON Merge Patch (RFC 7396).
        ``ttl``: the key deletes itself after that. ``fence``: only while that lock is held.
        """
        return self._call(self._inner.set(key, value, if_version=if_version, merge=merge, ttl=ttl, fence=fence, id=id, timeout=timeout))

    def delete(
        self,
        key: str,
        *,
        if_version: int | None = None,
        fence: Fence | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Deletes a key. Raises ``NotFound``, and ``Conflict`` as `set` does."""
        self._call(self._inner.delete(key, if_version=if_version, fence=fence, timeout=timeout))

    def txn(self, *, fence: Fence | None = None) -> Transaction:
        """Several writes, all or none: see `Transaction`."""
        return self._run(lambda: self._inner.txn(fence=fence))

    def lock(self, name: str, *, ttl: Duration = "30s", wait: Duration | None = None) -> Lock:
        """The right to do what one only may do at a time, for `Lock`'s ``with``.

        ``ttl``: how long it lasts if its holder falls silent. ``wait``: how long to wait for it.
        """
        return self._run(lambda: self._inner.lock(name, ttl=ttl, wait=wait))


class Approve(_Twin):
    """The approvals of a room: ``room.approve``.

    It fails closed: a time-out, a rejection, or any word but exactly ``approve`` means no.
    """

    __slots__ = ()

    def request(
        self,
        action: str,
        content: Any = None,
        *,
        id: str | None = None,
        approvers: list[str] | None = None,
        quorum: int | None = None,
        timeout: Duration = "15m",
        on_timeout: OnTimeout | None = None,
        escalate_to: list[str] | None = None,
        urgency: str | None = None,
        task: str | None = None,
        call: str | None = None,
        correlation_id: str | None = None,
    ) -> Decision:
        """Asks, and waits for the decision: ``.approved``, ``.content`` as approved, ``.by``.

        ``action``: what is to be done. ``content``: what exactly, any JSON up to 256 KiB.
        ``approvers``: agents, or ``role:NAME``; anybody but you if not said. ``timeout``: how long
        people have; then it is rejected, or what ``on_timeout`` says. ``task``, ``call``: what it
        is about, for whoever decides. ``id``: a name of your own; after a restart the same call
        waits for the same request, and asks nobody twice.
        """
        return self._call(self._inner.request(action, content, id=id, approvers=approvers, quorum=quorum, timeout=timeout, on_timeout=on_timeout, escalate_to=escalate_to, urgency=urgency, task=task, call=call, correlation_id=correlation_id))

    def decision(self, id: str, *, timeout: Duration = "15m") -> Decision:
        """Waits for the decision on a request that was made before."""
        return self._call(self._inner.decision(id, timeout=timeout))

    def cancel(
        self,
        approval: str,
        reason: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Takes a request of one's own back. Its decision says ``cancelled``."""
        self._call(self._inner.cancel(approval, reason, timeout=timeout))

    def pending(self) -> Stream[Pending]:
        """What awaits a decision, that which stands first; and `Decided` when it does no longer."""
        return self._call(self._inner.pending())

    def on_request(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `PendingApproval`. It returns ``True`` or
        ``"approve"``, ``False`` or any other word, or ``None``: that is for somebody else.
        """
        return self._run(lambda: self._inner.on_request(handler))

    def decide(
        self,
        approval: str | PendingApproval,
        decision: Literal['approve', 'reject', 'defer'] | str,
        *,
        reason: str | None = None,
        digest: str | None = None,
        edit: Any = UNSET,
        defer: Duration | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Decides. ``approve`` is the only word for yes; ``defer`` asks for more time.

        With a `PendingApproval` it is about exactly what that shows, by its digest: if the content
        is another by now, it raises ``Conflict``. ``edit`` approves this content instead. Raises
        ``Forbidden`` for who may not decide, ``NotFound`` for what is decided.
        """
        self._call(self._inner.decide(approval, decision, reason=reason, digest=digest, edit=edit, defer=defer, timeout=timeout))

    def audit(
        self,
        approval: str | None = None,
        *,
        state: ApprovalState | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
    ) -> AuditPage:
        """A page of what was asked and decided, with each one's trail. Times are Unix
        milliseconds; there is another page as long as it has a ``cursor``.
        """
        return self._call(self._inner.audit(approval, state=state, since=since, until=until, limit=limit, cursor=cursor, timeout=timeout))

    def audits(self, *, state: ApprovalState | None = None) -> Iterator[AuditedApproval]:
        """All of it, page by page."""
        return self._iterate(self._inner.audits(state=state))


class Events(_Twin):
    """An iterator over a room's events, without a gap: see `Observe.events`.

    It listens to all of them, so that a number that is missing shows; what it missed, it asks for.
    So it needs no buffer without a limit: what is too much now is replayed later.
    """

    __slots__ = ()

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        try:
            return self._call(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def aclose(self) -> None:
        """Ends it."""
        self._call(self._inner.aclose())

    def __enter__(self) -> Events:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.call(self._inner.__aexit__(kind, error, trace))


class Observe(_Twin):
    """The events of a room: ``room.observe``."""

    __slots__ = ()

    def emit(
        self,
        category: str,
        payload: Any = None,
        *,
        severity: str = "info",
        timeout: Duration | None = None,
    ) -> None:
        """Tells whoever listens. Who does not listen now misses it."""
        self._call(self._inner.emit(category, payload, severity=severity, timeout=timeout))

    def live(self, category: str = "*", *, source: str = "*") -> Stream[Observed]:
        """What happens from now on, of one category or of all (``*``), as `Observed`."""
        return self._call(self._inner.live(category, source=source))

    def on(self, category: str, handler: Handler[Any], *, source: str = "*") -> Listener:
        """Has the handler called with everything that happens, in order, one after the other.

        If it cannot keep up with it, what is too much is lost, and the log says so.
        """
        return self._run(lambda: self._inner.on(category, handler, source=source))

    def replay(
        self,
        *,
        from_seq: int | None = None,
        since: Moment | None = None,
        until: int | None = None,
        category: str | None = None,
        limit: int | None = None,
        timeout: Duration | None = None,
    ) -> ReplayPage:
        """A page of past events of the gateway. ``next`` is the ``from_seq`` of the page behind it,
        and ``end`` says that there is nothing more; ``complete`` is false where something that was
        asked for is not kept any more. ``until`` is Unix milliseconds.
        """
        return self._call(self._inner.replay(from_seq=from_seq, since=since, until=until, category=category, limit=limit, timeout=timeout))

    def events(
        self,
        *,
        since: Moment | None = None,
        from_seq: int | None = None,
        category: str = "*",
    ) -> Events:
        """Every event of the room from a point on, and then as they happen, each once and in order.

        Without a point it begins now. Raises `Gap` for what is not kept any more, and goes on
        behind it.
        """
        return self._call(self._inner.events(since=since, from_seq=from_seq, category=category))


class PresenceOf(_Twin):
    """Who is in a room: ``room.presence``."""

    __slots__ = ()

    def announce(
        self,
        *,
        name: str | None = None,
        role: str | None = None,
        capabilities: list[str] | None = None,
        capacity: int | None = None,
        status: Status | None = None,
        load: float | None = None,
        metadata: Any = None,
        max_bytes: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Says who we are. What is left out stays as it was said before.

        ``role``: approvers can be named by it. ``capacity``: tasks at once. ``status``:
        ``overloaded`` and ``draining`` get no new work. ``metadata``: any JSON up to 8 KiB.
        """
        self._call(self._inner.announce(name=name, role=role, capabilities=capabilities, capacity=capacity, status=status, load=load, metadata=metadata, max_bytes=max_bytes, timeout=timeout))

    def announce_as(
        self,
        announcement: Mapping[str, Any],
        *,
        timeout: Duration | None = None,
    ) -> None:
        """As `announce`, with the fields as the wire names them."""
        self._call(self._inner.announce_as(announcement, timeout=timeout))

    def leave(self, *, timeout: Duration | None = None) -> None:
        """Leaves the room. Tasks that we had go to others."""
        self._call(self._inner.leave(timeout=timeout))

    def agents(
        self,
        *,
        role: str | None = None,
        status: Status | None = None,
        connection: ConnectionState | None = None,
        capability: str | None = None,
        timeout: Duration | None = None,
    ) -> list[Presence]:
        """Who is here and meets all conditions."""
        return self._call(self._inner.agents(role=role, status=status, connection=connection, capability=capability, timeout=timeout))

    def capabilities(self) -> set[str]:
        """What somebody who is online can do."""
        return self._call(self._inner.capabilities())

    def watch(self, *, all_rooms: bool = False) -> Stream[Seen]:
        """Who is here, and then every change of it; with ``all_rooms`` in every room."""
        return self._call(self._inner.watch(all_rooms=all_rooms))


class ToolQuestion(_Twin):
    """What a tool wants to know before it goes on."""

    __slots__ = ()

    @property
    def call(self) -> str:
        return self._wrap(self._inner.call)

    @property
    def tool(self) -> str | None:
        return self._wrap(self._inner.tool)

    @property
    def ask(self) -> int | None:
        return self._wrap(self._inner.ask)

    @property
    def question(self) -> Any:
        return self._wrap(self._inner.question)

    @property
    def schema(self) -> dict[str, Any] | None:
        return self._wrap(self._inner.schema)

    @property
    def expires_at(self) -> int | None:
        return self._wrap(self._inner.expires_at)

    def of(self, scope: Scope, document: Mapping[str, Any]) -> ToolQuestion:
        """Reads one. Raises ``ProtocolError``."""
        return self._run(lambda: self._inner.of(scope, document))

    def answer(self, value: Any, *, timeout: Duration | None = None) -> None:
        """Answers it. Raises ``Invalid`` if it does not fit, ``Conflict`` if it comes too late."""
        self._call(self._inner.answer(value, timeout=timeout))


class Tools(_Twin):
    """The tools of a room: ``room.tools``. To provide one, see `hallward.Worker.tool`."""

    __slots__ = ()

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        call_timeout: Duration | None = None,
        timeout: Duration | None = None,
    ) -> Any:
        """Calls a tool and returns what it answers.

        ``call_timeout``: how long the tool may take (what it was registered with, if not said).
        ``timeout``: how long to wait in all; a little longer than that, if not said. ``id``: a name
        of your own; after a restart the same call waits for the same answer.
        Raises `ToolError`; ``Unavailable`` at once if nobody provides it; ``Invalid`` with the
        ``path`` if the arguments do not fit its schema.
        """
        return self._call(self._inner.call(tool, arguments, id=id, call_timeout=call_timeout, timeout=timeout))

    def stream(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        call_timeout: Duration | None = None,
        timeout: Duration | None = None,
    ) -> Iterator[Part | ToolQuestion]:
        """As `call`, with all that it says: partial results, questions, and at last the answer."""
        return self._iterate(self._inner.stream(tool, arguments, id=id, call_timeout=call_timeout, timeout=timeout))

    def get(
        self,
        call: str,
        *,
        arguments: bool = False,
        timeout: Duration | None = None,
    ) -> CallView:
        """A call (``CALLER/ID``) as it stands, with its answer once it is over."""
        return self._call(self._inner.get(call, arguments=arguments, timeout=timeout))

    def cancel(
        self,
        call: str,
        reason: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Takes a call of one's own back. It ends with the error ``cancelled``."""
        self._call(self._inner.cancel(call, reason, timeout=timeout))

    def watch(self) -> Stream[CardChange]:
        """Which tools there are, and then every change: MCP's ``Tool``, and who provides it now."""
        return self._call(self._inner.watch())

    def provided(self, tool: str, *, timeout: Duration = "30s") -> ToolCard:
        """Waits until somebody provides a tool, and returns its card."""
        return self._call(self._inner.provided(tool, timeout=timeout))


class Raw(_Twin):
    """Topics below the room that no pattern has a method for: ``room.raw``."""

    __slots__ = ()

    def publish(self, topic: str, document: Any, *, timeout: Duration | None = None) -> None:
        """Publishes JSON (or CBOR), or bytes as they are, at QoS 1, and waits for the PUBACK.

        Raises what that refuses (MQTT 5); on 3.1.1 refusals are only logged.
        """
        self._call(self._inner.publish(topic, document, timeout=timeout))


class Room(_Twin):
    """A room that this agent is in, with a part for each pattern. Made by `Agent.join`."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return self._wrap(self._inner.name)

    @property
    def handoff(self) -> Handoff:
        return self._wrap(self._inner.handoff)

    @property
    def inbox(self) -> Inbox:
        return self._wrap(self._inner.inbox)

    @property
    def blackboard(self) -> Blackboard:
        return self._wrap(self._inner.blackboard)

    @property
    def approve(self) -> Approve:
        return self._wrap(self._inner.approve)

    @property
    def observe(self) -> Observe:
        return self._wrap(self._inner.observe)

    @property
    def presence(self) -> PresenceOf:
        return self._wrap(self._inner.presence)

    @property
    def tools(self) -> Tools:
        return self._wrap(self._inner.tools)

    @property
    def raw(self) -> Raw:
        return self._wrap(self._inner.raw)

    def announce(
        self,
        *,
        name: str | None = None,
        role: str | None = None,
        capabilities: list[str] | None = None,
        capacity: int | None = None,
        status: Status | None = None,
        load: float | None = None,
        metadata: Any = None,
    ) -> None:
        """Says who we are: see `PresenceOf.announce`."""
        self._call(self._inner.announce(name=name, role=role, capabilities=capabilities, capacity=capacity, status=status, load=load, metadata=metadata))

    def agents(
        self,
        *,
        role: str | None = None,
        status: Status | None = None,
        connection: ConnectionState | None = None,
        capability: str | None = None,
    ) -> list[Presence]:
        """Who is here and meets all conditions."""
        return self._call(self._inner.agents(role=role, status=status, connection=connection, capability=capability))

    def capabilities(self) -> set[str]:
        """What somebody who is online can do."""
        return self._call(self._inner.capabilities())

    def leave(self) -> None:
        """Leaves the room. Tasks that we had go to others."""
        self._call(self._inner.leave())


class Agent(_Twin):
    """A connected agent. Made by `connect`.

    It connects again by itself, as often as it takes; what waited for a reply gets it, and
    iterators go on. `status` tells of it.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its name, which is the MQTT client id."""
        return self._wrap(self._inner.name)

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._wrap(self._inner.connected)

    @property
    def unacked(self) -> int:
        """Deliveries in hand that are not acknowledged yet. At ``window`` nothing more comes."""
        return self._wrap(self._inner.unacked)

    def join(self, room: str) -> Room:
        """The room of this name, which exists as soon as somebody uses it. Always the same object.

        Raises ``Forbidden`` if this agent may not be there.
        """
        return self._call(self._inner.join(room))

    def status(self) -> Stream[ConnectionStatus]:
        """What becomes of the connection, beginning with how it is now. Ends with ``closed`` or
        ``taken``.
        """
        return self._run(lambda: self._inner.status())

    def close(self) -> None:
        """Leaves all rooms, and ends session and connection in good order. Handlers are cancelled;
        what they had not finished is not acknowledged, and waits at the gateway.
        """
        self._call(self._inner.close())
        self._portal.close()

    def __enter__(self) -> Agent:
        self._portal.call(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.call(self._inner.__aexit__(kind, error, trace))
        self._portal.close()


News = Union[Result, Question]


def connect(
    url: str,
    *,
    agent: str,
    username: str | None = None,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    protocol: Literal['5', '3.1.1'] = "5",
    encoding: Encoding = "json",
    ephemeral: bool = False,
    window: int = 256,
    keepalive: Duration = "30s",
    timeout: Duration = "30s",
    root: str = "rooms",
) -> Agent:
    """Connects an agent: ``with connect(…) as me:``, or ``me = connect(…)``.

    ``url``: ``mqtt://host:1883``, ``mqtts``, ``ws`` or ``wss``; it may name user and password.
    ``agent``: its name, which is the MQTT client id; only one program may use it at a time.
    ``ephemeral``: the session ends with the connection (else an hour after it). ``window``: how
    many deliveries may be in hand, unacknowledged. ``timeout``: of connecting, and the deadline of
    every call that names none. ``root``: the topic level above all rooms.

    Raises ``Forbidden`` if the gateway will not have it, `Disconnected` if its certificate is none
    to trust or it speaks no TLS, `Timeout` if it cannot be reached.
    """
    connecting = _agent.connect(url, agent=agent, username=username, password=password, tls=tls, protocol=protocol, encoding=encoding, ephemeral=ephemeral, window=window, keepalive=keepalive, timeout=timeout, root=root)
    portal = Portal.start()
    try:
        return Agent(portal, portal.call(_connected(connecting)))
    except BaseException:
        portal.close()
        raise


async def _connected(connecting: Any) -> Any:
    return await connecting


_TWINS: dict[type[Any], Callable[[Portal, Any], Any]] = {
    _Listener: Listener,
    _Stream: Stream,
    _task.Task: Task,
    _task.Call: Call,
    _questions.Question: Question,
    _handoff.TaskHandle: TaskHandle,
    _handoff.Handoff: Handoff,
    _inbox.Inbox: Inbox,
    _blackboard.Transaction: Transaction,
    _blackboard.Lock: Lock,
    _blackboard.Blackboard: Blackboard,
    _approve.Approve: Approve,
    _observe.Events: Events,
    _observe.Observe: Observe,
    _presence.PresenceOf: PresenceOf,
    _tools.ToolQuestion: ToolQuestion,
    _tools.Tools: Tools,
    _room.Raw: Raw,
    _room.Room: Room,
    _agent.Agent: Agent,
}
