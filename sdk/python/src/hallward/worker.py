"""Workers: handlers for tasks and tools, and a program around them that ends in good order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar, cast

from ._codec import Encoding
from ._definitions import TaskDefinition, ToolDefinition, tool_definition
from ._durations import Duration, optional_milliseconds, seconds
from ._handlers import run_to_its_end
from ._names import checked, listed
from ._serving import Changed, Serving
from .agent import Agent, connect

logger = logging.getLogger("hallward")

H = TypeVar("H", bound=Callable[..., Any])


class Worker:
    """A program that takes tasks, and calls of tools, in one room.

    ::

        worker = hallward.Worker("mqtt://localhost", agent="writer-1", room="newsroom", capacity=2)

        @worker.task("draft")
        async def draft(task: hallward.Task[Facts]) -> Draft: ...

        worker.run()

    ``async def`` handlers run on the event loop, plain ``def`` in threads. What a handler returns
    is the task's result. If it raises, another attempt may help, unless it raises `Fatal`. A lease
    is kept as long as its handler runs; a task that is cancelled cancels its handler.
    """

    def __init__(
        self,
        gateway: str | Agent,
        *,
        room: str,
        agent: str | None = None,
        capacity: int = 1,
        name: str | None = None,
        role: str | None = None,
        metadata: Any = None,
        grace: Duration = "30s",
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        protocol: Literal["5", "3.1.1"] = "5",
        encoding: Encoding = "json",
        ephemeral: bool = False,
        window: int = 256,
    ) -> None:
        """``gateway``: its URL, as for `connect`, and then ``agent`` is the name to connect under;
        or an agent that is connected already. ``capacity``: tasks at once. ``grace``: how long
        tasks may go on when the worker stops; then they are cancelled and given back. One that goes
        on after that, for as long again, is left to itself.
        """
        if isinstance(gateway, str):
            if agent is None:
                raise TypeError("a worker that connects needs a name: agent=…")
            self._connecting = partial(
                connect,
                gateway,
                agent=agent,
                username=username,
                password=password,
                tls=tls,
                protocol=protocol,
                encoding=encoding,
                ephemeral=ephemeral,
                window=window,
            )
            self._agent: Agent | None = None
        else:
            self._agent = gateway
        if type(capacity) is not int or capacity < 1:
            raise ValueError(f"a capacity is 1 or more tasks at once, not {capacity!r}")
        self._room = checked("room", room)
        said = {"name": name, "role": role, "metadata": metadata, "capacity": capacity}
        self._announcement = {key: value for key, value in said.items() if value is not None}
        self._grace = seconds(grace)
        self._tasks: dict[str, TaskDefinition] = {}
        self._tools: dict[str, ToolDefinition] = {}
        self._listeners: list[Changed] = []
        self._serving: Serving | None = None
        self._stopping = False

    # Saying what it can do

    def task(
        self,
        type: str,
        *,
        capabilities: list[str] | None = None,
        timeout: Duration | None = None,
    ) -> Callable[[H], H]:
        """Registers a handler for tasks of a type.

        It takes a `Task`; ``Task[Facts]`` has its payload made into ``Facts`` (a dataclass,
        TypedDict, pydantic model, …), and one that does not fit fails the task for good.
        ``capabilities``: what it offers; the type alone if not said. ``timeout``: for one attempt;
        then the handler is cancelled and the attempt has failed.
        """

        def register(handler: H) -> H:
            wanted = [type] if capabilities is None else listed("capabilities", capabilities)
            if not wanted:
                raise ValueError(f"a handler of {type!r} that offers nothing gets nothing")
            offered = tuple(checked("capability", one) for one in wanted)
            limit = None if timeout is None else seconds(timeout)
            self._tasks[checked("type", type)] = TaskDefinition.of(handler, type, offered, limit)
            return handler

        return register

    def tool(
        self,
        name: str | None = None,
        *,
        description: str | None = None,
        title: str | None = None,
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        annotations: Mapping[str, Any] | None = None,
        idempotent: bool = False,
        timeout: Duration | None = None,
        approval: Mapping[str, Any] | None = None,
    ) -> Callable[[H], H]:
        """Registers a function as a tool: its name, docstring and types are the tool's, if nothing
        else is said.

        With an ``input_schema`` of its own the function takes all arguments as one mapping. A
        parameter of the type `Call` gets the call. ``idempotent``: a call may be run again by
        another provider. ``timeout``: how long a call may take; 30 s if not said. ``approval``:
        ``{"approvers": […], …}``: the gateway asks them before it hands a call over.
        """

        def register(handler: H) -> H:
            tool = checked("tool", name or handler.__name__)
            extra = {
                "title": title,
                "annotations": annotations,
                "idempotent": idempotent or None,
                "timeoutMs": optional_milliseconds(timeout),
                "approval": approval,
            }
            self._tools[tool] = tool_definition(
                handler,
                name=tool,
                description=description,
                input_schema=input_schema,
                output_schema=output_schema,
                timeout=None if timeout is None else seconds(timeout),
                extra={key: value for key, value in extra.items() if value is not None},
            )
            return handler

        return register

    def on_change(self, listener: Changed) -> None:
        """Has the listener called with each run as it goes: for logs, metrics, tests."""
        self._listeners.append(listener)

    # Working

    def run(self) -> None:
        """Works until SIGINT or SIGTERM, and then stops as `stop` says. A second signal ends the
        program at once. Returns when all is over; raises `SessionTaken` if another program took
        this worker's name.
        """
        run_to_its_end(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._signalled, number)
            except NotImplementedError:  # Windows
                signal.signal(number, self._hand_over(loop))
        await self.serve()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> Callable[[int, Any], None]:
        return lambda number, _: cast(None, loop.call_soon_threadsafe(self._signalled, number))

    def _signalled(self, number: int) -> None:
        if self._stopping:
            logger.error("a second signal: ending at once")
            os._exit(128 + number)
        logger.info("signal %d: finishing what is in hand", number)
        self.stop()

    async def serve(self, *, ready: asyncio.Event | None = None) -> None:
        """Works until `stop` is called or this is cancelled; both end in good order.

        ``ready`` is set once it can be given work.
        """
        if not self._tasks and not self._tools:
            raise ValueError(
                "a worker without handlers gets nothing: see Worker.task and Worker.tool"
            )
        if self._agent is not None:
            await self._serve(self._agent, ready)
        else:
            async with self._connecting() as agent:
                await self._serve(agent, ready)

    async def _serve(self, agent: Agent, ready: asyncio.Event | None) -> None:
        room = await agent.join(self._room)
        self._serving = Serving(
            room, self._tasks, self._tools, self._announcement, self._grace, self._listeners
        )
        try:
            if not self._stopping:
                await self._serving.start()
                if ready is not None:
                    ready.set()
            if self._stopping:  # perhaps while it started
                self._serving.stop()
            await self._serving.until_stopped()
        finally:
            await self._serving.end()
            self._serving = None

    def stop(self) -> None:
        """Has it take no new work, and end once what it has is done: at the latest after its
        grace, when what is left is cancelled and given back. Then `run` and `serve` return.
        May be called from any thread.
        """
        self._stopping = True
        if self._serving is not None:
            self._serving.stop()
