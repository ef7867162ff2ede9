"""What came of tasks, and who waits for it.

A result belongs to whoever waits for its task, and to all handlers of `Handoff.on_result`; with
handlers it is acknowledged when the last of them is done. One that nobody waits for yet is kept for
who asks later, as long as there is room; the gateway knows it longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Union, cast

from ._annotations import convert
from ._codec import UNREADABLE, decode_object, unreadable
from ._handlers import Handler
from ._link import Delivery
from ._outcomes import Look, Outcomes
from ._scope import Listener, Scope
from ._skim import skim
from ._streams import Stream, nothing
from .errors import NotFound, TaskCancelled, TaskError, TaskExpired, TaskFailed
from .messages import GroupResult, ResultStatus, TaskResult, TaskView
from .questions import Question

logger = logging.getLogger("hallward")

_SEEN = 2_000

News = Union["Result", Question]


class Result(TaskResult):
    """What a task came to, or a part of it (``final`` is false then, and ``status`` ``partial``).

    ``value`` is what its worker returned, as JSON has it; `as_` makes a type of it.
    """

    @property
    def value(self) -> Any:
        """What the worker returned."""
        return self.result

    @property
    def task_type(self) -> str:
        """The type of the task."""
        return self.type

    def as_(self, kind: type[Any]) -> Any:
        """``value`` as a dataclass, TypedDict, pydantic model … Raises ``Invalid``."""
        return convert(self.result, kind)

    def or_raise(self) -> Result:
        """Itself, if the task has not failed. Raises `TaskFailed`, `TaskExpired` or
        `TaskCancelled`.
        """
        kind = _FAILURES.get(self.status)
        if kind is None:
            return self
        why = self.error.message if self.error else self.status
        raise kind(f"{self.type} {self.task}: {why}", self)


_FAILURES: dict[str, type[TaskError]] = {
    "dead": TaskFailed,
    "expired": TaskExpired,
    "cancelled": TaskCancelled,
}


def result_of(view: TaskView) -> Result | None:
    """The final result of a task that has ended, as `handoff/get` shows it; else ``None``."""
    if view.state not in ("succeeded", *_FAILURES):
        return None
    if view.result_omitted:
        raise NotFound(f"the result of {view.task} is not kept any more", code=404)
    return Result(
        task=view.task,
        type=view.type,
        status=cast("ResultStatus", view.state),
        final=True,
        attempts=view.attempt,
        created_at=view.created_at,
        at=view.updated_at,
        result=view.result,
        error=view.error,
        worker=view.worker,
    )


class Results:
    """All results of an agent in a room."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._subscribed: asyncio.Task[None] | None = None
        self._waiting: Outcomes[News] = Outcomes(scope, "results of")
        self._groups: Outcomes[GroupResult] = Outcomes(scope, "results of group")
        self._sinks: list[Callable[[Result, Callable[[], None]], None]] = []
        self._askers: list[Callable[[Question], None]] = []
        self._seen: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        self._handed: OrderedDict[str, None] = OrderedDict()
        self._forgot_handed = False

    async def ready(self) -> None:
        """Subscribes, once. Results wait in the mailbox until then."""
        if self._subscribed is None or self._failed(self._subscribed):
            self._subscribed = self._scope.handlers.spawn(self._subscribe(), "results")
        await asyncio.shield(self._subscribed)

    @staticmethod
    def _failed(task: asyncio.Task[None]) -> bool:
        return task.done() and (task.cancelled() or task.exception() is not None)

    async def _subscribe(self) -> None:
        topic = f"handoff/result/{self._scope.me}"
        await self._scope.subscribe(topic, self._received, mail=True)

    # Who waits

    def follow(self, task: str, *, look: float | None) -> Stream[Union[News, Look]]:
        """What comes of one task from now on, and its result if that is there already."""
        return self._waiting.follow(task, look=look)

    async def group(self, name: str) -> GroupResult:
        """The result of a group, when the last of its tasks has ended."""
        await self.ready()
        async with self._groups.follow(name, look=None) as stream:
            async for one in stream:
                if isinstance(one, GroupResult):
                    return one
        raise AssertionError("the stream of a group's result ends with it")

    def add(self, sink: Callable[[Result, Callable[[], None]], None]) -> Listener:
        """Has every result given to the sink, and acknowledged when the sink says so."""
        self._sinks.append(sink)
        for news in self._waiting.take_unclaimed():
            if isinstance(news, Result):
                self._hand_over(news.task)
                sink(news, nothing)
            else:
                self._waiting.keep(news.task, news)
        return Listener(lambda: self._sinks.remove(sink))

    def handle(self, handler: Handler[Any]) -> Listener:
        """As `add`, for a user's handler: it is called until it has not failed."""

        def sink(result: Result, done: Callable[[], None]) -> None:
            self._scope.handle(f"result of {result.task}", handler, result, done)

        return self.add(sink)

    def on_question(self, ask: Callable[[Question], None]) -> Listener:
        self._askers.append(ask)
        for news in self._waiting.take_unclaimed():
            if isinstance(news, Question):
                ask(news)
            else:
                self._waiting.keep(news.task, news)
        return Listener(lambda: self._askers.remove(ask))

    # What comes

    def _received(self, delivery: Delivery) -> None:
        try:
            document = decode_object(delivery.payload)
            if document.get("status") == "group":
                self._received_group(GroupResult.read(document))
                delivery.ack()
            elif document.get("status") == "input":
                self._received_question(Question.of(self._scope, document))
                delivery.ack()
            else:
                self._received_result(Result.read(document), delivery)
        except UNREADABLE as error:
            delivery.ack()
            self._unreadable(delivery, error)

    def _unreadable(self, delivery: Delivery, error: Exception) -> None:
        """Whoever waits for it need not wait any longer. Parts and questions it may do without."""
        said = skim(delivery.payload)
        task, group, status = said.get("task"), said.get("group"), said.get("status")
        logger.error("%s: of %s: %s", delivery.topic, task or group, error)
        if status == "group" and group is not None:
            self._groups.fail(group, unreadable(f"the result of group {group}", error))
        elif task is None:
            self._waiting.look()
        elif status not in ("partial", "input") and not self._waiting.fail(
            task, unreadable(f"the result of {task}", error)
        ):
            self._hand_over(task)

    def _received_group(self, result: GroupResult) -> None:
        if not self._groups.put(result.group, result):
            self._groups.keep(result.group, result)

    def _received_question(self, question: Question) -> None:
        waited_for = self._waiting.put(question.task, question)
        for ask in self._askers:
            ask(question)
        if not self._askers and not waited_for:
            self._waiting.keep(question.task, question)

    def _received_result(self, result: Result, delivery: Delivery) -> None:
        if self._seen_before(result):
            delivery.ack()
            return
        waited_for = self._waiting.put(result.task, result)
        if self._sinks:
            delivery.share(len(self._sinks))
            if result.final and not waited_for:
                self._hand_over(result.task)
            for sink in list(self._sinks):
                sink(result, delivery.ack)
            return
        if not waited_for and result.final:
            self._waiting.keep(result.task, result)
        delivery.ack()

    def _hand_over(self, task: str) -> None:
        self._handed[task] = None
        if len(self._handed) > _SEEN:
            self._handed.popitem(last=False)
            self._forgot_handed = True

    def may_be_gone(self, task: str) -> bool:
        """Whether its result may have been given to handlers alone: the gateway still has it."""
        return self._forgot_handed or task in self._handed

    def _seen_before(self, result: Result) -> bool:
        """One whose acknowledgement was lost comes twice."""
        key = (result.task, result.final, result.part, result.attempts, result.at)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return False
