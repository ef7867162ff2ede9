"""A model for openai-agents that asks nobody: it calls a tool once, and says what came of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from agents import Model, ModelResponse, Usage
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)


class StubModel(Model):
    """Calls `tool` with `arguments`, and repeats what it returns."""

    def __init__(self, tool: str, **arguments: Any) -> None:
        self._tool = tool
        self._arguments = json.dumps(arguments)

    async def get_response(
        self, system_instructions: Any, input: Any, *rest: Any, **more: Any
    ) -> ModelResponse:
        outputs = [] if isinstance(input, str) else [one.get("output") for one in input]
        said = next((one for one in reversed(outputs) if one is not None), None)
        answer = self._call() if said is None else self._say(str(said))
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def _call(self) -> ResponseFunctionToolCall:
        """As with a real model, each call has an id that no other has."""
        return ResponseFunctionToolCall(
            type="function_call",
            call_id=f"call_{uuid4().hex}",
            name=self._tool,
            arguments=self._arguments,
        )

    def _say(self, text: str) -> ResponseOutputMessage:
        part = ResponseOutputText(type="output_text", text=text, annotations=[])
        return ResponseOutputMessage(
            id="message_1", type="message", role="assistant", status="completed", content=[part]
        )

    def stream_response(self, *rest: Any, **more: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError("this model answers in one piece")
