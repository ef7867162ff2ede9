"""A worker at work: from its first subscription to its last word."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ._codec import UNREADABLE, decode_object, unreadable
from ._definitions import TaskDefinition, ToolDefinition
from ._durations import Duration
from ._leases import Leases
from ._link import ConnectionStatus, Delivery, Route
from ._names import new_id
from ._runs import SAID, Host, Run, TaskRun, ToolRun, words_of
from ._skim import skim
from .errors import Disconnected, Fatal, HallwardError, ProtocolError
from .messages import Assignment, Reply
from .room import Room

logger = logging.getLogger("hallward")

Changed = Callable[[Run, str], None]

_ATTEMPT = re.compile(r"attempt (\d+) of")
_OVER = {404, 408, 409}
_LAST_WORDS: Duration = "10s"
_REMEMBERED = 1_000
UNREADABLE_CODE = "unreadable"
"""The code of an error: this worker cannot decode its assignment."""


class Serving:
    """Takes what comes for a worker, and gives it to its handlers."""

    def __init__(
        self,
        room: Room,
        tasks: Mapping[str, TaskDefinition],
        tools: Mapping[str, ToolDefinition],
        announcement: Mapping[str, Any],
        grace: float,
        listeners: list[Changed],
    ) -> None:
        self._room = room
        self._scope = room.scope
        self._tasks = tasks
        self._tools = tools
        self._announcement = announcement
        self._grace = grace
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._leases = Leases(self._loop)
        self._host = Host(self._scope, self._leases, grace, self._changed)
        self._runs: dict[object, Run] = {}
        self._done: OrderedDict[object, None] = OrderedDict()
        """Attempts and calls that are over, in case they come again."""
        self._routes: list[Route] = []
        self._stopped = asyncio.Event()
        self._draining = False
        self._unlisten = [
            self._scope.link.on_status(self._connection_changed),
            self._scope.commands.on_unasked(self._notice),
        ]

    # Beginning

    async def start(self) -> None:
        """Announces the worker, offers its tools and then its capabilities."""
        await self._room.presence.announce_as(self._announcement)
        me = self._scope.me
        if self._tools:
            await self._subscribe(f"tools/cancelled/{me}", self._call_over, qos=0)
        for tool in self._tools.values():
            await self._register(tool)
            await self._subscribe(f"tools/run/{tool.name}", self._tool_run)
        capabilities = {one for task in self._tasks.values() for one in task.capabilities}
        for capability in sorted(capabilities):
            await self._subscribe(f"handoff/work/{capability}", self._assignment)

    async def _subscribe(
        self, topic: str, sink: Callable[[Delivery], None], *, qos: int = 1
    ) -> None:
        route = await self._scope.subscribe(topic, sink, qos=qos, mail=qos > 0)
        self._routes.append(route)

    async def _register(self, tool: ToolDefinition) -> None:
        await self._scope.call("tools/register", dict(tool.registration), rest=tool.name)

    def _connection_changed(self, status: ConnectionStatus) -> None:
        if self._scope.link.ended:
            for run in list(self._runs.values()):
                run.stop(over=True)
            self._stopped.set()
        elif status.state == "connected" and not status.resumed and self._routes:
            self._scope.handlers.spawn(self._introduce_again(), "announce")

    async def _introduce_again(self) -> None:
        """Announcements and registrations end with the session that made them."""
        try:
            status = {"status": "draining"} if self._draining else {}
            await self._room.presence.announce_as({**self._announcement, **status})
            for tool in self._tools.values():
                await self._register(tool)
        except HallwardError as error:
            logger.error("%s: could not be announced again: %s", self._scope.me, error)

    # What comes

    def _assignment(self, delivery: Delivery) -> None:
        delivery.ack()  # its lease covers a crash from here on
        try:
            document = decode_object(delivery.payload)
            assignment = Assignment.read(document)
        except UNREADABLE as error:
            said = skim(delivery.payload)
            self._refuse(delivery, error, "handoff/update", _of(said, "task", "attempt"))
            return
        capability = delivery.levels[-1]
        definition = self._tasks.get(assignment.type)

        async def handle(run: TaskRun) -> Any:
            if definition is None:
                words = f"this worker offers {capability}, and knows no tasks of this type"
                raise Fatal(words, code="no-handler")
            return await definition.run(run, self._scope.handlers)

        run = TaskRun(self._host, document, handle, definition.timeout if definition else None)
        if isinstance(known := self._runs.get(run.key), TaskRun):
            known.answers.learn(document)
        elif run.key not in self._done:
            self._supersede(run)
            self._begin(run.key, run)

    def _supersede(self, run: TaskRun) -> None:
        """An earlier attempt that we still have at this task is over."""
        for known in list(self._runs.values()):
            if isinstance(known, TaskRun) and known.assignment.task == run.assignment.task:
                known.stop(over=True)

    def _tool_run(self, delivery: Delivery) -> None:
        delivery.ack()
        try:
            document = decode_object(delivery.payload)
            definition = self._tools[delivery.levels[-1]]
            if "call" not in document:
                raise ProtocolError("a call without its name")
        except UNREADABLE as error:
            said = skim(delivery.payload)
            self._refuse(delivery, error, "tools/return", _of(said, "call"))
            return

        async def handle(run: ToolRun) -> Any:
            return await definition.run(run, self._scope.handlers)

        run = ToolRun(self._host, document, handle, definition.timeout)
        if isinstance(known := self._runs.get(run.call), ToolRun):
            known.answers.learn(document)
        elif run.call not in self._done:
            self._begin(run.call, run)

    def _refuse(
        self, delivery: Delivery, error: Exception, command: str, fields: dict[str, Any]
    ) -> None:
        """Whoever wants it done is told that we cannot read it: nobody else will be able to."""
        logger.error("%s: %s: %s", delivery.topic, fields, error)
        if not fields:
            return
        told: dict[str, Any] = {
            "message": words_of(unreadable("it", error)),
            "code": UNREADABLE_CODE,
        }
        if command == "handoff/update":
            told["retryable"] = False
        body = {**fields, "id": new_id(), "status": "error", "error": told}

        async def refuse() -> None:
            try:
                await self._scope.call(command, body)
            except HallwardError as refused:
                logger.warning("%s: %s could not be refused: %s", self._scope.me, fields, refused)

        self._scope.handlers.spawn(refuse(), f"refusing {fields}")

    def _begin(self, key: object, run: Run) -> None:
        self._runs[key] = run
        run.start()
        if self._draining and isinstance(run, TaskRun):
            run.stop(over=False)  # it was on its way when we said that we stop

    def _call_over(self, delivery: Delivery) -> None:
        delivery.ack()
        run = self._runs.get(skim(delivery.payload).get("call"))
        if run is not None:
            run.stop(over=True)

    def _notice(self, room: str, reply: Reply) -> None:
        """A reply that no call waits for: that a task is over, if it is one of ours."""
        if room != self._scope.room or reply.status != "rejected" or reply.code not in _OVER:
            return
        task, attempt = _about(reply)
        for run in [one for one in self._runs.values() if isinstance(one, TaskRun)]:
            if run.assignment.task == task and attempt in (None, run.assignment.attempt):
                run.stop(over=True)

    # How runs go

    def _changed(self, run: Run, what: str) -> None:
        if what == "ended":
            key: object = run.key if isinstance(run, TaskRun) else getattr(run, "call", None)
            if self._runs.get(key) is run:
                del self._runs[key]
            self._done[key] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        for listener in self._listeners:
            listener(run, what)

    # Ending

    def stop(self) -> None:
        """No new work from here on. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def until_stopped(self) -> None:
        """Raises `SessionTaken` or `Disconnected` if that is why."""
        await self._stopped.wait()
        error = self._scope.link.error
        if self._scope.link.ended and error is not None:
            raise error

    async def end(self) -> None:
        """Finishes what is in hand, within the grace; gives the rest back, and leaves."""
        try:
            if not self._scope.link.ended:
                await self._drain()
        finally:
            for unlisten in self._unlisten:
                unlisten()
            for route in self._routes:
                self._scope.link.unsubscribe(route)
            self._leases.close()

    async def _drain(self) -> None:
        self._draining = True
        announcement = {**self._announcement, "status": "draining"}
        await self._say(self._room.presence.announce_as(announcement, timeout=_LAST_WORDS))
        for run in list(self._runs.values()):
            if run.asking:  # whoever gets the answer goes on; it costs no attempt
                run.stop(over=True)
        await self._wait_for_runs(self._grace)
        for run in list(self._runs.values()):
            run.stop(over=False)
        await self._wait_for_runs(self._grace + self._scope.commands.timeout)
        for tool in self._tools:
            withdrawing = self._scope.publish(
                b"", "tools/register", self._scope.me, tool, timeout=_LAST_WORDS
            )
            await self._say(withdrawing)

    async def _wait_for_runs(self, limit: float) -> None:
        running = {run.task for run in self._runs.values() if run.task is not None}
        if running:
            await asyncio.wait(running, timeout=limit)

    @staticmethod
    async def _say(words: Awaitable[None]) -> None:
        """What the gateway would find out by itself a little later."""
        with suppress(Disconnected):
            try:
                await words
            except HallwardError as error:
                logger.warning("could not be said: %s", error)


def _of(said: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: said[name] for name in names if name in said}


def _about(reply: Reply) -> tuple[str | None, int | None]:
    """Which task and attempt a notice is about, as far as it says."""
    correlation = reply.correlation_id or ""
    if correlation.startswith(SAID):
        attempt, task = correlation[len(SAID) :].split("/")
        return task, int(attempt)
    found = _ATTEMPT.search(reply.reason or "")
    return reply.task, int(found[1]) if found else None
