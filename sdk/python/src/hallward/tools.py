"""Tools: a question with a short answer, from whoever provides it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, Union, cast

from . import _trace
from ._codec import UNREADABLE, decode_object, unreadable
from ._commands import FULL, wire
from ._durations import Duration, milliseconds, optional_milliseconds
from ._link import Delivery
from ._names import checked, new_id
from ._outcomes import IN_A_MOMENT, Look, Outcomes
from ._scope import Scope, within
from ._skim import skim
from ._streams import Stream
from .errors import HallwardError, NotFound, ProtocolError, ToolError
from .messages import CallView, ToolCard, ToolResult

logger = logging.getLogger("hallward")

_MARGIN = 30_000
_LONGEST_CALL = 3_600_000
_LONGEST_APPROVAL = 30 * 86_400_000
"""Milliseconds: what a tool may ask for as its time-out, and for its approval."""


class Part(NamedTuple):
    """What a tool says before it is done, or at last (``final``)."""

    call: str
    value: Any
    final: bool


class ToolQuestion:
    """What a tool wants to know before it goes on."""

    __slots__ = ("_scope", "ask", "call", "expires_at", "question", "schema", "tool")

    def __init__(self, scope: Scope, document: Mapping[str, Any]) -> None:
        self._scope = scope
        self.call: str = document["call"]
        self.tool: str | None = document.get("tool")
        self.ask: int | None = document.get("ask")
        self.question: Any = document.get("question")
        self.schema: dict[str, Any] | None = document.get("schema")
        self.expires_at: int | None = document.get("expiresAt")

    @classmethod
    def of(cls, scope: Scope, document: Mapping[str, Any]) -> ToolQuestion:
        """Reads one. Raises ``ProtocolError``."""
        if "call" not in document:
            raise ProtocolError("a question without 'call'")
        return cls(scope, document)

    async def answer(self, value: Any, *, timeout: Duration | None = None) -> None:
        """Answers it. Raises ``Invalid`` if it does not fit, ``Conflict`` if it comes too late."""
        body: dict[str, Any] = {"call": self.call, "answer": value, "id": new_id()}
        if self.ask is not None:
            body["ask"] = self.ask
        await self._scope.call("tools/answer", body, timeout=timeout)


Answer = Union[ToolResult, ToolQuestion]


class CardChange(NamedTuple):
    """A tool as it is now; ``card`` is ``None`` when it is gone."""

    tool: str
    card: ToolCard | None


class Tools:
    """The tools of a room: ``room.tools``. To provide one, see `hallward.Worker.tool`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._outcomes: Outcomes[Answer] = Outcomes(scope, "result of call")
        self._subscribed = False

    async def call(
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
        async with aclosing(
            self.stream(tool, arguments, id=id, call_timeout=call_timeout, timeout=timeout)
        ) as parts:
            async for part in parts:
                if isinstance(part, Part) and part.final:
                    return part.value
        raise AssertionError("the parts of an answer end with the final one")

    async def stream(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        call_timeout: Duration | None = None,
        timeout: Duration | None = None,
    ) -> AsyncGenerator[Part | ToolQuestion, None]:
        """As `call`, with all that it says: partial results, questions, and at last the answer."""
        name = checked("call", id) if id is not None else new_id()
        call = f"{self._scope.me}/{name}"
        wait = optional_milliseconds(timeout)
        if wait is None:
            longest = _LONGEST_CALL if call_timeout is None else milliseconds(call_timeout)
            wait = _MARGIN + longest
        look = None if id is None else IN_A_MOMENT
        async with self._outcomes.follow(call, look=look) as stream:
            await self._subscribe()
            body = wire(
                id=name,
                arguments=None if arguments is None else dict(arguments),
                timeout_ms=optional_milliseconds(call_timeout),
            )
            rest = checked("tool", tool)
            reply = await self._scope.call(
                "tools/call", {**body, **_trace.current()}, rest=rest, again=FULL
            )
            if reply.approval is not None and timeout is None:
                wait += _LONGEST_APPROVAL  # its time begins when somebody has said yes
            while True:
                one = await within(stream.__anext__(), wait, f"answer of {tool}")
                if isinstance(one, Look):
                    if (found := await self._look(call)) is None:
                        continue
                    one = found
                yield one if isinstance(one, ToolQuestion) else _part(one)
                if isinstance(one, ToolResult) and one.final:
                    return

    async def _subscribe(self) -> None:
        if not self._subscribed:
            topic = f"tools/result/{self._scope.me}"
            await self._scope.subscribe(topic, self._received, mail=True)
            self._subscribed = True

    def _received(self, delivery: Delivery) -> None:
        delivery.ack()
        try:
            document = decode_object(delivery.payload)
            answer: Answer
            if document.get("status") == "input":
                answer = ToolQuestion.of(self._scope, document)
            else:
                answer = ToolResult.read(document)
        except UNREADABLE as error:
            self._unreadable(delivery, error)
        else:
            self._outcomes.put(answer.call, answer)

    def _unreadable(self, delivery: Delivery, error: Exception) -> None:
        """Whoever waits for it need not wait any longer. Parts it may do without."""
        said = skim(delivery.payload)
        call = said.get("call")
        logger.error("%s: of %s: %s", delivery.topic, call, error)
        if call is None:
            self._outcomes.look()
        elif said.get("status") != "partial":
            self._outcomes.fail(call, unreadable(f"the answer to {call}", error))

    async def _look(self, call: str) -> ToolResult | None:
        try:
            return tool_result_of(await self.get(call))
        except NotFound:
            return None

    async def get(
        self, call: str, *, arguments: bool = False, timeout: Duration | None = None
    ) -> CallView:
        """A call (``CALLER/ID``) as it stands, with its answer once it is over."""
        body = wire(call=call)
        if arguments:
            body["arguments"] = True
        reply = await self._scope.call("tools/get", body, timeout=timeout)
        return CallView.read(reply.data)

    async def cancel(
        self, call: str, reason: str | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Takes a call of one's own back. It ends with the error ``cancelled``."""
        await self._scope.call(
            "tools/cancel", wire(call=call, reason=reason, id=new_id()), timeout=timeout
        )

    async def watch(self) -> Stream[CardChange]:
        """Which tools there are, and then every change: MCP's ``Tool``, and who provides it now."""
        stream = cast("Stream[CardChange]", self._scope.stream("tools"))

        def received(delivery: Delivery) -> None:
            delivery.ack()
            document = decode_object(delivery.payload) if delivery.payload else None
            card = ToolCard.read(document) if document else None
            stream.put(CardChange(delivery.levels[-1], card))

        route = await self._scope.subscribe("tools/card/+", received, retained=True)
        stream.on_close(lambda: self._scope.link.unsubscribe(route))
        return stream

    async def provided(self, tool: str, *, timeout: Duration = "30s") -> ToolCard:
        """Waits until somebody provides a tool, and returns its card."""

        async def first() -> ToolCard:
            async with await self.watch() as cards:
                async for name, card in cards:
                    if name == tool and card is not None and card.providers:
                        return card
            raise AssertionError("cards come until the stream is closed")

        return await within(first(), timeout, f"a provider of {tool}")


def tool_result_of(view: CallView) -> ToolResult | None:
    """The final answer, as ``tools/get`` shows it; ``None`` while there is none."""
    if view.state not in ("success", "error"):
        return None
    if view.result_omitted:
        raise HallwardError(f"the answer to {view.call} is not kept any more")
    return ToolResult(
        call=view.call,
        tool=view.tool,
        status=view.state,
        final=True,
        provider=view.provider,
        called_at=view.called_at,
        at=view.ended_at or view.called_at,
        result=view.result,
        error=view.error,
    )


def _part(result: ToolResult) -> Part:
    if result.status == "error":
        error = result.error
        raise ToolError(
            error.message if error else "it failed",
            call=result.call,
            error_code=error.code if error else None,
            data=error.data if error else None,
        )
    return Part(result.call, result.result, result.final)
