"""A model for CrewAI that asks nobody: it uses a tool once, then says what came of it."""

from __future__ import annotations

import json
from typing import Any

from crewai import BaseLLM


class StubModel(BaseLLM):
    """Calls `tool` with `arguments`, in the words that CrewAI reads, and repeats the outcome."""

    tool: str
    arguments: dict[str, Any]

    def call(self, messages: Any, *rest: Any, **more: Any) -> str:
        said = [one["content"] for one in messages if one["role"] == "assistant"]
        if said:
            outcome = said[-1].rsplit("Observation:", 1)[1].strip()
            return f"Thought: I know enough.\nFinal Answer: {outcome}"
        arguments = json.dumps(self.arguments)
        return f"Thought: I look it up.\nAction: {self.tool}\nAction Input: {arguments}"
